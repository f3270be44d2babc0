"""Measurement of slow usage figures of payloads, in a thread beside the pilot's loop.

A folder may be large, or on a file system that does not answer; shared memory of processes is slow
to measure too. Neither the guard nor the loop may wait for that. Only one thread does, and another
one replaces it if it hangs.
"""

import asyncio
import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Optional

from ..guard import limits
from . import footprint
from .footprint import Footprint

CURVE = "usage"  # in the folder of an attempt; docs/resource-curve.md
FIRST_S = 0.3  # a shorter payload is measured at most once, at its end
EVERY_MIN_S, EVERY_MAX_S = 0.5, 2.0
REST = 50  # pause after a measurement, as a multiple of its time
STUCK_S = 30.0  # a measurement that takes longer may never end
THREADS_MAX = 8  # threads that hang; then nothing is measured any more
LAST_SHORT_S = 0.05  # a folder that took longer is not measured again at the end
LAST_S = 1.0  # how long an end waits for that
_STUCK = "its folder cannot be measured: a file system in it does not answer"

SampleWork = Callable[[], Any]


@dataclass
class _Weighed:
    """One measured payload."""

    attempt_id: int
    folder: Path
    limits: limits.PayloadLimits
    began: float
    due_at: float
    looked_at: float
    processes: Sequence[int] = ()
    found: Footprint = field(default_factory=Footprint)
    took_s: float = 0.0  # CPU time of the last measurement
    busy: bool = False


class UsageSampler:
    """Measures folders and shared memory, and writes the curves.

    `tell` passes results to the guard.
    """

    def __init__(
        self,
        tell: Callable[..., None],
        loop: asyncio.AbstractEventLoop,
        pause: Callable[[float], None],
    ) -> None:
        self._tell, self._loop, self._pause = tell, loop, pause
        self._on: dict[int, _Weighed] = {}
        self._timer: Optional[asyncio.TimerHandle] = None
        self._worker: Optional[_Worker] = None
        self._stuck = 0

    def put_on(self, attempt_id: int, folder: Path, given: limits.PayloadLimits) -> None:
        """Start to measure a payload in a folder."""
        now = self._loop.time()
        self._on[attempt_id] = _Weighed(
            attempt_id, folder, given, now, now + FIRST_S, looked_at=now
        )
        if self._timer is None:
            self._timer = self._loop.call_later(FIRST_S, self._look)

    async def take_off(self, attempt_id: int, line: Optional[Sequence[float]]) -> Footprint:
        """Stop measuring an ended payload, end its curve, and return the last measurement."""
        one = self._on.pop(attempt_id, None)
        if one is None:
            return Footprint()
        if line is None or one.took_s > LAST_SHORT_S or one.found.unmeasurable:
            return one.found
        done: asyncio.Future[Optional[Footprint]] = self._loop.create_future()

        def finish() -> Footprint:
            found = footprint.measure(one.folder, pause=self._pause)
            add_line(one.folder, line, found)
            return found

        def tell(found: Optional[Footprint], took_s: float) -> None:
            if not done.done():
                done.set_result(found)

        self._do(attempt_id, finish, tell)
        await asyncio.wait([done], timeout=LAST_S)
        return done.result() or one.found if done.done() else one.found

    def weigh(self, attempt_id: int, processes: Sequence[int]) -> None:
        """Measure the memory of these processes together, as the guard asks."""
        one = self._on.get(attempt_id)
        if one is not None:
            one.processes = processes
            self._do(
                attempt_id,
                lambda: shared_once_mb(processes),
                lambda mb, _: self._tell(do="weighed", attempt_id=attempt_id, memory_mb=mb or 0.0),
            )

    def draw(self, attempt_id: int, line: Sequence[float], processes: Sequence[int]) -> None:
        """Add a line to the curve of a payload with these processes."""
        one = self._on.get(attempt_id)
        if one is not None:
            one.processes = processes
            self._do(attempt_id, lambda: add_line(one.folder, line, one.found), _nothing)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._worker is not None:
            self._worker.end()

    # -- in the loop ----------------------------------------------------------------------------

    def _look(self) -> None:
        """Start the measurements that are due."""
        self._timer, now = None, self._loop.time()
        self._look_for_stuck(now)
        for one in self._on.values():
            if not one.busy and one.due_at <= now:
                one.busy = True
                self._do(
                    one.attempt_id,
                    partial(footprint.measure, one.folder, one.processes, pause=self._pause),
                    partial(self._measured, one),
                )
        if self._on:
            due_at = min(one.due_at if not one.busy else now + STUCK_S for one in self._on.values())
            in_s = max(limits.NEAR_S, min(EVERY_MAX_S, due_at - now))
            self._timer = self._loop.call_later(in_s, self._look)

    def _measured(self, one: _Weighed, found: Optional[Footprint], took_s: float) -> None:
        now, before, one.busy = self._loop.time(), one.found, False
        found = found or before
        passed_s, one.looked_at = now - one.looked_at, now
        one.found, one.took_s = found, took_s
        again, given = limits.look_again_in_s, one.limits
        in_s = min(
            min(EVERY_MAX_S, max(EVERY_MIN_S, (now - one.began) / 20)),
            again(given.scratch_mb, before.scratch_mb, found.scratch_mb, passed_s),
            again(given.streams_mb, before.streams_mb, found.streams_mb, passed_s),
        )
        one.due_at = now + max(in_s, REST * took_s)
        if found != before and one.attempt_id in self._on:
            self._tell(do="measured", attempt_id=one.attempt_id, **vars(found))
        if self._timer is not None and one.due_at < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(one.due_at, self._look)

    # -- the thread -----------------------------------------------------------------------------

    def _do(self, attempt_id: int, work: SampleWork, done: Callable[[Any, float], object]) -> None:
        if self._worker is None:
            if self._stuck >= THREADS_MAX:
                return
            self._worker = _Worker(self._loop)
        self._worker.put(attempt_id, work, done)

    def _look_for_stuck(self, now: float) -> None:
        """Abandon a hanging thread, and report that its payload cannot be measured."""
        worker = self._worker
        if worker is None or now - worker.since < STUCK_S:
            return
        self._worker, self._stuck = None, self._stuck + 1
        worker.end()
        stuck = self._on.get(worker.attempt_id)
        for one in self._on.values():
            # A hanging one stays busy, so it is not measured again.
            one.busy = one is stuck
        if stuck is not None:
            stuck.found = Footprint(unmeasurable=_STUCK)
            self._tell(do="measured", attempt_id=stuck.attempt_id, **vars(stuck.found))


