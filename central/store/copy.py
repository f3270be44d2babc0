"""Copy a SQLite store into an empty PostgreSQL database, row by row, then compare both.

The copy is one transaction: after a difference or an interruption the database is still empty. No
process may write to the file during the copy.
"""

import sqlite3
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Final

from .audit import facts
from .errors import StoreError
from .migrations import migrations
from .postgresql.errors import translated
from .postgresql.session import PostgresqlSession
from .postgresql.statements import storable
from .postgresql.store import prepared
from .queries import load
from .sqlite.check import reading

ROWS_AT_A_TIME: Final = 5_000
_ALL_OF: Final = "all_of_"
# Statements that empty the new tables before their rows are copied.
_BEFORE: Final = {
    "store": "drop_new_store",
    "counter": "drop_new_counters",
    "input_count": "empty_input_count",
    "task_count": "empty_task_count",
}


class NotTheSame(StoreError):
    """A copied row differs from the original. The copy is rolled back."""

    def __init__(self, table: str, here: object, there: object) -> None:
        super().__init__(f"table {table}: {here!r} became {there!r}; nothing was copied")


def tables() -> list[str]:
    """Return all tables, each after the tables that its rows refer to."""
    return [name.removeprefix(_ALL_OF) for name in load("sqlite") if name.startswith(_ALL_OF)]


def copy_store(path: Path, url: str, *, at: float, told: Callable[[str], None]) -> int:
    """Copy the store at `path` into the database at `url`. Return the number of rows.

    `told` receives a line for each table. Raises StoreError; the database is then unchanged.
    """
    with reading(path) as here:
        schema, known = facts(here).schema, len(migrations("sqlite"))
        if schema != known:
            raise StoreError(
                f"{path} has schema {schema}, but this release copies schema {known}: start and "
                "stop `pilotage serve` on it once"
            )
        here.begin_read()
        session = prepared(url, at)
        try:
            return _copied(here.connection, session, told)
        except session.faults as why:
            raise translated(why) from why
        finally:
            session.close()


def _copied(
    source: sqlite3.Connection, session: PostgresqlSession, told: Callable[[str], None]
) -> int:
    if session.rows("all_owners") or session.one("counts") is not None:
        raise StoreError("the database has a store in use; copy into an empty database")
    session.begin()
    count = 0
    for table in tables():
        rows = _copy(source, session, table)
        told(f"{table}: {rows}")
        count += rows
    session.run("continue_ids")
    for table in tables():
        _compare(source, session, table)
    session.commit()
    return count


def _copy(source: sqlite3.Connection, session: PostgresqlSession, table: str) -> int:
    if table in _BEFORE:
        session.run(_BEFORE[table])
    cursor = source.execute(load("sqlite")[f"{_ALL_OF}{table}"])
    columns = [column[0] for column in cursor.description]
    count = 0
    while rows := cursor.fetchmany(ROWS_AT_A_TIME):
        session.append(table, columns, [tuple(storable(row)) for row in rows])
        count += len(rows)
    return count


def _compare(source: sqlite3.Connection, session: PostgresqlSession, table: str) -> None:
    statement = f"{_ALL_OF}{table}"
    ours = source.execute(load("sqlite")[statement])
    columns = [column[0] for column in ours.description]
    for row, its in zip_longest(ours, session.walk(statement, ROWS_AT_A_TIME)):
        here = None if row is None else dict(zip(columns, storable(row), strict=True))
        there = None if its is None else dict(its)
        if here != there:
            raise NotTheSame(table, here, there)
