"""What is found of owners and submissions; of other processes none, a store in memory has one."""

import asyncio
from abc import abstractmethod
from collections.abc import Sequence

from pilotage.central.store.arrivals import Arrival, Run
from pilotage.central.store.records import CountRow, Owner, SubmissionRecord

from .fake_store_rows import Data


class FakeArrivals:
    """The verbs of `store.arrivals`."""

    _data: Data

    async def find_owner(self, community: str, issuer: str, subject: str) -> Owner | None:
        for one in self._data.owners.values():
            if (one.community, one.issuer, one.subject) == (community, issuer, subject):
                return one
        return None

    async def submission(self, submission_id: int) -> SubmissionRecord | None:
        return self._data.submissions.get(submission_id)

    async def submission_by_key(
        self, community: str, owner_id: int, key: str
    ) -> SubmissionRecord | None:
        return self._by_key(community, owner_id, key)

    def _by_key(self, community: str, owner_id: int, key: str) -> SubmissionRecord | None:
        for record in self._data.submissions.values():
            if (record.community, record.owner_id, record.key) == (community, owner_id, key):
                return record
        return None

    @abstractmethod
    async def counts(self) -> list[CountRow]: ...

    async def counted(self) -> tuple[list[CountRow], str]:
        return await self.counts(), ""

    async def arrivals(self, since: str) -> tuple[list[Arrival], str]:
        return [], since

    async def arrived_runs(self, ranges: Sequence[tuple[int, int]]) -> list[Run]:
        return []

    async def forget_arrivals(self, before: str) -> None:
        """There are none."""

    async def arrival_hint(self, within_s: float) -> None:
        await asyncio.sleep(within_s)

    async def drop_abandoned(self, submission_id: int | None = None) -> int:
        return 0
