"""The store of the tests: the shipped SQL on SQLite in memory. No thread, no file, no clock.

Each operation runs at once in a transaction of its own, then awaits `synced`. A test may override
`committing` to let writes fail, and `synced` to delay their answers.
"""

import inspect
import sqlite3
from collections.abc import Awaitable, Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from pilotage.central.store.engine import Store
from pilotage.central.store.errors import StoreError, StoreFull
from pilotage.central.store.migrations import migrations
from pilotage.central.store.opening import make_ready, remove_unnamed
from pilotage.central.store.readers import Readers
from pilotage.central.store.session import Session
from pilotage.central.store.sqlite.migrate import migrate
from pilotage.central.store.sqlite.session import SqliteSession
from pilotage.central.store.writer import Writer

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

GENERATION: Final = "memory"  # the same in all stores, so that simulated worlds are alike
STATEMENTS: Final = 512  # that a connection keeps compiled: all of them


class Connection(sqlite3.Connection):
    """A connection that closes itself, since most tests leave their store open."""

    def __del__(self) -> None:
        self.close()


@cache
def empty() -> bytes:
    """Return a store without rows, whose migrations have run."""
    connection = connected()
    migrate(connection, migrations("sqlite"), 0.0)
    return connection.serialize()


def connected(path: Path | None = None) -> sqlite3.Connection:
    return sqlite3.connect(
        path or ":memory:",
        isolation_level=None,
        check_same_thread=False,  # the garbage collector may run on any
        cached_statements=STATEMENTS,
        factory=Connection,
    )


def way(verb: object) -> Callable[[F], F]:
    """Mark a method of a store as the way that calls of a verb go.

    It is given the plain call and its arguments.
    """

    def mark(method: F) -> F:
        method.way_of = verb  # type: ignore[attr-defined]
        return method

    return mark


class InlineWriter(Writer[Session]):
    """The writer without its thread: each operation is a group of its own."""

    def __init__(self, session: SqliteSession, store: "MemoryStore") -> None:
        self._sqlite, self._store = session, store
        self._closed = False
        self.operations = self.commits = 0

    async def run(self, operation: Callable[[Session], T], *, rows: int = 1) -> T:
        if self._closed:
            raise StoreError("the store is closed")
        result = self._transacted(operation)
        self.operations += 1
        self.commits += 1
        await self._store.synced()
        return result

    def _transacted(self, operation: Callable[[Session], T]) -> T:
        session, connection = self._sqlite, self._sqlite.connection
        before = connection.total_changes
        try:
            session.begin()
            try:
                result = operation(session)
                if connection.total_changes != before:
                    self._store.committing()
                session.commit()
            except BaseException:
                session.forget()
                session.roll_back()
                raise
        except sqlite3.Error as why:
            raise session.translated(why) from why
        return result

    async def close(self) -> None:
        self._closed = True


class InlineReaders(Readers):
    """Reads on the connection of the writer, which sees all that is committed."""

    def __init__(self, session: SqliteSession) -> None:
        super().__init__(lambda: session)
        self._sqlite = session

    async def run(self, call: Callable[[Session], T]) -> T:
        session = self._sqlite
        try:
            return call(session)
        except sqlite3.Error as why:
            raise session.translated(why) from why


class MemoryStore(Store):
    """The shipped verbs on a database in memory. With `full` nothing more is written."""

    def __init__(
        self,
        *,
        clock_wall: Callable[[], float] = lambda: 0.0,
        data: bytes = b"",
        session: Callable[[sqlite3.Connection], SqliteSession] = SqliteSession,
        path: Path | None = None,
    ) -> None:
        """`data` is what another store has kept, serialized; by default there is nothing.

        A store that is too large for memory gets the `path` of a file.
        """
        self.full = False
        self.ways: dict[object, Callable[..., Awaitable[Any]]] = {  # of calls, by their verb
            vars(method)["way_of"]: getattr(self, name)
            for name, method in inspect.getmembers(type(self), inspect.isfunction)
            if hasattr(method, "way_of")
        }
        if path is not None:
            path.write_bytes(data or empty())
        self.connection = connected(path)
        if path is None:
            self.connection.deserialize(data or empty())
        opening = SqliteSession(self.connection)
        make_ready(opening, clock_wall())
        self.connection.execute("UPDATE store SET generation = ?", (GENERATION,))
        remove_unnamed(opening)  # before foreign keys are on, as the shipped driver does
        opening.run("set_foreign_keys")
        self.session = session(self.connection)
        self.session.generation = GENERATION
        super().__init__(InlineWriter(self.session, self), InlineReaders(self.session), GENERATION)
        self._clock_wall = clock_wall

    async def write(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **named: P.kwargs
    ) -> T:
        """Write, or go the way that a test has set for the verb.

        A way is given the plain call and its arguments.
        """
        way = self.ways.get(verb)
        if way is None:
            return await super().write(verb, *args, **named)
        result: T = await way(partial(super().write, verb), *args, **named)
        return result

    async def read(
        self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **named: P.kwargs
    ) -> T:
        """Read, or go the way that a test has set for the verb."""
        way = self.ways.get(verb)
        if way is None:
            return await super().read(verb, *args, **named)
        result: T = await way(partial(super().read, verb), *args, **named)
        return result

    def reopened(self) -> Self:
        """Return the store as the next process finds it; what this one writes later stays here."""
        again = type(self)(clock_wall=self._clock_wall, data=self.connection.serialize())
        ways = self.ways.items()
        again.ways |= {verb: one for verb, one in ways if getattr(one, "__self__", 0) is not self}
        return again

    def committing(self) -> None:
        """Raise what the commit of an operation raises that has changed something."""
        if self.full:
            raise StoreFull("the test says so")

    async def synced(self) -> None:
        """Wait for the disk. What is written can be read before."""

    async def close(self) -> None:
        await self._writer.close()

    def by_hand(self, sql: str, *parameters: object) -> list[Any]:
        """Run a statement that no verb has; return its rows, which have names."""
        cursor = self.connection.cursor()
        cursor.row_factory = sqlite3.Row
        return cursor.execute(sql, parameters).fetchall()

    def put_body(self, job_id: int, body: bytes) -> None:
        """Let a job have another body, which the release that wrote it may have known."""
        self.by_hand("UPDATE body SET body = ? WHERE job_id = ?", body.decode(), job_id)
