"""Work on many items by a few tasks, with one progress for all."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar

from pilotage.proto.tasks import Tasks

from ..errors import Invalid
from ..pace import Pace
from .storage_copies import size_of

T = TypeVar("T")
R = TypeVar("R")
OnBytes = Callable[[int, int], None]  # with the bytes that are done, and all bytes
PARALLEL: Final = 4  # transfers at once
PARALLEL_MAX: Final = 64
_SHOWN_S: Final = 0.2  # between two reports of progress


class ByteCount:
    """Counts the bytes of all transfers, also of downloads that have not ended."""

    def __init__(self, total: int, on_progress: OnBytes | None) -> None:
        self._total, self._on_progress, self._done = total, on_progress, 0
        self.growing: set[Path] = set()  # files that are being written

    def add(self, size: int) -> None:
        """Count a whole file."""
        self._done += size
        self.show()

    def show(self) -> None:
        """Report the progress."""
        if self._on_progress is not None:
            now = self._done + sum(size_of(one) for one in self.growing)
            self._on_progress(min(now, self._total), self._total)

    async def watch(self, pace: Pace) -> None:
        """Report the progress until cancelled."""
        while self._on_progress is not None:
            self.show()
            await pace.sleep(_SHOWN_S)


async def in_parallel(
    items: Iterable[T],
    work: Callable[[T], Awaitable[R]],
    *,
    parallel: int,
    count: ByteCount,
    pace: Pace,
) -> AsyncGenerator[R]:
    """Yield the results of `work` for each item, in the order of the items.

    Raises Invalid for a wrong `parallel`. The first error of `work` stops the others.
    """
    if not 1 <= parallel <= PARALLEL_MAX:
        right = f"expected 1 to {PARALLEL_MAX} transfers at once"
        raise Invalid("invalid", f"parallel: found {parallel}, {right}", "parallel")
    left = deque((item, asyncio.get_running_loop().create_future()) for item in items)
    results: list[asyncio.Future[R]] = [found for _, found in left]

    async def worker() -> None:
        while left:
            item, found = left.popleft()
            found.set_result(await work(item))

    async with Tasks() as tasks:
        watching = tasks.start(count.watch(pace))
        for _ in range(min(parallel, len(results))):
            tasks.start(worker())
        for found in results:
            yield await found
        watching.cancel()
