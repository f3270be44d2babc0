"""Work on the files of strangers: in a thread of its own, for which nobody has to wait.

What an archive or a payload's folder costs is not ours to say. In a thread of the loop's pool it
would keep the next attempt waiting, and a pilot that has to go. This one does neither: work that
nobody waits for any more is told so and ends by itself, at the next file or block.
"""

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

T = TypeVar("T")
GoOn = Callable[[], None]  # raises GivenUp, or what else there is to be said against going on


class WorkAbandoned(Exception):
    """Nobody waits for this work any more."""


def always() -> None:
    """Nothing is against going on."""


class BackgroundWork(Generic[T]):
    """One piece of work, begun when it is made."""

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
        """Return what the work returns. Raises what it raises, and TimeoutError.

        It is given up where nobody waits any longer, by cancellation or for lack of patience.
        """
        try:
            if await self.ends(patience_s):
                return self._found.result()
        finally:
            self._given_up.set()
        raise TimeoutError(f"it was not done after {patience_s:.0f} s")

    async def ends(self, patience_s: float) -> bool:
        """Whether it is over within this time."""
        waiting: asyncio.Future[Any] = asyncio.wrap_future(self._found)
        try:
            done, _ = await asyncio.wait({waiting}, timeout=patience_s)
            return bool(done)
        finally:
            if waiting.done() and not waiting.cancelled():
                waiting.exception()  # it is told by `result`
            waiting.cancel()

    def _go_on(self) -> None:
        if self._given_up.is_set():
            raise WorkAbandoned

    def _run(self) -> None:
        try:
            self._found.set_result(self._act(self._go_on))
        except (WorkAbandoned, OSError, ValueError) as why:  # what the work of an archive may say
            self._found.set_exception(why)
        finally:  # what nobody foresaw is told, and then shown as that of any thread
            unforeseen = sys.exc_info()[1]
            if unforeseen is not None:
                self._found.set_exception(unforeseen)
