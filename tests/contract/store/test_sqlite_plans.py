"""How SQLite goes about statements that would be slow if they read whole tables."""

import sqlite3

from pilotage.central.store.migrations import migrations
from pilotage.central.store.queries import load
from pilotage.central.store.sqlite.migrate import migrate


def test_attempts_whose_results_counted_are_found_by_their_ids() -> None:
    """No index finds attempts by their job: each job would read all attempts."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, migrations("sqlite"), 1.0)
    statement = load("sqlite")["counted_epochs"]
    how = [
        row[3]
        for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", {"ids": "[1]"}).fetchall()
    ]
    connection.close()

    assert [one for one in how if one.startswith("SEARCH a ")]
    assert not [one for one in how if one.startswith(("SCAN a", "SCAN j"))], how
