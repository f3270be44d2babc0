"""Settings of a connection that make commits survive a power cut, and the check that they hold."""

import sqlite3
import tempfile
from pathlib import Path

from ..errors import StoreBroken
from ..queries import load
from .errors import translated

_SETTINGS = (
    "set_page_size",
    "set_journal_mode",
    "set_synchronous",
    "set_cache",
    "set_no_mmap",
    "set_no_autocheckpoint",
    "set_log_size",
    "set_foreign_keys",
    "set_temp_store",
)


def prepare(connection: sqlite3.Connection) -> None:
    """Set up a connection through which the store may write. Raises StoreBroken."""
    sql = load("sqlite")
    for statement in _SETTINGS:
        connection.execute(sql[statement]).fetchall()
    require(connection, "get_journal_mode", "wal")
    require(connection, "get_synchronous", 2)
    require(connection, "get_foreign_keys", 1)


def require(connection: sqlite3.Connection, statement: str, value: object) -> None:
    """Read a pragma back, since SQLite silently ignores impossible values. Raises StoreBroken."""
    sql = load("sqlite")[statement]
    found = connection.execute(sql).fetchone()[0]
    if found != value:
        raise StoreBroken(f"{sql} is {found}, not {value}: committed rows would not be safe")


def proved(folder: Path) -> str:
    """Open a test store in `folder` as the central does. Return its durability as text.

    The values are read back from that connection. Raises StoreBroken if they are not safe.
    """
    sql = load("sqlite")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".doctor-") as place:
        try:
            connection = sqlite3.connect(Path(place) / "probe.sqlite", isolation_level=None)
            try:
                prepare(connection)
                journal = connection.execute(sql["get_journal_mode"]).fetchone()[0]
                level = connection.execute(sql["get_synchronous"]).fetchone()[0]
            finally:
                connection.close()
        except sqlite3.Error as why:
            raise translated(why) from why
    if (journal, level) != ("wal", 2):
        raise StoreBroken(f"the central opens its store with {journal}, synchronous={level}")
    return "WAL with synchronous=FULL"
