"""An event loop in a thread of its own, on which the blocking front runs the async core."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import aclosing
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
_AHEAD_MAX = 1_000


class LoopThread:
    """Runs coroutines for callers that block. The thread starts with the first of them.

    It is a daemon, so that a program which forgot to close its client can still end.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to the end and return the result; an interrupt cancels what runs."""
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("a call-back of a blocking client cannot call it: it would wait")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._started())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncIterator[T]) -> Generator[T, None, None]:
        """Yield what the async iterator yields. All of it runs in one task, as its time limits
        and task groups need; the task ends with this generator."""
        pipe = _Pipe(items)
        filling = asyncio.run_coroutine_threadsafe(pipe.fill(), self._started())
        try:
            while some := self.run(pipe.take()):
                yield from some
            filling.result()
        finally:
            filling.cancel()

    def close(self) -> None:
        """Stop the loop; what still runs on it is cancelled."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(self._loop,), name="pilotage-client", daemon=True
                )
                self._thread.start()
            return self._loop


class _Pipe(Generic[T]):
    """Items on their way from the loop to the thread that waits for them, bounded."""

    def __init__(self, source: AsyncIterator[T]) -> None:
        self._source, self._ended = source, False
        self._items: deque[T] = deque()
        self._news, self._room = asyncio.Event(), asyncio.Event()

    async def fill(self) -> None:
        try:
            async with aclosing(cast(Any, self._source)):
                async for item in self._source:
                    while len(self._items) >= _AHEAD_MAX:
                        self._room.clear()
                        await self._room.wait()
                    self._items.append(item)
                    self._news.set()
        finally:
            self._ended = True
            self._news.set()

    async def take(self) -> list[T]:
        """Return what has come, at least one item; none at the end."""
        while not self._items and not self._ended:
            self._news.clear()
            await self._news.wait()
        taken = list(self._items)
        self._items.clear()
        self._room.set()
        return taken


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
