"""Work on untrusted files, in a separate thread that nobody has to wait for.

An archive or a payload's folder can take any time. In a thread of the loop's pool, such work could
delay the next attempt and the end of the pilot. Here, abandoned work gets an exception at its next
file or block, and ends.
"""

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, Optional, TypeVar

T = TypeVar("T")
IDLE_S: Final = 2.0
GoOn = Callable[[], None]  # raises WorkAbandoned, or another error that should stop the work


class WorkAbandoned(Exception):
    """Nobody waits for this work any more."""


def always() -> None:
    """Never stop the work."""


Act = Callable[[], Callable[[], None]]  # works, and returns what tells the result


class _Threads:
    """Daemon threads that wait some seconds for more work.

    A start of a thread blocks its caller until the thread runs, which takes long if others do.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: SimpleQueue[Act] = SimpleQueue()
        self._idle = 0  # threads that will take from the queue, beyond the work there

    def run(self, act: Act) -> None:
        """Run `act` in a thread that waits, or in a new one."""
        with self._lock:
            is_idle = self._idle > 0
            self._idle -= is_idle
        if is_idle:
            self._work.put(act)
        else:
            threading.Thread(target=self._serve, args=(act,), name="files", daemon=True).start()

    def _serve(self, act: Optional[Act]) -> None:
        while act is not None:
            tell = act()
            with self._lock:
                self._idle += 1  # before the result, after which more work may come at once
            tell()
            del act, tell  # a thread that waits keeps nothing of ended work
            act = self._more()

    def _more(self) -> Optional[Act]:
        try:
            return self._work.get(timeout=IDLE_S)
        except Empty:
            with self._lock:
                if self._idle > 0:
                    self._idle -= 1
                    return None
            return self._work.get()  # given in this moment


_THREADS: Final = _Threads()


class BackgroundWork(Generic[T]):
    """One piece of work, which starts when the object is created."""

    def __init__(self, act: Callable[[GoOn], T]) -> None:
        self._act = act
        self._given_up = threading.Event()
        self._found: Future[T] = Future()
        self._found.set_running_or_notify_cancel()
        _THREADS.run(self._run)

    @property
    def over(self) -> bool:
        return self._found.done()

    async def result(self, patience_s: float) -> T:
        """Return the result of the work. Raises its errors, and TimeoutError.

        The work is abandoned when the caller is cancelled or its patience is over.
        """
        try:
            if await self.ends(patience_s):
                return self._found.result()
        finally:
            self._given_up.set()
        raise TimeoutError(f"it was not finished after {patience_s:.0f} s")

    async def ends(self, patience_s: float) -> bool:
        """Return whether the work ends within this time."""
        waiting: asyncio.Future[Any] = asyncio.wrap_future(self._found)
        try:
            done, _ = await asyncio.wait({waiting}, timeout=patience_s)
            return bool(done)
        finally:
            if waiting.done() and not waiting.cancelled():
                waiting.exception()  # `result` reports it
            waiting.cancel()

    def _go_on(self) -> None:
        if self._given_up.is_set():
            raise WorkAbandoned

    def _run(self) -> Callable[[], None]:
        """Do the work, and return a function that tells its result."""
        try:
            tell = partial(self._found.set_result, self._act(self._go_on))
        except (WorkAbandoned, OSError, ValueError) as why:  # expected errors of work on an archive
            tell = partial(self._found.set_exception, why)
        finally:  # unexpected errors are reported, and then shown like those of any thread
            unforeseen = sys.exc_info()[1]
            if unforeseen is not None:
                self._found.set_exception(unforeseen)
        return tell
