"""Copies the log into the database on another thread, so that commits wait for little of it."""

import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from ..queries import load

PASSES: Final = 2  # the second one copies pages that were written during the first


class LogCopy:
    """A connection with a thread that copies the log. Only one copy may run at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """The connection must be `prepare`d, so that a copy syncs the database file."""
        self._connection, self._sql = connection, load("sqlite")["checkpoint"]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-copy")

    def begin(self) -> Future[None]:
        """Start a copy. Its result raises sqlite3.Error if the copy fails."""
        return self._thread.submit(self._copy)

    def close(self) -> None:
        """Wait for the running copy, and close the connection."""
        self._thread.shutdown()
        self._connection.close()

    def _copy(self) -> None:
        for _ in range(PASSES):
            self._connection.execute(self._sql).fetchall()
