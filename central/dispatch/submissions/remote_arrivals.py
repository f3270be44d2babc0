"""Queues the submissions that other processes have stored, each once.

These submissions are durable, and their submitters have an answer. This process finds them after
a hint from the database, or else by its poll every second: nothing depends on the hint.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import msgspec

from ...jobs.classes import KnownClass
from ...observe.events import Log
from ...pauses import by_and_by
from ...ports import Clock
from ...store.engine import Store
from ...store.errors import StoreError
from .. import record_arrivals as arrival_records
from ..follow_up import FED_MAX, FollowUp
from ..memory import Memory
from ..record_arrivals import Run

LOOK_S: Final = 1.0
PAUSE_S: Final = 0.02  # after a poll: arrivals during the pause are read together
FORGET_S: Final = 10.0
ABANDONED_S: Final = 30.0
RANGES_A_LOOK: Final = 200  # ranges of jobs that one statement reads
Also = Callable[[], Awaitable[None]]
JOBS_A_TURN: Final = 5_000
NEW_A_TURN: Final = 16  # new classes for the matcher before other tasks run


async def learn_classes(memory: Memory, class_ids: set[int]) -> dict[int, KnownClass]:
    """Return the given classes. Read unknown ones from the store and remember them."""
    classes = memory.queue.classes
    infos = {one: classes[one] for one in class_ids if one in classes}
    unknown = sorted(class_ids - infos.keys())
    if unknown:
        infos |= {info.spec.class_id: info for info in await memory.classes.read(unknown)}
        for info in infos.values():  # known ones too: they may have been forgotten during the read
            memory.classes.keep(info)
            memory.queue.learn(info)
    return infos


def _parts(run: Run) -> Iterator[Run]:
    """Yield a run in parts of at most JOBS_A_TURN, so that other tasks can run between them."""
    for start in range(0, run.count, JOBS_A_TURN):
        count = min(JOBS_A_TURN, run.count - start)
        yield msgspec.structs.replace(run, first=run.first + start, count=count)


class ArrivalPoller:
    """Polls for submissions of other processes, from the moment at which memory was filled."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        follow_up: FollowUp,
        clock: Clock,
        log: Log,
        also: Sequence[Also] = (),
    ) -> None:
        """`also` has functions to call every LOOK_S; they read data that other processes change."""
        self._also, self._also_read = also, 0.0
        self._store, self._memory, self._clock, self._log = store, memory, clock, log
        self._queue, self._follow_up = memory.queue, follow_up
        self._moment = ""
        self._begun = asyncio.Event()
        self._told = ""
        self._forgotten = self._dropped = 0.0
        self.taken = 0  # submissions, since the start
        self.lag_s = 0.0  # in the last poll: age of the oldest submission when it was queued
        self._looked = clock.monotonic()

    def begin(self, moment: str) -> None:
        """Begin to poll. All that was visible at `moment` must be in memory and counted."""
        self._moment = moment
        self._looked = self._clock.monotonic()
        self._begun.set()

    def unseen_s(self) -> float:
        """Return the seconds since the last successful poll; new submissions wait as long."""
        return self._clock.monotonic() - self._looked if self._moment else 0.0

    async def run(self) -> None:
        """Poll until cancelled. Return at once if no other process writes to the store."""
        await self._begun.wait()
        while self._moment:
            try:
                await self.look()
                self._told = ""
            except StoreError as why:  # from a reader: a broken writer ends the process itself
                if str(why) != self._told:
                    self._log("others_unseen", why=str(why))
                    self._told = str(why)
                await self._clock.sleep(LOOK_S)
                continue
            await self._clock.sleep(PAUSE_S)
            await self._store.hint(LOOK_S)

    async def look(self) -> None:
        """Queue the submissions that have become visible since the last poll."""
        found, moment = await self._store.read(arrival_records.arrivals, self._moment)
        with self._queue.reading():
            await self._queue_up([one for arrival in found for one in arrival.ranges])
        self._moment, self._looked = moment, self._clock.monotonic()
        self.taken += len(found)
        self.lag_s = max((one.age_s for one in found), default=0.0)
        await self._tidy()

    async def _queue_up(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Queue and count the jobs in some ranges."""
        runs: list[Run] = []
        for start in range(0, len(ranges), RANGES_A_LOOK):
            some = ranges[start : start + RANGES_A_LOOK]
            await self._follow_up.adopt(some)
            runs += await self._store.read(arrival_records.arrived_runs, some)
        infos = await self._learn(runs)
        fed = 0
        for run in runs:
            for part in _parts(run):
                fed += self._follow_up.arrived(part, infos[run.class_id], fed_max=FED_MAX - fed)
                await self._clock.sleep(0)  # let other tasks answer pilots between two parts
        if runs:
            self._queue.wake()

    async def _learn(self, runs: list[Run]) -> dict[int, KnownClass]:
        """Learn the classes of jobs, and add new ones to the matcher a few at a time."""
        infos = await learn_classes(self._memory, {run.class_id for run in runs})
        async for info in by_and_by(infos.values(), self._clock, a_turn=NEW_A_TURN):
            self._queue.learn(info)
            self._queue.prepare(info.spec.class_id)
        return infos

    async def _tidy(self) -> None:
        """Remove arrivals that are queued, and unfinished submissions of dead processes."""
        now = self._clock.monotonic()
        if now - self._also_read >= LOOK_S:
            self._also_read = now
            for read in self._also:
                await read()
        if now - self._forgotten >= FORGET_S:
            self._forgotten = now
            await self._store.write(arrival_records.forget_arrivals, self._moment)
        if now - self._dropped >= ABANDONED_S:
            self._dropped = now
            count = await arrival_records.drop_abandoned(self._store)
            if count:
                self._log("submissions_abandoned", count=count)
