"""Submissions of other processes: a store in memory has one process, so there are none."""

import asyncio
from abc import abstractmethod
from collections.abc import Sequence

from pilotage.central.store.arrivals import Arrival, Run
from pilotage.central.store.records import CountRow


class FakeArrivals:
    """The verbs of `store.arrivals`."""

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
