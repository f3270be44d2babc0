"""The store of the year, and a loop on which nothing depends on the speed of the machine."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.memory_store import MemoryStore
from tests.virtual import VirtualLoop


class YearLoop(VirtualLoop):
    """A virtual loop that does at once what the central leaves to threads."""

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> Any:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as why:  # the caller's, whatever it is
            done.set_exception(why)
        return done


class YearStore(MemoryStore):
    """The shipped SQL on a file, since a year has millions of rows. It takes no virtual time."""

    def __init__(self, path: Path, clock_wall: Callable[[], float]) -> None:
        super().__init__(clock_wall=clock_wall, path=path)
        # The file is read once more, after the last transaction: no crash has to find it whole.
        self.connection.execute("PRAGMA journal_mode = MEMORY")
        self.connection.execute("PRAGMA synchronous = OFF")

    async def synced(self) -> None:
        """Let the others go on, as while a disk works."""
        await asyncio.sleep(0)
