"""Waiting for the end of jobs: by events, and by asking now and then.

An event is a hint that may be lost, so whoever waits also reads the jobs: once at the start, after
a gap, and at intervals that grow while the events flow. Without events the reading goes on alone.
The central says something at least each 15 s, so nothing here needs a timer beside the stream.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

from pilotage.proto.api.jobs import Event, JobFilter, JobView
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.problems import Code

from ..errors import JobsHeld, NotFound, TooManyRequests, Unavailable, Unreachable
from ..pace import Pace, pauses
from .outstanding_jobs import Outstanding

UNFINISHED = tuple(state for state in JobState if state not in FINAL)
_IDS_A_READING = 200  # they travel in the URL
_READ_FIRST_S = 1.0
_READ_LONGEST_S = 60.0
_READ_SHARE = 10  # at most a tenth of the waiting is reading
_POLL_LONGEST_S = 2.0


class JobReader(Protocol):
    """What waiting needs of a client."""

    def search(self, filter: JobFilter) -> AsyncIterator[JobView]: ...

    def signs(
        self, *, submission: int | None, after: int | None
    ) -> AsyncGenerator[Event | None, None]:
        """Yield None once the stream stands and for each sign of life, and every event."""
        ...


async def ended(
    source: JobReader, outstanding: Outstanding, pace: Pace
) -> AsyncGenerator[int, None]:
    """Yield each awaited job once it is final, in the order in which this becomes known.

    Raises JobsHeld when a reading has shown that all that are left are Held.
    """
    after: int | None = None
    rests = pauses(pace, longest_s=_POLL_LONGEST_S)
    while outstanding.left:
        plan = _Readings(pace)
        try:
            async with aclosing(
                source.signs(submission=outstanding.submission, after=after)
            ) as signs:
                async for event in signs:
                    rests = pauses(pace, longest_s=_POLL_LONGEST_S)
                    if event is not None:
                        after = event.seq
                        outstanding.hear(event)
                        for job in outstanding.ended():
                            yield job
                    gap = event is not None and event.kind == "gap"
                    if plan.due(gap=gap) or outstanding.only_held:
                        async for job in _read(source, outstanding):
                            yield job
                        plan.done()
                        _go_on(outstanding)
                    if not outstanding.left:
                        return
        except (Unreachable, Unavailable, TooManyRequests, NotFound):
            pass  # no events now; what can be read is read all the same
        async for job in _read(source, outstanding):
            yield job
        _go_on(outstanding)
        if outstanding.left:
            await pace.sleep(next(rests))


def _go_on(outstanding: Outstanding) -> None:
    """Raise JobsHeld where nothing is left to wait for, as a reading has just shown."""
    if outstanding.only_held:
        raise JobsHeld(outstanding.held)


class _Readings:
    """When the jobs are read again: at once, then ever more rarely, and after each gap."""

    def __init__(self, pace: Pace) -> None:
        self._pace, self._interval_s = pace, _READ_FIRST_S
        self._next = self._began = pace.monotonic()

    def due(self, *, gap: bool) -> bool:
        self._began = self._pace.monotonic()
        return gap or self._began >= self._next

    def done(self) -> None:
        now = self._pace.monotonic()
        rest_s = max(self._interval_s, _READ_SHARE * (now - self._began))
        self._next = now + rest_s * self._pace.uniform(0.8, 1.2)
        self._interval_s = min(2 * self._interval_s, _READ_LONGEST_S)


async def _read(source: JobReader, outstanding: Outstanding) -> AsyncGenerator[int, None]:
    """Read the awaited jobs and yield each that has ended, page by page.

    Raises NotFound for a job that the central has never shown.
    """
    unfinished = set[int]()
    if outstanding.submission is not None and len(outstanding.ids()) > _IDS_A_READING:
        there = JobFilter(submission=outstanding.submission, states=UNFINISHED)
        async for view in source.search(there):
            outstanding.see(view)  # it may have ended since the central chose it for this page
            unfinished.add(view.id)
            for job in outstanding.ended():
                yield job
    # The central may miss a job that changes its state during a search, so each is read by its id.
    ids = [job for job in outstanding.ids() if job not in unfinished]
    strangers: list[int] = []
    for start in range(0, len(ids), _IDS_A_READING):
        some = tuple(ids[start : start + _IDS_A_READING])
        absent = set(some)
        async for view in source.search(JobFilter(ids=some, include_deleted=True)):
            absent.discard(view.id)
            outstanding.see(view)
            for job in outstanding.ended():
                yield job
        strangers += outstanding.see_none(absent)
        for job in outstanding.ended():
            yield job
    if strangers:
        why = f"there is no job {strangers[0]} that this token may see"
        raise NotFound(Code.NOT_FOUND.value, why, status=404)
