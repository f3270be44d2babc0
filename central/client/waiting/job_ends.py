"""Waiting for the end of jobs, with events and with reads.

Events are hints and may be lost, so the jobs are read as well: at the start, after a gap, and at
growing intervals while events arrive. Without events, only reads are left. The central sends
something at least every 15 s, so this needs no timer of its own.
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
_IDS_A_READING = 200  # the URL holds them
_READ_FIRST_S = 1.0
_READ_LONGEST_S = 60.0
_READ_SHARE = 10  # at most a tenth of the waiting is reading
_POLL_LONGEST_S = 2.0


class JobReader(Protocol):
    """The part of a client that waiting needs."""

    def search(self, filter: JobFilter) -> AsyncIterator[JobView]: ...

    def signs(
        self, *, submission: int | None, after: int | None
    ) -> AsyncGenerator[Event | None, None]:
        """Yield every event, and None when the stream is open and for each keep-alive."""
        ...


async def ended(
    source: JobReader, outstanding: Outstanding, pace: Pace
) -> AsyncGenerator[int, None]:
    """Yield each awaited job when its end becomes known.

    Raises JobsHeld when a read shows that all remaining jobs are Held.
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
            pass  # no events now; the jobs are read below
        async for job in _read(source, outstanding):
            yield job
        _go_on(outstanding)
        if outstanding.left:
            await pace.sleep(next(rests))


def _go_on(outstanding: Outstanding) -> None:
    """Raise JobsHeld if a read has shown that all remaining jobs are Held."""
    if outstanding.only_held:
        raise JobsHeld(outstanding.held)


class _Readings:
    """The times of reads: one at once, then at growing intervals, and one after each gap."""

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
    """Read the awaited jobs, and yield the ended ones.

    Raises NotFound for a job that the central has never shown.
    """
    unfinished = set[int]()
    if outstanding.submission is not None and len(outstanding.ids()) > _IDS_A_READING:
        there = JobFilter(submission=outstanding.submission, states=UNFINISHED)
        async for view in source.search(there):
            outstanding.see(view)  # it may have ended since the central made this page
            unfinished.add(view.id)
            for job in outstanding.ended():
                yield job
    # A search may miss jobs that change their state during it, so read the other jobs by id.
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
