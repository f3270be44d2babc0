"""`Executor.map`: jobs of many calls, with their results in order."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from ..loop_thread import LoopThread
from .call_files import outcomes_in, seconds_in, value_of
from .call_jobs import CallJob, CallJobs
from .chunk_sizes import ChunkSizes

_FETCHED_AHEAD: Final = 64  # jobs whose results are here before the caller wants them
_SENT_AT_ONCE: Final = 64  # jobs
Pickle = Callable[[object], bytes]


class _Chunk(CallJob):
    """Some calls of a map."""

    is_running = is_ended = is_asked = False
    seconds, size = 0.0, 0
    results: Path | None = None
    error: Exception | None = None

    def __init__(
        self, owner: "MappedCalls", name: str, function: bytes, calls: bytes, count: int
    ) -> None:
        super().__init__(name, function, calls)
        self._owner, self.count = owner, count

    @property
    def is_here(self) -> bool:
        return self.results is not None or self.error is not None

    def began(self) -> None:
        if not self.is_running:
            self.is_running = True
            self._owner.moved(running=1)

    def ended(self) -> None:
        if not self.is_ended:
            self._owner.moved(running=-int(self.is_running), unfinished=-1)
        self.is_ended, self.is_asked = True, False
        self._owner.fetch_ahead()

    def came(self, results: Path) -> None:
        self.seconds, self.size = seconds_in(results), results.stat().st_size
        self.results = results
        self._owner.news(self)

    def failed(self, why: Exception) -> None:
        self.error = why
        self._owner.news(self)


class MappedCalls:
    """The calls of one `map`. The caller's thread takes the results, the event loop does the rest.

    Arguments are taken as jobs are sent, and results are fetched shortly before the caller wants
    them. So the memory is bounded.
    """

    def __init__(
        self,
        jobs: CallJobs,
        loop: LoopThread,
        pickle: Pickle,
        *,
        name: str,
        function: bytes,
        arguments: Iterator[tuple[Any, ...]],
        sizes: ChunkSizes,
    ) -> None:
        self._jobs, self._loop, self._pickle = jobs, loop, pickle
        self._name, self._function = name, function
        self._arguments, self._sizes = arguments, sizes
        self._chunks: deque[_Chunk] = deque()  # whose results the caller has not taken
        self._changed = threading.Condition()  # for everything here
        self._room = asyncio.Event()
        self._running = self._unfinished = 0
        self._is_fed = self._is_cancelled = self._takes_all = False
        self.is_over = False  # the executor has ended, and all results are here
        self._error: Exception | None = None

    # -- in the caller's thread -----------------------------------------------------------------

    def results(self, timeout_s: float | None) -> Generator[Any, None, None]:
        """Yield the results in order. Raises TimeoutError, and the exception of a failed call."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        return self._results(until)

    def _results(self, until: float | None) -> Generator[Any, None, None]:
        try:
            while (chunk := self._next(until)) is not None:
                if chunk.results is None:
                    raise chunk.error or AssertionError("a chunk has results or an error")
                outcomes = outcomes_in(chunk.results)
                chunk.results.unlink()
                for outcome in outcomes:
                    yield value_of(outcome)
            if self._error is not None:
                raise self._error
        finally:
            self.cancel()

    def _next(self, until: float | None) -> _Chunk | None:
        with self._changed:
            while True:
                first = self._chunks[0] if self._chunks else None
                if first is not None and first.is_here:
                    self._chunks.popleft()
                    if not self.is_over:
                        self._loop.call_soon(self.fetch_ahead)
                    return first
                if first is None and self._is_fed:
                    return None
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                self._changed.wait(left)

    def cancel(self) -> None:
        """Send no more jobs, and kill those under way."""
        with self._changed:
            if self._is_cancelled or self.is_over or self.is_done:
                return
            self._is_cancelled = True
        self._loop.call_soon(self._kill)

    @property
    def is_done(self) -> bool:
        """Whether the caller has taken all results."""
        return self._is_fed and not self._chunks

    # -- on the event loop ----------------------------------------------------------------------

    async def feed(self) -> None:
        """Send jobs until there are no more arguments."""
        while not self._is_cancelled and self._error is None:
            room = self._sizes.jobs(self._unfinished, self._running)
            if room <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            found = await asyncio.to_thread(self._taken, min(room, _SENT_AT_ONCE))
            if not found:
                break
            self._unfinished += len(found)
            self._jobs.send(found)
        with self._changed:
            self._is_fed = True
            self._changed.notify_all()
        if self._is_cancelled:
            self._kill()

    def _taken(self, most: int) -> list[_Chunk]:
        """Take the arguments for some jobs."""
        found = list[_Chunk]()
        try:
            while len(found) < most:
                with self._changed:
                    size = self._sizes.calls()
                calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
                    (arguments, {}) for arguments in islice(self._arguments, size)
                ]
                if not calls:
                    break
                content = self._pickle(calls)
                found.append(_Chunk(self, self._name, self._function, content, len(calls)))
                with self._changed:
                    self._sizes.sent(len(calls), len(content))
                    self._chunks.append(found[-1])
        except Exception as why:  # of the caller's own iterator, or of pickling
            self._error = why
        return found

    def moved(self, *, running: int, unfinished: int = 0) -> None:
        """Count a job that runs or has ended."""
        self._running += running
        self._unfinished += unfinished
        self._room.set()

    def fetch_ahead(self) -> None:
        """Fetch the results that the caller wants next."""
        with self._changed:
            ahead = len(self._chunks) if self._takes_all else _FETCHED_AHEAD
            ready = [
                one
                for one in islice(self._chunks, ahead)
                if one.is_ended and not one.is_asked and not one.is_here
            ]
        for chunk in ready:
            chunk.is_asked = True
            self._jobs.fetch(chunk)

    def finish(self) -> None:
        """Fetch all results, for the time after the executor."""
        self._takes_all = True
        self.fetch_ahead()

    def news(self, chunk: _Chunk) -> None:
        """Tell the caller about a chunk. This is called outside the event loop."""
        with self._changed:
            if chunk.results is not None:
                self._sizes.measured(chunk.count, chunk.seconds, chunk.size)
            self._changed.notify_all()
        # A job that could not be sent has not ended before; a measured one may leave more room.
        self._loop.call_soon(self._room.set if chunk.is_ended else chunk.ended)

    def _kill(self) -> None:
        self._room.set()
        with self._changed:
            left = list(self._chunks)
        for chunk in left:
            self._jobs.cancel(chunk)
