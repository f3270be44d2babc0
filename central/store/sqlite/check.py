"""Read a store's file from outside: open it read-only, and check that it is sound.

While it is read, the log of the store grows.
"""

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..errors import StoreBroken
from .errors import translated
from .session import SqliteSession

_STEPS_A_LOOK: Final = 100_000  # steps of SQLite's machine between two calls of `over`


class CheckUnfinished(Exception):
    """The check took longer than allowed; the rest of the file was not checked."""


@contextmanager
def reading(path: Path) -> Generator[SqliteSession]:
    """Open a store read-only, even while another process writes it. Raises StoreBroken."""
    if not path.is_file():
        raise StoreBroken(f"{path} does not exist")
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5.0
        )
        try:
            yield SqliteSession(connection)
        finally:
            connection.close()
    except sqlite3.Error as why:
        raise translated(why) from why


def journal_mode(session: SqliteSession) -> str:
    """Return the journal mode of the file; `wal` is right."""
    found: str = session.one("get_journal_mode")[0]
    return found


def damage(session: SqliteSession, *, whole: bool, over: Callable[[], bool]) -> list[str]:
    """Return the damage in the file. `whole` also compares indexes with rows.

    Raises CheckUnfinished as soon as `over` returns True.
    """
    session.connection.set_progress_handler(over, _STEPS_A_LOOK)
    try:
        rows = session.rows("integrity_check" if whole else "quick_check")
    except sqlite3.OperationalError as why:
        if why.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise CheckUnfinished from why
        raise
    finally:
        session.connection.set_progress_handler(None, 0)
    return [str(row[0]) for row in rows if row[0] != "ok"]
