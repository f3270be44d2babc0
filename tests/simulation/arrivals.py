"""What a database does where processes that do not lead take jobs in as well.

The verbs are the shipped ones. Their statements are PostgreSQL's: those of arrivals stand here as
SQLite says them. A transaction of a simulated database is visible at once, so that a number says
what a snapshot says there.
"""

import sqlite3
from typing import Any, ClassVar, Final

from pilotage.central.store.queries import load

from .store import Held

TABLES: Final = (
    "CREATE TABLE arrival (n INTEGER PRIMARY KEY AUTOINCREMENT, submission_id INTEGER NOT NULL)",
    "CREATE VIEW now AS SELECT CAST(coalesce(max(seq), 0) AS TEXT) AS moment"
    "  FROM sqlite_sequence WHERE name = 'arrival'",
)
STATEMENTS: Final = {
    "moment": "SELECT moment FROM now",
    "arrivals": """
        SELECT now.moment, s.submission_id, s.ranges, 0.0
          FROM now
          LEFT JOIN arrival AS a ON a.n > CAST(:since AS INTEGER)
          LEFT JOIN submission AS s ON s.submission_id = a.submission_id
         ORDER BY s.submission_id""",
    "forget_arrivals": "DELETE FROM arrival WHERE n <= CAST(:before AS INTEGER)",
    "tell_arrival": "INSERT INTO arrival (submission_id) VALUES (:submission_id)",
    # A world submits a few jobs at once, each time in one transaction: none is left half done.
    "take_abandoned": "SELECT 0 WHERE 0",
}
_DIALECT: Final = (
    ("json_array_elements(:ranges::text::json)", "json_each(:ranges)"),
    ("(r ->> ", "(r.value ->> "),
    ("::bigint", ""),
    ("SELECT FROM", "SELECT 1 FROM"),
)


class SharedHeld(Held):
    """A session of such a database."""

    is_shared: ClassVar[bool] = True

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        for table in TABLES:
            connection.execute(table)
        runs = load("postgresql")["arrived_runs"]
        for theirs, ours in _DIALECT:
            runs = runs.replace(theirs, ours)
        statements: dict[str, Any] = {**self.sql, **STATEMENTS, "arrived_runs": runs}
        self.sql = statements

    def arrived(self, submission_id: int) -> None:
        if self.tells:
            self.run("tell_arrival", {"submission_id": submission_id})
