"""Stores the usage of groups and owners that their fair shares count.

Without this a restart would make all users equal. A crash loses the usage of the attempts that
ended in the last minute.
"""

from typing import Final

from ..jobs import record as job_records
from ..jobs.record_types import ShareLevels
from ..observe.wall_clock import WallClockWatch
from ..ports import Clock
from ..store.engine import Store
from .queue import JobQueue

KEEP_EVERY_S: Final = 60.0


class UsedShares:
    """Stores the usage levels of the matcher, and restores them."""

    def __init__(self, store: Store, queue: JobQueue, clock: Clock, wall: WallClockWatch) -> None:
        self._store, self._queue, self._clock, self._wall = store, queue, clock, wall
        self._due = clock.monotonic() + KEEP_EVERY_S

    async def keep_if_due(self) -> None:
        """Store the levels if KEEP_EVERY_S has passed."""
        if self._clock.monotonic() >= self._due:
            await self.keep()

    async def keep(self) -> None:
        """Store the levels now. Raises StoreFull."""
        now = self._clock.monotonic()
        self._due = now + KEEP_EVERY_S
        levels = self._queue.matcher.levels(now)
        await self._store.write(
            job_records.keep_levels, ShareLevels(at=self._clock.wall(), levels=levels)
        )

    async def restore(self) -> None:
        """Restore the stored levels, decayed by the time since then.

        Call it before any job waits or runs.
        """
        kept = await self._store.read(job_records.levels)
        if kept is not None:
            self._wall.begin_from(kept.at)
            passed_s = max(0.0, self._clock.wall() - kept.at)
            self._queue.matcher.restore(kept.levels, self._clock.monotonic() - passed_s)
