"""The store on PostgreSQL: one database, which one central writes through one connection."""

import asyncio
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

from ..errors import StoreBroken, StoreError
from ..migrations import migrations, still_to_run
from ..verbs.moments import Moments
from ..verbs.session import Session
from ..verbs.store import VerbStore, forget_classes, made_ready
from ..verbs.writer import Writer
from .driver import FAULTS
from .durable import check
from .errors import translated
from .reads import Reader
from .session import PostgresqlSession

_LOCKED = "55P03"


async def open_postgresql(
    url: str, *, clock_wall: Callable[[], float], fatal: Callable[[str], None]
) -> "PostgresqlStore":
    """Open the store in the database at `url`, or make one there; remove what never finished.

    Raises NewerSchema, MigrationChanged, or StoreBroken: the server is not there or gives no full
    durability, another central writes to the store.
    """
    session, generation = await asyncio.to_thread(prepared, url, clock_wall())
    writer = Writer[Session](session, fatal=fatal)
    moments = Moments(partial(_reading, url))
    return PostgresqlStore(writer, session, Reader(url), moments, generation, clock_wall)


def prepared(url: str, at: float) -> tuple[PostgresqlSession, str]:
    """Return the connection that writes to a store, with its tables there; and its generation."""
    try:
        session = PostgresqlSession(url)
    except FAULTS as why:
        raise StoreBroken(f"PostgreSQL at {named(url)}: {str(why) or type(why).__name__}") from why
    try:
        return session, _made_ready(session, at)
    except FAULTS as why:
        session.close()
        raise translated(why) from why
    except StoreError:
        session.close()
        raise


def _made_ready(session: PostgresqlSession, at: float) -> str:
    check(session.one("durability"))
    _lock(session)
    _migrate(session, at)
    generation = made_ready(session, at)
    forget_classes(session)
    return generation


def _lock(session: PostgresqlSession) -> None:
    """Take the store for this connection. Whoever was killed just now lets go within seconds."""
    session.run("let_wait_for_the_lock")
    try:
        session.rows("lock")
    except FAULTS as why:
        if getattr(why, "sqlstate", "") == _LOCKED:
            raise StoreBroken("another central writes to this store: stop that one first") from why
        raise
    session.run("wait_no_longer")


def _migrate(session: PostgresqlSession, at: float) -> None:
    """Bring the schema up to date."""
    session.run("make_migrations")
    for one in still_to_run(session.rows("migrations"), migrations("postgresql")):
        row = {"number": one.number, "name": one.name, "checksum": one.checksum, "at": at}
        session.begin()
        session.script(one.text)
        session.run("insert_migration", row)
        session.commit()


def _reading(url: str) -> PostgresqlSession:
    return PostgresqlSession(url, only_read=True)


def named(url: str) -> str:
    """Return where a database is, without what nobody should read in a log."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class PostgresqlStore(VerbStore):
    """The `Store` of one process on one database."""

    def __init__(
        self,
        writer: Writer[Session],
        session: PostgresqlSession,
        reader: Reader,
        moments: Moments,
        generation: str,
        clock_wall: Callable[[], float],
    ) -> None:
        super().__init__(writer, reader, moments, generation, clock_wall)
        self._session, self._connections = session, reader

    async def close(self) -> None:
        await super().close()
        await self._connections.close()
        await asyncio.to_thread(self._session.close)
