"""Reads from file systems that may hang, so that none of them blocks the central."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")
WITHIN_S: Final = 20.0  # a slower file system counts as hung


class ReaderThread:
    """Runs blocking calls in one thread of its own, one at a time.

    A file system that hangs blocks that thread only: neither the shared threads nor the end of the
    process.
    """

    def __init__(self, within_s: float = WITHIN_S) -> None:
        self._within_s = within_s
        self._running: asyncio.Future[tuple[object, BaseException | None]] | None = None

    async def do(self, work: Callable[[], T]) -> T:
        """Run `work` in the thread and return its result. Raises its errors, and TimeoutError."""
        async with asyncio.timeout(self._within_s):
            while self._running is not None and not self._running.done():
                await asyncio.wait([self._running])
            loop = asyncio.get_running_loop()
            running: asyncio.Future[tuple[T, BaseException | None]] = loop.create_future()
            self._running = running  # type: ignore[assignment]
            threading.Thread(target=_carry_out, args=(work, running, loop), daemon=True).start()
            await asyncio.wait([running])
        value, raised = running.result()
        if raised is not None:
            raise raised
        return value


def _carry_out(
    work: Callable[[], T],
    future: "asyncio.Future[tuple[T | None, BaseException | None]]",
    loop: asyncio.AbstractEventLoop,
) -> None:
    try:
        outcome: tuple[T | None, BaseException | None] = (work(), None)
    except BaseException as why:  # raised again in the caller
        outcome = (None, why)
    with contextlib.suppress(RuntimeError):  # the loop is closed, and no caller waits
        loop.call_soon_threadsafe(_tell, future, outcome)


def _tell(
    future: "asyncio.Future[tuple[T | None, BaseException | None]]",
    outcome: tuple[T | None, BaseException | None],
) -> None:
    if not future.done():
        future.set_result(outcome)
