"""The session of a cookie is found by its index, because anybody may send cookies."""

import sqlite3

from pilotage.central.store.migrations import migrations
from pilotage.central.store.postgresql.store import prepared
from pilotage.central.store.queries import load
from pilotage.central.store.sqlite.migrate import migrate
from tests.services.postgresql import Postgresql

from .test_postgresql_plans import plan


def test_on_sqlite() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, migrations("sqlite"), 1.0)
    statement = load("sqlite")["login_session_of_cookie"]
    how = connection.execute(f"EXPLAIN QUERY PLAN {statement}", {"cookie": "hash"}).fetchall()
    connection.close()

    assert "USING INDEX login_session_cookie" in how[0][3]


def test_on_postgresql(server: Postgresql) -> None:
    with server.empty_schema() as url:
        session = prepared(url, 1_000.0)
        how = plan(session, "login_session_of_cookie")
        session.close()

    assert "Index Scan using login_session_cookie" in how
