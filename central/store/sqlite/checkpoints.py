"""Decides when to copy the log into the database: from time to time, after answers.

Another thread copies most of it while the writer continues. Then the writer copies the rest that
was written meanwhile. SQLite starts the log again only after all of it was copied.
"""

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from ..errors import StoreBroken
from .errors import translated
from .session import SqliteSession

CHECKPOINT_ROWS: Final = 24_000  # changed rows between two checkpoints: about a thousand pages
LOG_BYTES: Final = 32 << 20  # size of the log that calls for a copy; see `set_log_size`
LOOK_EVERY: Final = 8  # calls of `look` between two checks of the log's size


class WalCheckpoints:
    """Copies the log when the writer has answered. It runs on the writer's thread."""

    def __init__(
        self,
        session: SqliteSession,
        copy: Callable[[], Future[None]] | None = None,
        *,
        log: Path | None = None,
    ) -> None:
        """`copy` starts to copy the log on another thread. `log` is the log's file."""
        self._session, self._copy, self._log = session, copy, log
        self._log_max = LOG_BYTES
        self._looks = 0
        self._copying: Future[None] | None = None
        self._changes_kept = session.connection.total_changes

    def look(self) -> None:
        """Copy the log if it is due. Raises StoreBroken."""
        try:
            if self._copying is not None:
                if self._copying.done():
                    copied, self._copying = self._copying, None
                    copied.result()
                    self._copy_rest()
            elif self._is_much():
                if self._copy is None:
                    self._copy_rest()
                else:
                    self._copying = self._copy()
        except sqlite3.Error as why:
            # On a full disk the log stays, and nothing is lost. A failed sync is fatal: a second
            # sync may succeed although the pages never reached the disk.
            if isinstance(translated(why), StoreBroken):
                raise StoreBroken(f"checkpoint: {why}") from why

    def _is_much(self) -> bool:
        """Return whether a copy is due. Even after a failure, the next one needs more changes."""
        changes = self._session.connection.total_changes
        if changes - self._changes_kept < CHECKPOINT_ROWS and not self._is_long():
            return False
        self._changes_kept = changes
        return True

    def _is_long(self) -> bool:
        """Return whether the log has grown by LOG_BYTES since its start, or since the last True."""
        self._looks += 1
        if self._looks % LOOK_EVERY:
            return False
        try:
            size = self._log.stat().st_size if self._log is not None else 0
        except FileNotFoundError:
            return False
        if size <= LOG_BYTES:  # it has started again
            self._log_max = LOG_BYTES
        if size <= self._log_max:
            return False
        self._log_max = size + LOG_BYTES
        return True

    def _copy_rest(self) -> None:
        self._session.connection.execute(self._session.sql["checkpoint"]).fetchall()
