"""Leases: live and open attempts in memory, with their deadlines. Pure.

Deadlines exist only here, on the monotonic clock of this process, and only move later
(PROTOCOL C4). The store has no deadlines. After a restart every lease begins with a full new term.
"""

import enum
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from typing import Final

import msgspec

from pilotage.matcher.types import Grant
from pilotage.proto.ids import ID_MAX
from pilotage.proto.messages import Why

from ..identity.scope import CountKey


class LeasePhase(enum.Enum):
    """The state of the attempt's row in the store."""

    PENDING = "pending"  # the match is being written
    LIVE = "live"
    OPEN = "open"  # the lease is over and the job waits; a heartbeat or result may still count
    GONE = "gone"


class PendingEnd(enum.Enum):
    """The write in progress that ends the attempt."""

    RESULT = "result"  # the pilot has reported the end
    REQUEUE = "requeue"  # we end the lease without the pilot


class Lease(msgspec.Struct, eq=False, gc=False):
    """One attempt in the memory of the dispatch."""

    attempt_id: int
    job: int
    epoch: int
    class_id: int
    priority: int
    kind: CountKey
    pilot: str
    session: int
    ask: int
    site: str
    element: str
    grant: Grant
    matched: float  # monotonic; after a restart by the wall clock of its row
    success_codes: tuple[int, ...] = (0,)
    retry_codes: tuple[int, ...] = ()  # empty: all
    checkpoint: bool = False  # its job has a checkpoint that moves between nodes
    has_data: bool = False  # it reads or writes files on storages
    retries: int = 0
    failures: int = 0
    losses: int = 0
    started: bool = False
    started_at: float | None = None
    wanted: Why | None = None
    wanted_reason: str = ""  # given by the user who wants it
    wanted_since: float = 0.0  # monotonic
    lease_s: float = 0.0  # L as sent to its pilot, which uses it even if the setting changes
    deadline: float = 0.0
    renewed: float = 0.0
    look_at: int = 0  # second of the monotonic clock when its deadline is checked next
    phase: LeasePhase = LeasePhase.PENDING
    settling: PendingEnd | None = None


# The name of an attempt: job << EPOCH_BITS | epoch. The garbage collector would visit a tuple for
# each attempt, but it ignores plain numbers.
AttemptKey = int
LeasesByAttempt = dict[AttemptKey, Lease]
EPOCH_BITS: Final = ID_MAX.bit_length()


