"""A SQLite connection that verbs run on."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from ..dialects import ROWS_TOGETHER
from ..queries import load
from ..session import TEMPLATES_BYTES_MAX, ReadStopped, Session, SqlParameters, Transactions
from .errors import translated


class SqliteSession(Session):
    """The session that runs all verbs on SQLite. The writer's session stays on its thread."""

    faults = (sqlite3.Error, *Transactions.faults)

    def __init__(
        self,
        connection: sqlite3.Connection,
        shared: dict[type, Any] | None = None,
        templates_bytes_max: int = TEMPLATES_BYTES_MAX,
    ) -> None:
        super().__init__(shared, templates_bytes_max)
        self.connection = connection
        self.sql = load("sqlite")

    def begin(self) -> None:
        self.connection.execute(self.sql["begin"])

    def begin_read(self) -> None:
        self.connection.execute(self.sql["begin_read"])

    def commit(self) -> None:
        self.connection.execute(self.sql["commit"])

    def roll_back(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute(self.sql["rollback"])

    def interrupt(self) -> None:
        super().interrupt()
        self.connection.interrupt()

    def give_up(self) -> None:
        self.connection.close()

    def close(self) -> None:
        self.connection.close()

    def translated(self, why: BaseException) -> BaseException:
        return translated(why)

    def run(self, statement: str, parameters: SqlParameters = ()) -> sqlite3.Cursor:
        if self.is_stopped:  # SQLite interrupts running statements only
            raise ReadStopped
        return self.connection.execute(self.sql[statement], parameters)

    def one(self, statement: str, parameters: SqlParameters = ()) -> Any:
        return self.run(statement, parameters).fetchone()

    def rows(self, statement: str, parameters: SqlParameters = ()) -> list[Any]:
        return self.run(statement, parameters).fetchall()

    def many(self, statement: str, rows: Sequence[SqlParameters]) -> int:
        if not rows:
            return 0
        together = self.sql.get(f"{statement}_together")
        if together is not None:
            return self._together(together, rows)
        return self.connection.executemany(self.sql[statement], rows).rowcount

    def _together(self, statement: str, rows: Sequence[SqlParameters]) -> int:
        """Insert several rows with each statement.

        Each step of a statement releases the interpreter's lock and waits for the event loop to
        return it, which costs more than the step itself.
        """
        count, nobody = 0, (None,) * len(rows[0])
        for at in range(0, len(rows), ROWS_TOGETHER):
            some = [*rows[at : at + ROWS_TOGETHER]]
            some += [nobody] * (ROWS_TOGETHER - len(some))
            facts = [fact for row in some for fact in row]
            count += self.connection.execute(statement, facts).rowcount
        return count

    def each(self, statement: str, rows: Sequence[SqlParameters]) -> list[bool]:
        """Run the rows one by one.

        An executemany within a savepoint would be slower, because SQLite then copies every page
        before it changes it.
        """
        cursor, sql = self.connection.cursor(), self.sql[statement]
        return [cursor.execute(sql, row).rowcount == 1 for row in rows]
