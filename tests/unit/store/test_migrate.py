"""Statements by name, migrations by number."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotage.central.store.errors import MigrationChanged, NewerSchema, StoreBroken
from pilotage.central.store.migrations import Migration, migrations
from pilotage.central.store.queries import load, parse
from pilotage.central.store.sqlite import open_sqlite
from pilotage.central.store.sqlite.migrate import migrate, split

FIRST = Migration(1, "first", "CREATE TABLE a (n INTEGER);\nINSERT INTO a VALUES (1);\n")
SECOND = Migration(2, "second", "ALTER TABLE a ADD COLUMN m INTEGER DEFAULT 7;\n")
BAD = Migration(2, "bad", "CREATE TABLE b (n INTEGER);\nINSERT INTO nowhere VALUES (1);\n")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(":memory:", isolation_level=None)
    yield made
    made.close()


def never(why: str) -> None:
    raise AssertionError(why)


def test_statements_are_found_by_name_without_comments() -> None:
    text = (
        "-- of a file\\n-- name: one\\n-- says why\\nSELECT 1;\\n\\n-- name: two\\nSELECT\\n  2;\\n"
    )

    assert dict(parse(text.replace("\\n", "\n"))) == {"one": "SELECT 1", "two": "SELECT\n  2"}
    assert load("sqlite")["commit"] == "COMMIT"


def test_migrations_run_once_and_in_order(connection: sqlite3.Connection) -> None:
    assert migrate(connection, [FIRST], 5.0) == 1
    assert migrate(connection, [FIRST, SECOND], 6.0) == 2
    assert migrate(connection, [FIRST, SECOND], 7.0) == 2
    ran = connection.execute("SELECT number, name, at FROM migration").fetchall()

    assert connection.execute("SELECT n, m FROM a").fetchall() == [(1, 7)]
    assert ran == [(1, "first", 5.0), (2, "second", 6.0)]


def test_a_store_of_a_newer_pilotage_is_refused(connection: sqlite3.Connection) -> None:
    migrate(connection, [FIRST, SECOND], 5.0)
    with pytest.raises(NewerSchema):
        migrate(connection, [FIRST], 6.0)


def test_a_changed_migration_is_refused(connection: sqlite3.Connection) -> None:
    migrate(connection, [FIRST], 5.0)
    with pytest.raises(MigrationChanged):
        migrate(connection, [Migration(1, "first", FIRST.text + "-- better\n")], 6.0)


def test_a_migration_that_fails_leaves_nothing(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.Error):
        migrate(connection, [FIRST, BAD], 5.0)
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}

    assert tables == {"a", "migration"}
    assert migrate(connection, [FIRST, SECOND], 6.0) == 2


def test_a_trigger_is_one_statement() -> None:
    trigger = "CREATE TRIGGER t AFTER UPDATE ON a BEGIN\n SELECT 1;\n SELECT 2;\nEND;\n"

    assert list(split("SELECT 1;\n" + trigger)) == ["SELECT 1;\n", trigger]


def test_what_ships_is_numbered_without_a_gap() -> None:
    assert [one.number for one in migrations("sqlite")] == list(
        range(1, 1 + len(migrations("sqlite")))
    )


async def test_a_store_that_cannot_be_durable_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(StoreBroken):
        await open_sqlite(tmp_path / "no" / "folder.db", clock_wall=lambda: 0.0, fatal=never)
    (tmp_path / "text.db").write_text("this is no database, whatever its name may say" * 100)
    with pytest.raises(StoreBroken):
        await open_sqlite(tmp_path / "text.db", clock_wall=lambda: 0.0, fatal=never)