class LeaseTable:
    """All attempts that a message may still concern, by job and by pilot.

    A pilot can hold hundreds. The fields of a lease are rarely in the CPU cache, so it is cheaper
    to compare two names than to look at a lease.
    """

    def __init__(self) -> None:
        self._by_job: dict[int, Lease] = {}
        self._by_pilot: defaultdict[str, LeasesByAttempt] = defaultdict(dict)
        self._wanted: defaultdict[str, LeasesByAttempt] = defaultdict(
            dict
        )  # those with `wanted`, by pilot
        self._looks: defaultdict[int, LeasesByAttempt] = defaultdict(dict)  # by `look_at`

    def put(self, lease: Lease) -> None:
        """Add the job's newest attempt. An older open attempt of the same job is forgotten."""
        older = self._by_job.get(lease.job)
        if older is not None:
            self.forget(older)
        self._by_job[lease.job] = lease
        self._by_pilot[lease.pilot][lease.job << EPOCH_BITS | lease.epoch] = lease
        if lease.wanted is not None:
            self.note_wanted(lease)
        self._look_at(lease, lease.deadline)

    def note_wanted(self, lease: Lease) -> None:
        """Note an attempt whose `wanted` its pilot must receive."""
        self._wanted[lease.pilot][lease.job << EPOCH_BITS | lease.epoch] = lease

    def forget(self, lease: Lease) -> None:
        """Remove an attempt. It no longer counts."""
        lease.phase = LeasePhase.GONE
        if self._by_job.get(lease.job) is lease:
            del self._by_job[lease.job]
        name = lease.job << EPOCH_BITS | lease.epoch
        looks = self._looks.get(lease.look_at)
        if looks is not None:  # most attempts end long before: do not keep them in memory
            looks.pop(name, None)
            if not looks:
                del self._looks[lease.look_at]
        _take(self._by_pilot, lease, name)
        if self._wanted:  # rarely
            _take(self._wanted, lease, name)

    def candidates(self, now: float) -> list[Lease]:
        """Return the live attempts whose deadline has passed. `overdue` decides about them.

        Deadlines only move later. So an attempt is checked only when the deadline seen last has
        passed, not in every pass. From then on, it is checked in each pass until it ends.
        """
        found: list[Lease] = []
        due = sorted(second for second in self._looks if second <= now)
        for lease in [lease for second in due for lease in self._looks.pop(second).values()]:
            if lease.phase is LeasePhase.LIVE:
                if lease.deadline <= now:
                    found.append(lease)
                self._look_at(lease, max(now, lease.deadline))
            else:  # it may be taken back during another term of its lease
                self._look_at(lease, now + max(1.0, lease.deadline - lease.renewed))
        return found

    def _look_at(self, lease: Lease, at: float) -> None:
        lease.look_at = int(at)
        self._looks[lease.look_at][lease.job << EPOCH_BITS | lease.epoch] = lease

    def find(self, job: int, epoch: int) -> Lease | None:
        """Return the attempt if it is the job's newest one, else None."""
        lease = self._by_job.get(job)
        return lease if lease is not None and lease.epoch == epoch else None

    def of_job(self, job: int) -> Lease | None:
        return self._by_job.get(job)

    def holds(self, pilot: str) -> bool:
        """Return whether this pilot has any attempt."""
        return pilot in self._by_pilot

    def of_pilot(self, pilot: str) -> list[Lease]:
        return list(self._by_pilot.get(pilot, {}).values())

    def unknown(self, pilot: str, known: Set[AttemptKey]) -> list[Lease]:
        """Return the attempts of a pilot that are not among the given ones."""
        its = self._by_pilot.get(pilot)
        if its is None or its.keys() <= known:
            return []
        return [lease for name, lease in its.items() if name not in known]

    def wanted(self, pilot: str) -> list[Lease]:
        """Return the attempts of a pilot that have `wanted` set."""
        return list(self._wanted.get(pilot, {}).values())

    def all(self) -> Iterator[Lease]:
        return iter(self._by_job.values())

    def class_ids(self) -> set[int]:
        """Return the classes of all attempts in the table."""
        return {lease.class_id for lease in self._by_job.values()}

    def live(self) -> Iterator[Lease]:
        return (lease for lease in self._by_job.values() if lease.phase is LeasePhase.LIVE)

    def live_count(self) -> int:
        return sum(1 for _ in self.live())

    def shift(self, late_s: float) -> None:
        """Move every deadline later, because this process slept and heartbeats may be unread.

        See PROTOCOL C4. The pilots were not silent, so `renewed` moves as well. The time between
        the two stays one lease term, which is also the interval for checks of open attempts.
        """
        for lease in self._by_job.values():
            lease.deadline += late_s
            lease.renewed += late_s


def _take(table: dict[str, LeasesByAttempt], lease: Lease, name: AttemptKey) -> None:
    of_pilot = table.get(lease.pilot)
    if of_pilot is not None and of_pilot.get(name) is lease:
        del of_pilot[name]
        if not of_pilot:
            del table[lease.pilot]


def overdue(leases: Iterable[Lease], now: float) -> list[Lease]:
    """Return the live attempts whose lease is over, longest overdue first."""
    late = [lease for lease in leases if lease.settling is None and now >= lease.deadline]
    late.sort(key=lambda lease: lease.deadline)
    return late
