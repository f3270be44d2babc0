"""The store on SQLite: one file, which one process writes."""

import asyncio
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from ..errors import StoreError
from ..migrations import migrations
from ..queries import load
from ..verbs.moments import Moments
from ..verbs.session import Session
from ..verbs.store import VerbStore, forget_classes, made_ready
from ..verbs.writer import Writer
from .checkpoints import Checkpoints
from .copying import LogCopy
from .durable import prepare, require
from .errors import translated
from .migrate import migrate
from .reads import Reader
from .session import SqliteSession

BUSY_S: Final = 5.0  # how long to wait for another process that writes; there should be none


async def open_sqlite(
    path: Path, *, clock_wall: Callable[[], float], fatal: Callable[[str], None]
) -> "SqliteStore":
    """Open or create the store at `path`, bring its schema up to date, remove what never finished.

    Raises NewerSchema, MigrationChanged, or StoreBroken where the file gives no full durability.
    """
    try:
        session, copy, generation = await asyncio.to_thread(_prepare, path, clock_wall())
    except sqlite3.Error as why:
        raise translated(why) from why
    reader = await Reader.open(path)
    afterwards = Checkpoints(session, copy.begin, log=Path(f"{path}-wal")).look
    writer = Writer[Session](session, fatal=fatal, afterwards=afterwards)
    moments = Moments(partial(_reading, path))
    return SqliteStore(writer, session, copy, reader, moments, generation, clock_wall)


def _prepare(path: Path, at: float) -> tuple[SqliteSession, LogCopy, str]:
    connection = _connected(path)
    try:
        session, generation = _made_ready(connection, at)
        return session, _copy(path), generation
    except (sqlite3.Error, StoreError):
        connection.close()
        raise


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path,
        isolation_level=None,
        timeout=BUSY_S,
        check_same_thread=False,  # it moves to a thread of its own and stays there
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


def _made_ready(connection: sqlite3.Connection, at: float) -> tuple[SqliteSession, str]:
    prepare(connection)
    migrate(connection, migrations("sqlite"), at)
    session = SqliteSession(connection)
    generation = made_ready(session, at)
    # Foreign keys are off for it, since for each class SQLite would look at every job.
    session.run("set_no_foreign_keys")
    forget_classes(session)
    session.run("set_foreign_keys")
    require(session.connection, "get_foreign_keys", 1)
    return session, generation


def _reading(path: Path) -> SqliteSession:
    """Open a connection that only reads, for several statements at one moment."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,  # one thread at a time takes it
        cached_statements=64,
    )
    sql = load("sqlite")
    for statement in ("set_query_only", "set_reader_cache", "set_no_mmap", "set_temp_store"):
        connection.execute(sql[statement]).fetchall()
    return SqliteSession(connection)


class SqliteStore(VerbStore):
    """The `Store` of one process on one file."""

    def __init__(
        self,
        writer: Writer[Session],
        session: SqliteSession,
        copy: LogCopy,
        reader: Reader,
        moments: Moments,
        generation: str,
        clock_wall: Callable[[], float],
    ) -> None:
        super().__init__(writer, reader, moments, generation, clock_wall)
        self._session, self._copy, self._connections = session, copy, reader

    async def close(self) -> None:
        await super().close()
        await self._connections.close()
        await asyncio.to_thread(self._copy.close)
        await asyncio.to_thread(self._session.connection.close)
