"""Writes the counts in memory to the store, every ten seconds.

It never reads jobs. A crash loses the sums of the last ten seconds. The jobs themselves and their
usage are in the store.
"""

from typing import Final, Protocol

from ..observe.wall_clock import WallClockWatch
from ..ports import Clock
from ..store.engine import CHUNK_MAX, Store
from ..store.errors import StoreBroken, StoreError, StoreFull
from ..store.probe import StoreProbe
from . import record_failures as failure_records, record_series as series_records, tally
from .counters import Counters
from .record_series import STEPS
from .tally import Tally

SLOT_S: Final = STEPS[0].step_s
LATER_S: Final = 0.05  # delay after the end of a slot, because sleep and wall clock differ a bit


class CountsMemory(Protocol):
    """The tables in memory that this module uses."""

    @property
    def tally(self) -> Tally: ...
    @property
    def counters(self) -> Counters: ...


class CountsLoop:
    """Writes each slot of series, accounts and failures. Its writes also probe the store."""

    def __init__(
        self,
        store: Store,
        memory: CountsMemory,
        clock: Clock,
        probe: StoreProbe,
        wall: WallClockWatch,
    ) -> None:
        self._store, self._clock, self._probe, self._wall = store, clock, probe, wall
        self._tally, self._counters = memory.tally, memory.counters
        self._begun = self._slot()

    async def run(self) -> None:
        """Write each slot when it is over. Ends only by cancellation.

        While the disk is full, this loop detects that there is room again.
        """
        while True:
            over = self._begun + SLOT_S - self._clock.wall()
            await self._clock.sleep(min(max(over, 0.0), SLOT_S) + LATER_S)
            if self._slot() == self._begun:
                continue
            try:
                await self.keep()
            except StoreFull as why:
                self._probe.refused(str(why))
            except StoreBroken:
                raise
            except StoreError as why:  # the counts are written with the next slot
                self._probe.failed("counts", str(why))

    async def keep(self) -> None:
        """Write the counts since the last call. After StoreFull, they stay in memory."""
        at, self._begun = self._begun, self._slot()
        taken, began = self._tally.take(), self._clock.monotonic()
        try:
            await self._store.write(
                series_records.keep_counts,
                at,
                tally.samples(taken, self._counters),
                tally.entries(taken),
                drop=self._wall.is_trusted(),
            )
        except StoreError:
            self._tally.give_back(taken)
            raise
        await self._keep_failures(at)
        self._probe.wrote(self._clock.monotonic() - began)

    async def _keep_failures(self, at: int) -> None:
        ends = self._tally.failed.take()
        while ends:
            try:
                await self._store.write(
                    failure_records.keep_failures,
                    at,
                    ends[:CHUNK_MAX],
                    drop=self._wall.is_trusted(),
                )
            except StoreError:
                self._tally.failed.give_back(ends)
                raise
            ends = ends[CHUNK_MAX:]

    def _slot(self) -> int:
        return int(self._clock.wall()) // SLOT_S * SLOT_S
