"""Releases and stops the jobs that wait for other jobs."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from pilotage.proto.job_states import FINAL, JobState

from ...jobs import record_dependencies as dependency_records
from ...jobs.record_dependencies import Settled, Settlement, Verdict
from ...observe.events import Log
from ...ports import Clock
from ...store.engine import CHUNK_MAX, Store
from ...store.errors import StoreBroken, StoreError, StoreFull
from ...store.probe import StoreProbe
from ..follow_up import FollowUp
from ..idle_classes import IdleClasses
from ..memory import Memory

RETRY_S: Final = 1.0
WATCHED_MAX: Final = 2_000  # ranges of parents that are watched in one turn of the loop
READ_MAX: Final = 4_000  # states of parents that are read, and applied, at a time


def pages(ranges: Iterable[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Yield the ids of some ranges as disjoint ranges, with at most READ_MAX ids on a page."""
    page: list[tuple[int, int]] = []
    room, after = READ_MAX, 0
    for first, count in sorted(ranges):
        end, at = first + count, max(first, after)
        while at < end:
            taken = min(room, end - at)
            if page and sum(page[-1]) == at:
                page[-1] = (page[-1][0], page[-1][1] + taken)
            else:
                page.append((at, taken))
            at, room = at + taken, room - taken
            if not room:
                yield page
                page, room = [], READ_MAX
        after = max(after, end)
    if page:
        yield page


class ReleaseLoop:
    """Applies the verdicts of the dependency graph to the store and the queue."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        idle: IdleClasses,
        follow_up: FollowUp,
        clock: Clock,
        log: Log,
        probe: StoreProbe,
    ) -> None:
        self._store, self._queue, self._graph = store, memory.queue, memory.queue.dependencies
        self._idle, self._follow_up = idle, follow_up
        self._clock, self._log, self._probe = clock, log, probe
        self._called = asyncio.Event()
        self._graph.called = self._called.set

    async def run(self) -> None:
        """Work whenever the graph calls. Ends only by cancellation."""
        while True:
            await self._called.wait()
            self._called.clear()
            try:
                await self.work()
                continue
            except StoreBroken:
                raise
            except StoreFull as why:
                self._probe.refused(str(why))
            except StoreError as why:
                self._log("loop_failed", loop="dependencies", error=str(why))
            await self._clock.sleep(RETRY_S)  # the jobs wait until the next try
            self._called.set()

    async def work(self) -> None:
        """Watch new parents, read their states, and settle all jobs that are due."""
        while self._graph.unwatched or self._graph.unread or self._graph.due:
            if self._graph.unwatched:
                self._graph.watch(WATCHED_MAX)
            elif self._graph.unread:
                await self._read()
            if self._graph.due:
                await self._settle_some()
            await self._clock.sleep(0)

    async def _read(self) -> None:
        taken = list(self._graph.unread)
        self._graph.unread.clear()
        try:
            for page in pages(taken):
                made = self._graph.made
                states = await self._store.read(dependency_records.states, page)
                self._graph.read(page, states, made)
        except BaseException:
            self._graph.unread.update(dict.fromkeys(taken))
            raise

    async def _settle_some(self) -> None:
        jobs = list(islice(self._graph.due, CHUNK_MAX))
        runs: list[Settlement] = []
        others: list[Settlement] = []
        for job in jobs:
            one = self._graph.settlement(job)
            if one is not None:
                (runs if one.verdict is Verdict.RUN else others).append(one)
            del self._graph.due[job]
        try:
            while runs or others:  # releases first: a full store refuses only the others
                await self._settle(runs or others)
                if not runs:
                    break
                runs = []
        except BaseException:
            self._graph.again(one.job_id for one in (*runs, *others))
            raise

    async def _settle(self, wanted: Sequence[Settlement]) -> None:
        """Apply verdicts to the store, then to memory."""
        await self._idle.load(self._graph.classes(one.job_id for one in wanted))
        with self._queue.reading():
            at = self._clock.wall()
            settled = await self._store.write(dependency_records.settle, wanted, at)
            its = {one.job.job_id: one for one in settled}
            for one in wanted:
                if one.job_id in its:
                    self._follow(one, its[one.job_id])
                else:
                    self._graph.forget(one.job_id)
        self._queue.wake()

    def _follow(self, wanted: Settlement, settled: Settled) -> None:
        """Update memory after a verdict was applied to a job."""
        job, move = settled.job, settled.move
        verdict = self._graph.verdict(job.job_id)
        state = job.state if move is None else move.new
        is_over = job.live or job.epoch > 0 or state in FINAL or settled.runs_alone
        if is_over or (verdict is Verdict.RUN and state is JobState.WAITING):
            self._graph.forget(job.job_id)
        if move is not None:
            self._graph.stopped(job.job_id, is_stopped=state is not JobState.WAITING)
            self._follow_up.job_moved(job, move)  # queues it, unless it still waits for others
        elif state is JobState.WAITING and not job.live:
            self._follow_up.released(job)
        if verdict is not wanted.verdict:  # it has changed during the write
            self._graph.again([job.job_id])
