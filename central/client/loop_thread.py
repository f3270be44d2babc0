"""A thread with an event loop, on which the blocking client runs the async client."""

import asyncio
import concurrent.futures
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import aclosing
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
_AHEAD_MAX = 1_000


class LoopThread:
    """Runs coroutines for blocking callers. The thread starts with the first coroutine.

    It is a daemon thread, so that a program can end without closing its client.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result. An interrupt cancels it."""
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("a callback of a blocking client cannot call this client: deadlock")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._started())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def start(self, coroutine: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """Run a coroutine beside the caller."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._started())

    def call_soon(self, work: Callable[[], object]) -> None:
        """Call a function on the loop soon."""
        self._started().call_soon_threadsafe(work)

    def iterate(self, items: AsyncIterator[T]) -> Generator[T, None, None]:
        """Yield the items of an async iterator.

        It runs in one task, because its time limits and task groups need that. The task ends with
        this generator.
        """
        pipe = _Pipe(items)
        filling = asyncio.run_coroutine_threadsafe(pipe.fill(), self._started())
        try:
            while some := self.run(pipe.take()):
                yield from some
            filling.result()
        finally:
            filling.cancel()

    def close(self) -> None:
        """Stop the loop, and cancel its tasks."""
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
    """A bounded queue of items from the loop to the waiting thread."""

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
        """Wait for items and return them; none at the end."""
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
