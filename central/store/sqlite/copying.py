"""Copies the log into the database beside the writer, so that no commit waits for most of it."""

import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from ..queries import load

PASSES: Final = 2  # the second one copies what was written during the first


class LogCopy:
    """A connection that only copies, and its thread. One copying at a time is asked for."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """The connection is `prepare`d: a copy counts when the database's own file is synced."""
        self._connection, self._sql = connection, load("sqlite")["checkpoint"]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-copy")

    def begin(self) -> Future[None]:
        """Begin to copy; the result raises sqlite3.Error where that failed."""
        return self._thread.submit(self._copy)

    def close(self) -> None:
        """Wait for what is under way, and close the connection."""
        self._thread.shutdown()
        self._connection.close()

    def _copy(self) -> None:
        for _ in range(PASSES):
            self._connection.execute(self._sql).fetchall()
