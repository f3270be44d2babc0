"""Submissions of other processes, on a store that has one process: there are none."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from ..arrivals import Arrival, Run
from ..records import CountRow
from .opened import Opened
from .rows import count_of


class ArrivalsVerbs(Opened):
    """The verbs of `store.arrivals`, for a database that one process alone writes to."""

    async def counted(self) -> tuple[list[CountRow], str]:
        return [count_of(row) for row in await self._reader.rows("counts", {})], ""

    async def arrivals(self, since: str) -> tuple[list[Arrival], str]:
        return [], since

    async def arrived_runs(self, ranges: Sequence[tuple[int, int]]) -> list[Run]:
        return []

    async def forget_arrivals(self, before: str) -> None:
        """There are none."""

    async def arrival_hint(self, within_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await asyncio.Event().wait()

    async def drop_abandoned(self, submission_id: int | None = None) -> int:
        return 0
