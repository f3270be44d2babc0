"""Work of the leader itself, beside its loops: each piece has a key and runs once at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

RUNNING_MAX: Final = 1_000


class OwnWork:
    """Runs pieces of work. Before `run`, and beyond RUNNING_MAX, none begins."""

    def __init__(self) -> None:
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[str] = set()

    async def run(self) -> None:
        """Run work from now on. Ends by cancellation, which also ends the work.

        Work must raise only what should end this process.
        """
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await asyncio.Event().wait()

    def start(self, key: str, work: Callable[[], Awaitable[None]]) -> None:
        """Begin a piece of work, unless one with this key is running."""
        if self._tasks is None or key in self._running or len(self._running) >= RUNNING_MAX:
            return
        self._running.add(key)
        self._tasks.create_task(self._one(key, work))

    async def _one(self, key: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        finally:
            self._running.discard(key)
