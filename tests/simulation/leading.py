"""What must hold where two centrals share a database, looked at while a simulated world runs."""

from typing import TYPE_CHECKING

from .violation import Violation

if TYPE_CHECKING:
    from .cluster import Cluster
    from .world import World

LOOK_EVERY_S = 0.5
OF_THE_LEADER = frozenset({"turn", "move"})  # not of those that take jobs in beside it
TAKEN_WITHIN_S = 3.0  # after the lead is over: with its 5 s that is the promise


class LeadingInvariants:
    """Looks at the leader row, at who believes to lead, and at who writes."""

    def __init__(self, world: "World", cluster: "Cluster") -> None:
        self._world, self._cluster = world, cluster
        self._term: int = 0
        self._look_at = 0.0
        self._free_since: float | None = None  # nobody leads, and somebody could
        self.take_overs = 0
        self.longest_s = 0.0  # without a leader, although one could

    def taken(self) -> None:
        """The row has a new holder: terms grow by one."""
        term = self._cluster.database.row.term
        if term != self._term + 1:
            self._broken("terms", f"{term} after {self._term}")
        self._term = term
        self.take_overs += term > 1

    def committed(self, verb: str) -> None:
        """P12: nobody writes but the one whom the row names."""
        database = self._cluster.database
        writer = database.writer
        if writer is None or (not writer.holder and verb not in OF_THE_LEADER):
            return
        if writer.holder != database.row.holder:
            self._broken("leader", f"{writer.name} writes ({verb}), and does not lead")

    def quiet(self) -> None:
        """Nothing more can happen at this moment."""
        cluster, now = self._cluster, self._world.loop.now
        leading = cluster.database.leading
        for member in cluster.members:
            if member.held is not None and member.holder != leading and member.believes():
                self._broken("leader", f"{member.host.name} believes to lead, and does not")
        # While the row is free each moment counts: the one that could take it may be gone at the
        # next, and nothing may happen then until it is there again.
        if now >= self._look_at or self._free_since is not None:
            self._look_at = now + LOOK_EVERY_S
            self._taken_in_time(now)

    def _taken_in_time(self, now: float) -> None:
        cluster = self._cluster
        free = self._term > 0 and cluster.database.leading is None
        if not free or not any(member.is_able() for member in cluster.members):
            self._free_since = None
            return
        if self._free_since is None:
            self._free_since = now
        self.longest_s = max(self.longest_s, now - self._free_since)
        if now - self._free_since > TAKEN_WITHIN_S:
            self._broken("take-over", f"nobody has taken the lead for {now - self._free_since} s")

    def _broken(self, kind: str, what: str) -> None:
        self._world.broken(Violation(kind, what))
