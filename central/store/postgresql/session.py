"""A PostgreSQL connection that verbs run on, from a thread with an event loop of its own.

Verbs are plain functions, so each statement is waited for. Statements with many rows are sent
together. A pilot's request or a submission needs few statements, whatever the number of rows.
"""

from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import uvloop

from ..errors import NotLeader, StoreBroken, SubmissionDropped
from ..leaders import Lead
from ..session import TEMPLATES_BYTES_MAX, Session, SqlParameters, Transactions
from .driver import COMMAND_S, CONNECT_S, FAULTS, connect
from .errors import may_pass, translated
from .statements import Statement, statements

T = TypeVar("T")

CLOSES_TURNS: Final = 3  # turns in which a loop closes the socket of a terminated connection


class PostgresqlResult(NamedTuple):
    """The outcome of a statement."""

    rowcount: int


class PostgresqlSession(Session):
    """The session that runs all verbs on PostgreSQL. Any one thread at a time may use it."""

    faults = (*FAULTS, *Transactions.faults)
    is_shared = True

    def __init__(
        self,
        url: str,
        *,
        only_read: bool = False,
        lead: Lead | None = None,
        command_s: float | None = COMMAND_S,
        shared: dict[type, Any] | None = None,
        templates_bytes_max: int = TEMPLATES_BYTES_MAX,
    ) -> None:
        """Connect. Raises `FAULTS`.

        With a `lead`, each transaction that writes first checks that the lead is still valid. A
        statement is given up after `command_s` (None: never).
        """
        super().__init__(shared, templates_bytes_max)
        self._lead = lead
        self.writer = 0  # this connection's number, which other processes see
        self.tells = False  # true: signal new submissions to the leader
        self._loop = uvloop.new_event_loop()
        self._sql = statements()
        try:
            self.connection = self.wait(
                connect(
                    url,
                    only_read=only_read,
                    holder=lead.holder if lead else "",
                    command_s=command_s,
                )
            )
        except FAULTS:
            self._loop.close()
            raise

    def wait(self, call: Awaitable[T]) -> T:
        """Return the result of a call of asyncpg."""
        return self._loop.run_until_complete(_whole(call))

    def begin(self) -> None:
        self._control("begin")
        lead = self._lead
        if lead is not None:
            its = {"shard": lead.shard, "term": lead.term, "holder": lead.holder}
            if self.one("fence", its) is None:
                raise NotLeader(lead.holder, lead.term)

    def begin_read(self) -> None:
        self._control("begin_read")

    def commit(self) -> None:
        if self._control("commit") != "COMMIT":  # ROLLBACK: the transaction had failed before
            raise StoreBroken("a failed transaction was committed")

    def roll_back(self) -> None:
        if not self.connection.is_closed() and self.connection.is_in_transaction():
            self._control("rollback")

    def interrupt(self) -> None:
        super().interrupt()
        self._loop.call_soon_threadsafe(self.connection.terminate)

    def give_up(self) -> None:
        if not self._loop.is_closed():
            self.connection.terminate()
            for _ in range(CLOSES_TURNS):
                self._loop.call_soon(self._loop.stop)
                self._loop.run_forever()
            self._loop.close()

    def close(self) -> None:
        if not self._loop.is_closed():
            try:
                self.wait(self.connection.close(timeout=CONNECT_S))
            except FAULTS:
                self.connection.terminate()
            self._loop.close()

    def translated(self, why: BaseException) -> BaseException:
        return translated(why)

    def may_pass(self, why: BaseException) -> bool:
        return may_pass(why)

    def register(self) -> None:
        """Show other processes that there is a writer, as long as this connection lives."""
        while not self.writer:
            taken = self.one("register_writer")
            if taken is not None:  # None: another process has this number
                self.writer = int(taken[0])

    def arriving(self, submission_id: int) -> None:
        given = {"submission_id": submission_id, "writer": self.writer}
        self.run("begin_arriving", given)

    def still_arriving(self, submission_id: int) -> None:
        if not self.run("go_on_arriving", {"submission_id": submission_id}).rowcount:
            raise SubmissionDropped(submission_id)

    def ends_arriving(self, submission_id: int) -> bool:
        return self.run("end_arriving", {"submission_id": submission_id}).rowcount == 1

    def arrived(self, submission_id: int) -> None:
        if self.tells:
            self.run("tell_arrival", {"submission_id": submission_id})
            self.rows("hint_arrival")

    def names_paths(self) -> None:
        self.rows("share_paths")

    def marks_paths(self) -> None:
        self.rows("have_paths")

    def run(self, statement: str, parameters: SqlParameters = ()) -> PostgresqlResult:
        one = self._sql[statement]
        arguments = one.arguments(parameters)
        return PostgresqlResult(_count(self.wait(self.connection.execute(one.text, *arguments))))

    def one(self, statement: str, parameters: SqlParameters = ()) -> Any:
        found = self.rows(statement, parameters)
        return found[0] if found else None

    def rows(self, statement: str, parameters: SqlParameters = ()) -> list[Any]:
        one = self._sql[statement]
        return self.wait(self.connection.fetch(one.text, *one.arguments(parameters)))

    def many(self, statement: str, rows: Sequence[SqlParameters]) -> int:
        """Statements that return nothing are inserts: each changes one row or fails."""
        if not rows:
            return 0
        together = self._sql.get(f"{statement}_together")
        if together is not None:
            return self._together(together, rows)
        one = self._sql[statement]
        given = [one.numbered(row, number) for number, row in enumerate(rows)]
        if one.returns:
            return len(self.wait(self.connection.fetchmany(one.text, given)))
        self.wait(self.connection.executemany(one.text, given))
        return len(rows)

    def _together(self, one: Statement, rows: Sequence[SqlParameters]) -> int:
        """Run one statement over all rows, given as columns."""
        columns = [list(column) for column in zip(*map(one.arguments, rows), strict=True)]
        return _count(self.wait(self.connection.execute(one.text, *columns)))

    def each(self, statement: str, rows: Sequence[SqlParameters]) -> list[bool]:
        """Send all rows together. Each row that changed returns its number.

        One statement takes all rows, if there is such a statement and their first parameter, which
        names what they change, differs: it would change the same row only once.
        """
        won = [False] * len(rows)
        if not rows:
            return won
        together = self._sql.get(f"{statement}_together")
        if together is not None:
            given = [together.numbered(row, number) for number, row in enumerate(rows)]
            columns = [list(column) for column in zip(*given, strict=True)]
            if len(set(columns[0])) == len(rows):
                changed = self.wait(self.connection.fetch(together.text, *columns))
                for row in changed:
                    won[row[0]] = True
                return won
        one = self._sql[statement]
        given = [one.numbered(row, number) for number, row in enumerate(rows)]
        for row in self.wait(self.connection.fetchmany(one.text, given)):
            won[row[0]] = True
        return won

    def append(
        self, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]
    ) -> None:
        """Append rows with COPY."""
        self.wait(self.connection.copy_records_to_table(table, records=rows, columns=columns))

    def walk(self, statement: str, page: int) -> Iterator[Any]:
        """Yield the rows of a statement, page by page, within a transaction."""
        cursor = self.wait(self.connection.cursor(self._sql[statement].text))
        while rows := self.wait(cursor.fetch(page)):
            yield from rows

    def script(self, text: str) -> None:
        """Run the statements of a migration."""
        self.wait(self.connection.execute(text))

    def _control(self, statement: str) -> str:
        status: str = self.wait(self.connection.execute(self._sql[statement].text))
        return status


def _count(status: str) -> int:
    """Return the number of changed rows from a server's status, as `UPDATE 3`."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdecimal() else 0


async def _whole(call: Awaitable[T]) -> T:
    return await call
