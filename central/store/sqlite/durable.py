"""The settings of a connection that make a commit survive a power cut, and the proof of them."""

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
    """Make a connection one that the store may write through. Raises StoreBroken."""
    sql = load("sqlite")
    for statement in _SETTINGS:
        connection.execute(sql[statement]).fetchall()
    require(connection, "get_journal_mode", "wal")
    require(connection, "get_synchronous", 2)
    require(connection, "get_foreign_keys", 1)


def require(connection: sqlite3.Connection, statement: str, value: object) -> None:
    """Read a pragma back: SQLite takes what it cannot do without a word. Raises StoreBroken."""
    sql = load("sqlite")[statement]
    found = connection.execute(sql).fetchone()[0]
    if found != value:
        raise StoreBroken(f"{sql} is {found}, not {value}: nothing acknowledged would be safe")


def proved(folder: Path) -> str:
    """Open a store in `folder` as the central does, and return what it is then. Raises StoreBroken.

    What is said is read back from that connection, whatever `prepare` has asked for.
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
