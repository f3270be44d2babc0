"""Inputs that a store of release 0.1 holds as MaxReset are Stuck after its upgrade."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from pilotage.central.store.migrations import migrations
from pilotage.central.store.postgresql.session import PostgresqlSession
from pilotage.central.store.sqlite.migrate import migrate
from tests.services.postgresql import Postgresql

FILLED = """
INSERT INTO input (transformation_id, file_id, input_no, state, task_id, errors, replays,
                   inherited, changed_at)
VALUES (1, 1, 0, 'MaxReset', 5, 10, 2, 1, 7.0), (1, 2, 0, 'MaxReset', 6, 10, 0, 0, 8.0),
       (1, 3, 0, 'Unused', NULL, 0, 0, 0, 9.0), (2, 1, 1, 'Processed', 7, 1, 0, 0, 9.0);
"""
MOVED = "UPDATE input SET state = 'Unused' WHERE transformation_id = 1 AND file_id = 2"
ADDED = """
INSERT INTO input (transformation_id, file_id, input_no, state, changed_at)
VALUES (2, 9, 1, 'Stuck', 9.0)
"""
ROWS = """
SELECT transformation_id, file_id, input_no, state, task_id, errors, replays, inherited, changed_at
  FROM input ORDER BY transformation_id, file_id
"""
COUNTS = """
SELECT transformation_id, input_no, state, files FROM input_count
 ORDER BY transformation_id, input_no, state
"""
AFTER = [
    (1, 1, 0, "Stuck", 5, 10, 2, 1, 7.0),
    (1, 2, 0, "Stuck", 6, 10, 0, 0, 8.0),
    (1, 3, 0, "Unused", None, 0, 0, 0, 9.0),
    (2, 1, 1, "Processed", 7, 1, 0, 0, 9.0),
]
COUNTED = [(1, 0, "Stuck", 2), (1, 0, "Unused", 1), (2, 1, "Processed", 1)]
COUNTED_LATER = [
    *((1, 0, "Stuck", 1), (1, 0, "Unused", 2)),
    *((2, 1, "Processed", 1), (2, 1, "Stuck", 1)),
]


def plain(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in rows]


def test_on_sqlite() -> None:
    steps = migrations("sqlite")
    (number,) = [one.number for one in steps if one.name == "stuck"]
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, steps[: number - 1], 1.0)
    connection.executescript(FILLED)
    migrate(connection, steps, 2.0)

    assert plain(connection.execute(ROWS).fetchall()) == AFTER
    assert plain(connection.execute(COUNTS).fetchall()) == COUNTED
    plan = "EXPLAIN QUERY PLAN SELECT file_id FROM input WHERE state = 'Unused'"
    assert "input_unused" in connection.execute(plan).fetchone()[3]
    connection.execute(MOVED)
    connection.execute(ADDED)
    assert plain(connection.execute(COUNTS).fetchall()) == COUNTED_LATER
    connection.close()


def test_on_postgresql(server: Postgresql) -> None:
    with server.empty_schema() as url:
        session = PostgresqlSession(url)
        session.script("CREATE SCHEMA before; SET search_path = before")
        for step in migrations("postgresql"):
            if step.name == "stuck":
                session.script(FILLED)
            session.script(step.text)
        fetch = session.connection.fetch

        assert plain(session.wait(fetch(ROWS))) == AFTER
        assert plain(session.wait(fetch(COUNTS))) == COUNTED
        session.script(f"{MOVED};{ADDED}")
        assert plain(session.wait(fetch(COUNTS))) == COUNTED_LATER
        session.script("DROP SCHEMA before CASCADE")
        session.close()
