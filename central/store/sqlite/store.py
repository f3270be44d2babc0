"""The store on SQLite: one file, written by one process."""

import asyncio
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from ..engine import Store
from ..errors import StoreError
from ..migrations import migrations
from ..opening import make_ready, remove_unnamed
from ..queries import load
from ..readers import READERS, Readers
from ..session import READER_TEMPLATES_BYTES_MAX, Session
from ..writer import Writer
from .checkpoints import WalCheckpoints
from .copying import LogCopy
from .durable import prepare, require
from .errors import translated
from .migrate import migrate
from .session import SqliteSession

_OF_READERS: Final = ("set_query_only", "set_reader_cache", "set_no_mmap", "set_temp_store")
BUSY_S: Final = 5.0  # wait for another process that writes; there should be none


async def open_sqlite(
    path: Path, *, clock_wall: Callable[[], float], fatal: Callable[[str], None]
) -> Store:
    """Open or create the store at `path`, update its schema, and remove unfinished rows.

    Raises NewerSchema, MigrationChanged, or StoreBroken if the file is not fully durable.
    """
    shared: dict[type, Any] = {}
    try:
        session, copy = await asyncio.to_thread(_prepare, path, clock_wall(), shared)
        connect = partial(_reading, path, session.generation, shared)
        opened = [connect() for _ in range(READERS)]
    except sqlite3.Error as why:
        raise translated(why) from why
    afterwards = WalCheckpoints(session, copy.begin, log=Path(f"{path}-wal")).look
    writer = Writer[Session](session, fatal=fatal, afterwards=afterwards)
    return SqliteStore(writer, Readers(connect, opened), session, copy)


def _prepare(path: Path, at: float, shared: dict[type, Any]) -> tuple[SqliteSession, LogCopy]:
    connection = _connected(path)
    try:
        return made_ready(connection, at, shared), _copy(path)
    except (sqlite3.Error, StoreError):
        connection.close()
        raise


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path,
        isolation_level=None,
        timeout=BUSY_S,
        check_same_thread=False,  # it moves to another thread and stays there
        cached_statements=256,
    )


def _copy(path: Path) -> LogCopy:
    connection = _connected(path)
    try:
        prepare(connection)
    except (sqlite3.Error, StoreError):
        connection.close()
        raise
    return LogCopy(connection)


def made_ready(connection: sqlite3.Connection, at: float, shared: dict[type, Any]) -> SqliteSession:
    """Return the session that writes, after updating the schema."""
    prepare(connection)
    migrate(connection, migrations("sqlite"), at)
    session = SqliteSession(connection, shared)
    make_ready(session, at)
    # Foreign keys are off for this step: SQLite would search all jobs for each class.
    session.run("set_no_foreign_keys")
    remove_unnamed(session)
    session.run("set_foreign_keys")
    require(session.connection, "get_foreign_keys", 1)
    return session


def _reading(path: Path, generation: str, shared: dict[type, Any]) -> SqliteSession:
    """Open a read-only session."""
    sql = load("sqlite")
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,  # one thread at a time uses it
            cached_statements=256,
        )
        try:
            for statement in _OF_READERS:
                connection.execute(sql[statement]).fetchall()
        except sqlite3.Error:
            connection.close()
            raise
    except sqlite3.Error as why:
        raise translated(why) from why
    session = SqliteSession(connection, shared, READER_TEMPLATES_BYTES_MAX)
    session.generation = generation
    return session


class SqliteStore(Store):
    """The store of one process on one file."""

    def __init__(
        self, writer: Writer[Session], readers: Readers, session: SqliteSession, copy: LogCopy
    ) -> None:
        super().__init__(writer, readers, session.generation)
        self._session, self._copy = session, copy

    async def close(self) -> None:
        """Finish the queued operations, then close."""
        await super().close()
        await asyncio.to_thread(self._copy.close)
        await asyncio.to_thread(self._session.connection.close)
