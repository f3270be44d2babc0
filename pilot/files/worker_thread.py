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
from typing import Any, Generic, TypeVar

T = TypeVar("T")
GoOn = Callable[[], None]  # raises WorkAbandoned, or another error that should stop the work


class WorkAbandoned(Exception):
    """Nobody waits for this work any more."""


def always() -> None:
    """Never stop the work."""


class BackgroundWork(Generic[T]):
    """One piece of work, which starts when the object is created."""

    def __init__(self, act: Callable[[GoOn], T]) -> None:
        self._act = act
        self._given_up = threading.Event()
        self._found: Future[T] = Future()
        self._found.set_running_or_notify_cancel()
        threading.Thread(target=self._run, name="files", daemon=True).start()

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

    def _run(self) -> None:
        try:
            self._found.set_result(self._act(self._go_on))
        except (WorkAbandoned, OSError, ValueError) as why:  # expected errors of work on an archive
            self._found.set_exception(why)
        finally:  # unexpected errors are reported, and then shown like those of any thread
            unforeseen = sys.exc_info()[1]
            if unforeseen is not None:
                self._found.set_exception(unforeseen)
