"""Numbered, forward-only migrations: `sql/sqlite/migrations/NNNN_name.sql`.

Each runs once, in one transaction with the row that says so. A file is never changed after a
release: its checksum is compared at every start. A migration only adds; what is dropped goes one
release later, so that the release before can still read.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files

import msgspec

from ..errors import MigrationChanged, NewerSchema
from ..queries import load


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@cache
def migrations(database: str) -> tuple[Migration, ...]:
    """Return the migrations of a database in order: 1, 2, … without a gap."""
    found: list[Migration] = []
    for file in (files("pilotage.central.store") / "sql" / database / "migrations").iterdir():
        number, _, name = file.name.removesuffix(".sql").partition("_")
        found.append(Migration(int(number), name, file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.number)
    assert [one.number for one in found] == list(range(1, len(found) + 1)), "numbers have a gap"
    return tuple(found)


def migrate(connection: sqlite3.Connection, known: Sequence[Migration], at: float) -> int:
    """Bring the schema up to date; return its number.

    Raises NewerSchema, or MigrationChanged where a step that has run reads differently now.
    """
    sql = load("sqlite")
    connection.execute(sql["make_migrations"])
    applied = connection.execute(sql["migrations"]).fetchall()
    if applied and applied[-1][0] > len(known):
        raise NewerSchema(applied[-1][0], len(known))
    for (number, name, checksum), migration in zip(applied, known, strict=False):
        if checksum != migration.checksum:
            raise MigrationChanged(number, name)
    for migration in known[len(applied) :]:
        _apply(connection, migration, at)
    return len(known)


def _apply(connection: sqlite3.Connection, migration: Migration, at: float) -> None:
    sql = load("sqlite")
    connection.execute(sql["begin"])
    try:
        for statement in split(migration.text):
            connection.execute(statement)
        connection.execute(
            sql["insert_migration"],
            {
                "number": migration.number,
                "name": migration.name,
                "checksum": migration.checksum,
                "at": at,
            },
        )
        connection.execute(sql["commit"])
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute(sql["rollback"])
        raise


def split(text: str) -> Iterator[str]:
    """Yield the statements of a script; SQLite itself knows where a trigger ends."""
    gathered = ""
    for line in text.splitlines(keepends=True):
        gathered += line
        if sqlite3.complete_statement(gathered):
            yield gathered
            gathered = ""
    assert not gathered.strip(), "a migration ends within a statement"
