"""When the log is copied into the database: now and then, after the answers have gone out.

Most of it is copied beside the writer, which writes on. Then the writer copies the little that has
come meanwhile: only when all of it is copied does the log begin anew.
"""

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from ..errors import StoreBroken
from .errors import translated
from .session import SqliteSession

CHECKPOINT_ROWS: Final = 24_000  # changed rows between two checkpoints: some thousand pages
LOG_BYTES: Final = 32 << 20  # of the log, whatever the rows: `set_log_size` cuts it down to this
LOOK_EVERY: Final = 8  # looks between two at the log's size: each may have grown it by some MB


class WalCheckpoints:
    """What the writer looks after when it has answered. It lives on the writer's thread."""

    def __init__(
        self,
        session: SqliteSession,
        copy: Callable[[], Future[None]] | None = None,
        *,
        log: Path | None = None,
    ) -> None:
        """`copy` begins to copy the log into the database, beside us; `log` is its file."""
        self._session, self._copy, self._log = session, copy, log
        self._log_max = LOG_BYTES
        self._looks = 0
        self._copying: Future[None] | None = None
        self._changes_kept = session.connection.total_changes

    def look(self) -> None:
        """Copy if it is time to. Raises StoreBroken."""
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
            # On a full disk the log stays, and nothing is lost. A failed sync is another matter:
            # repeating it may succeed although the pages never reached the disk.
            if isinstance(translated(why), StoreBroken):
                raise StoreBroken(f"checkpoint: {why}") from why

    def _is_much(self) -> bool:
        """Whether it is time to copy; then it is not for a while, however that goes."""
        changes = self._session.connection.total_changes
        if changes - self._changes_kept < CHECKPOINT_ROWS and not self._is_long():
            return False
        self._changes_kept = changes
        return True

    def _is_long(self) -> bool:
        """Whether the log has grown much: at first, or since it was last found to be too long."""
        self._looks += 1
        if self._looks % LOOK_EVERY:
            return False
        try:
            size = self._log.stat().st_size if self._log is not None else 0
        except FileNotFoundError:
            return False
        if size <= LOG_BYTES:  # it has begun anew
            self._log_max = LOG_BYTES
        if size <= self._log_max:
            return False
        self._log_max = size + LOG_BYTES
        return True

    def _copy_rest(self) -> None:
        self._session.connection.execute(self._session.sql["checkpoint"]).fetchall()
