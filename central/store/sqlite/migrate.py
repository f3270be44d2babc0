"""Bring the schema of a SQLite file up to date."""

import sqlite3
from collections.abc import Iterator, Sequence

from ..migrations import Migration, still_to_run
from ..queries import load


def migrate(connection: sqlite3.Connection, known: Sequence[Migration], at: float) -> int:
    """Bring the schema up to date. Return its number.

    Raises NewerSchema, or MigrationChanged if an applied migration has another text now.
    """
    sql = load("sqlite")
    connection.execute(sql["make_migrations"])
    applied = connection.execute(sql["migrations"]).fetchall()
    for migration in still_to_run(applied, known):
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
    """Yield the statements of a script. SQLite finds their ends, also those of triggers."""
    gathered = ""
    for line in text.splitlines(keepends=True):
        gathered += line
        if sqlite3.complete_statement(gathered):
            yield gathered
            gathered = ""
    assert not gathered.strip(), "a migration ends within a statement"
