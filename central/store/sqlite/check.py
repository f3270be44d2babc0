"""A look at a store's file from outside: it is opened for reading, and is it sound.

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

_STEPS_A_LOOK: Final = 100_000  # of SQLite's machine, between two looks at the clock


class CheckUnfinished(Exception):
    """The check took longer than it may; what it has not seen is not judged."""


@contextmanager
def reading(path: Path) -> Generator[SqliteSession]:
    """Open a store that somebody may be writing, for reading. Raises StoreBroken."""
    if not path.is_file():
        raise StoreBroken(f"{path} is not there")
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
    """Return how the file keeps what is being written; `wal` is right."""
    found: str = session.one("get_journal_mode")[0]
    return found


def damage(session: SqliteSession, *, whole: bool, over: Callable[[], bool]) -> list[str]:
    """Return what is wrong with the file itself; `whole` compares indexes with rows too.

    Raises Unfinished when `over` says so before the end.
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
