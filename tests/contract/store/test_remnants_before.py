"""What was removed before there were remnants is one, on both databases."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from pilotage.central.store.migrations import migrations
from pilotage.central.store.postgresql.session import PostgresqlSession
from pilotage.central.store.sqlite.migrate import migrate
from tests.services.postgresql import Postgresql

FILLED = """
INSERT INTO data_community (community_id, community) VALUES (1, 'ctao'), (2, 'lhcb');
INSERT INTO data_scope (scope_id, community_id, scope)
VALUES (1, 1, 'users'), (2, 1, 'dpps.raw'), (3, 2, 'users');
INSERT INTO file (file_id, community_id, scope_id, set_id, owner_id, seq, bytes, adler32, state,
                  created_at, name)
VALUES (1, 1, 1, 1, 7, 1, 10, 1, 'Removed', 1.0, 'one'),
       (2, 1, 2, 1, 8, 2, 20, 1, 'Removed', 1.0, 'two'),
       (3, 1, 1, 1, 7, 3, 30, 1, 'Available', 1.0, 'three'),
       (4, 2, 3, 1, 9, 4, 40, 1, 'Removed', 1.0, 'four');
INSERT INTO replica (file_id, storage, path, state, changed_at)
VALUES (1, 'cscs', 'c/1', 'Missing', 5.0), (1, 'pic', 'p/1', 'Missing', 5.0),
       (2, 'pic', 'p/2', 'Missing', 6.0), (3, 'pic', 'p/3', 'Available', 7.0);
"""
ROWS = """
SELECT remnant_id, storage, path, community, owner_id, group_name, file_id, bytes, since, due_from,
       state FROM remnant ORDER BY remnant_id
"""
COUNTS = """
SELECT storage, community, waiting, waiting_bytes, failing, gone FROM remnant_count
 ORDER BY storage, community
"""
NEXT = "SELECT next FROM counter WHERE name = 'remnant'"


def as_it_should_be(rows: Sequence[Any], counts: Sequence[Any], following: int) -> None:
    assert [tuple(row) for row in rows] == [
        (1, "cscs", "c/1", "ctao", 7, "users", 1, 10, 5.0, 5.0, "Waiting"),
        (2, "pic", "p/1", "ctao", 7, "users", 1, 10, 5.0, 5.0, "Waiting"),
        (3, "pic", "p/2", "ctao", 8, "dpps", 2, 20, 6.0, 6.0, "Waiting"),
    ]
    assert [tuple(row) for row in counts] == [
        ("cscs", "ctao", 1, 10, 0, 0),
        ("pic", "ctao", 2, 30, 0, 0),
    ]
    assert following == 4


def test_on_sqlite() -> None:
    steps = migrations("sqlite")
    (before,) = [one.number for one in steps if one.name == "remnants"]
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, steps[: before - 1], 1.0)
    connection.executescript(FILLED)
    migrate(connection, steps, 2.0)

    as_it_should_be(
        connection.execute(ROWS).fetchall(),
        connection.execute(COUNTS).fetchall(),
        connection.execute(NEXT).fetchone()[0],
    )
    connection.close()


def test_on_postgresql(server: Postgresql) -> None:
    with server.empty_schema() as url:
        session = PostgresqlSession(url)
        session.script("CREATE SCHEMA before; SET search_path = before")
        for step in migrations("postgresql"):
            if step.name == "remnants":
                session.script(FILLED)
            session.script(step.text)
        fetch = session.connection.fetch

        as_it_should_be(
            session.wait(fetch(ROWS)), session.wait(fetch(COUNTS)), session.wait(fetch(NEXT))[0][0]
        )
        session.script("DROP SCHEMA before CASCADE")
        session.close()
