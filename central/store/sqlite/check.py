"""A look at a store from outside: is the file sound, and do its counts say what its rows say.

It reads on a connection of its own, so it may run beside a central; while it does, the log of the
store grows.
"""

import re
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import StoreBroken
from ..queries import load
from .errors import translated

DIFFERENCES_MAX: Final = 50  # of each kind that are named
NAMED_AT_A_TIME: Final = 1_024  # rows of which the names of files are read at a time
# As it stands in JSON; in a text of the user the quotes would have backslashes before them.
_NAMED: Final = re.compile(rb'(?<!\\)"sha256"\s*:\s*"([0-9a-f]{64})"')
_STEPS_A_LOOK: Final = 100_000  # of SQLite's machine, between two looks at the clock

# statement, what it is about
CHECKS: Final = (
    ("check_zones", "jobs by class and state"),
    ("check_bodies", "bodies"),
    ("check_submissions", "submissions"),
    ("check_attempts_of_jobs", "attempts"),
    ("check_epochs", "epochs"),
    ("check_last_attempts", "last attempts"),
    ("check_live_attempts", "live attempts"),
    ("check_results", "results"),
    ("check_failures", "failures"),
    ("check_counters", "ids"),
    ("check_orphans", "rows that belong to nothing"),
    ("check_references", "references"),
    ("check_pilot_logs", "logs of pilots"),
    ("check_catalogue", "files of the catalogue"),
    ("check_transformations", "transformations"),
)


class Facts(NamedTuple):
    """What a store says of itself."""

    generation: str
    schema: int
    journal_mode: str
    newest: float  # wall clock of the newest row
    jobs: int


class Unfinished(Exception):
    """The check took longer than it may; what it has not seen is not judged."""


@contextmanager
def reading(path: Path) -> Generator[sqlite3.Connection]:
    """Open a store that somebody may be writing, for reading. Raises StoreBroken."""
    if not path.is_file():
        raise StoreBroken(f"{path} is not there")
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5.0
        )
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as why:
        raise translated(why) from why


def facts(connection: sqlite3.Connection) -> Facts:
    """Return what the store says of itself."""
    sql = load("sqlite")

    def one(statement: str) -> tuple[object, ...]:
        found: tuple[object, ...] | None = connection.execute(sql[statement]).fetchone()
        if found is None:
            raise StoreBroken(f"it is no store of pilotage: {statement} finds nothing")
        return found

    return Facts(
        generation=str(one("get_generation")[0]),
        schema=int(str(one("schema_number")[0])),
        journal_mode=str(one("get_journal_mode")[0]),
        newest=float(str(one("newest_moment")[0] or 0)),
        jobs=int(str(one("count_jobs")[0])),
    )


def damage(connection: sqlite3.Connection, *, whole: bool, over: Callable[[], bool]) -> list[str]:
    """Return what is wrong with the file itself; `whole` compares indexes with rows too.

    Raises Unfinished when `over` says so before the end.
    """
    statement = "integrity_check" if whole else "quick_check"
    connection.set_progress_handler(over, _STEPS_A_LOOK)
    try:
        rows = connection.execute(load("sqlite")[statement]).fetchall()
    except sqlite3.OperationalError as why:
        if why.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise Unfinished from why
        raise
    finally:
        connection.set_progress_handler(None, 0)
    return [str(row[0]) for row in rows if row[0] != "ok"]


def differences(connection: sqlite3.Connection) -> Iterator[tuple[str, list[str]]]:
    """Yield each check with the differences that it found, all at one moment of the store."""
    sql = load("sqlite")
    connection.execute(sql["begin_read"])
    try:
        for statement, about in CHECKS:
            rows = connection.execute(sql[statement], {"limit": DIFFERENCES_MAX}).fetchall()
            yield about, [str(row[0]) for row in rows]
    finally:
        connection.execute(sql["rollback"])


def blob_names(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the hash of each file that a job or an attempt names, some of them several times."""
    sql = load("sqlite")
    for what in ("templates", "bodies", "outputs"):
        begin, end = connection.execute(sql[f"span_of_{what}"]).fetchone()
        for first in range(begin, end + 1, NAMED_AT_A_TIME):
            span = {"first": first, "last": first + NAMED_AT_A_TIME - 1}
            for (text,) in connection.execute(sql[f"{what}_between"], span):
                for found in _NAMED.findall(text):
                    yield found.decode()


def states(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many jobs that are not deleted stand in each state."""
    found: dict[str, int] = {}
    for row in connection.execute(load("sqlite")["counts"]):
        found[row[6]] = found.get(row[6], 0) + row[7]
    return found