class _Worker:
    """A thread that does one job after another, and passes the results to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: queue.SimpleQueue[Optional[tuple[int, SampleWork, Any]]] = queue.SimpleQueue()
        self.attempt_id = 0  # the attempt that it works for
        self.since = float("inf")  # start of that work
        threading.Thread(target=self._run, name="scales", daemon=True).start()

    def put(self, attempt_id: int, work: SampleWork, done: Callable[[Any, float], object]) -> None:
        self._queue.put((attempt_id, work, done))

    def end(self) -> None:
        self._queue.put(None)

    def _run(self) -> None:
        while True:
            task = self._queue.get()
            if task is None:
                return
            self.attempt_id, work, done = task
            self.since, began = self._loop.time(), time.thread_time()
            try:
                result = work()
            except OSError:  # a full disk
                result = None
            self.since = float("inf")
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(done, result, time.thread_time() - began)


def shared_once_mb(processes: Sequence[int]) -> float:
    """Return the memory of the processes, with shared pages counted once."""
    return sum(map(_proportional_kb, processes)) * 1024 / 1e6


def _proportional_kb(pid: int) -> int:
    """Return the proportional set size of a process; 0 if it is gone."""
    for name in ("smaps_rollup", "smaps"):  # before Linux 4.14 only the long file exists
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                return sum(int(line.split()[1]) for line in file if line.startswith(b"Pss:"))
        except OSError:
            continue
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    except OSError:
        return 0


def add_line(folder: Path, line: Sequence[float], found: Footprint) -> None:
    """Add a line to a curve. Raises OSError."""
    seconds, cpu_s, memory_mb, count = line
    text = f"{seconds:.1f} {cpu_s:.2f} {memory_mb:.1f} {found.scratch_mb:.1f} {count:.0f}\n"
    # If the folder is not hidden, a payload could put a pipe or a link here.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(folder / CURVE, flags, 0o600)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def _nothing(result: object, took_s: float) -> None:
    """Ignore a result that nobody waits for."""
