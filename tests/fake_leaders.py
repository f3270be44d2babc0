"""Leader rows in memory: the honest `Leaders` of several processes in one."""

from collections.abc import Callable
from dataclasses import dataclass

from pilotage.central.store.leaders import Lead


@dataclass
class LeaderRow:
    lead: Lead
    until: float


class FakeLeaders:
    """All that share a database share one of these; `clock` is the database's, in seconds."""

    answered = True

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.rows: dict[str, LeaderRow] = {}

    async def take_lead(self, shard: str, holder: str, url: str, lease_s: float) -> Lead | None:
        row = self.rows.get(shard)
        if row is not None and row.lead.holder != holder and row.until >= self._clock():
            return None
        term = 1 if row is None else row.lead.term + 1
        taken = Lead(shard, term, holder, url, lease_s)
        self.rows[shard] = LeaderRow(taken, self._clock() + lease_s)
        return taken

    async def renew_lead(self, lead: Lead, lease_s: float) -> bool:
        if not self.is_held(lead):
            return False
        self.rows[lead.shard].until = self._clock() + lease_s
        return True

    async def lead(self, shard: str) -> Lead | None:
        row = self.rows.get(shard)
        left_s = 0.0 if row is None else row.until - self._clock()
        if row is None or left_s <= 0:
            return None
        lead = row.lead
        return Lead(lead.shard, lead.term, lead.holder, lead.url, left_s)

    async def give_up_lead(self, lead: Lead) -> bool:
        if not self.is_held(lead):
            return False
        self.rows[lead.shard].until = float("-inf")
        return True

    async def close(self) -> None:
        """Nothing is open."""

    def is_held(self, lead: Lead) -> bool:
        """Whether the row is that one's, over or not: what a fence looks at."""
        row = self.rows.get(lead.shard)
        return row is not None and (row.lead.term, row.lead.holder) == (lead.term, lead.holder)
