"""The store on PostgreSQL: one database, which each process writes through one connection."""

import asyncio
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

from ..errors import NotMadeYet, StoreBroken, StoreError
from ..leaders import Lead
from ..migrations import migrations, still_to_run
from ..verbs.moments import Moments
from ..verbs.session import Session
from ..verbs.store import VerbStore, forget_classes, made_ready
from ..verbs.writer import Writer
from .arrivals import PostgresqlArrivals
from .driver import FAULTS
from .durable import check
from .errors import is_no_table, translated
from .hints import Hints
from .reads import Reader
from .session import PostgresqlSession

_LOCKED = "55P03"


async def open_postgresql(
    url: str,
    *,
    clock_wall: Callable[[], float],
    fatal: Callable[[str], None],
    lead: Lead | None = None,
) -> "PostgresqlStore":
    """Open the store in the database at `url`, or make one there; remove what never finished.

    With a `lead` nothing is written once another process leads: `fatal` hears of it. Raises
    NewerSchema, MigrationChanged, or StoreBroken: the server is not there or gives no full
    durability, another central writes to the store.
    """
    session, generation = await asyncio.to_thread(prepared, url, clock_wall(), lead)
    writer = Writer[Session](session, fatal=fatal)
    moments = Moments(partial(_reading, url))
    return PostgresqlStore(
        writer, session, Reader(url), moments, generation, clock_wall, Hints(url)
    )


async def open_beside(
    url: str, *, clock_wall: Callable[[], float], fatal: Callable[[str], None]
) -> "PostgresqlStore":
    """Open the store beside the process that keeps the queue, to read and to take jobs in.

    Its tables must be there. Raises NewerSchema, MigrationChanged, NotMadeYet or StoreBroken.
    """
    session, generation = await asyncio.to_thread(_beside, url)
    writer = Writer[Session](session, fatal=fatal)
    moments = Moments(partial(_reading, url))
    return PostgresqlStore(
        writer, session, Reader(url), moments, generation, clock_wall, Hints(url)
    )


def _beside(url: str) -> tuple[PostgresqlSession, str]:
    return _opened(url, _looked_at)


def _looked_at(session: PostgresqlSession) -> str:
    check(session.one("durability"))
    try:
        applied = session.rows("migrations")
    except FAULTS as why:
        if is_no_table(why):
            raise NotMadeYet from why
        raise
    found = (
        None if still_to_run(applied, migrations("postgresql")) else session.one("get_generation")
    )
    if found is None:
        raise NotMadeYet
    session.register()
    session.rows("share_classes")
    session.run("hurry")
    session.tells = True
    generation: str = found[0]
    return generation


def prepared(url: str, at: float, lead: Lead | None = None) -> tuple[PostgresqlSession, str]:
    """Return the connection that writes to a store, with its tables there; and its generation."""
    return _opened(url, partial(_made_ready, at=at), lead)


def _opened(
    url: str, ready: Callable[[PostgresqlSession], str], lead: Lead | None = None
) -> tuple[PostgresqlSession, str]:
    try:
        session = PostgresqlSession(url, lead=lead)
    except FAULTS as why:
        raise StoreBroken(f"PostgreSQL at {named(url)}: {str(why) or type(why).__name__}") from why
    try:
        return session, ready(session)
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
    session.register()
    generation = made_ready(session, at)
    if session.one("have_classes")[0]:  # nobody else takes jobs in
        forget_classes(session)
        session.rows("leave_classes")
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
    try:
        return PostgresqlSession(url, only_read=True)
    except FAULTS as why:
        raise translated(why) from why


def named(url: str) -> str:
    """Return where a database is, without what nobody should read in a log."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class PostgresqlStore(PostgresqlArrivals, VerbStore):
    """The `Store` of one process on one database."""

    def __init__(
        self,
        writer: Writer[Session],
        session: PostgresqlSession,
        reader: Reader,
        moments: Moments,
        generation: str,
        clock_wall: Callable[[], float],
        hints: Hints,
    ) -> None:
        super().__init__(writer, reader, moments, generation, clock_wall)
        self._session, self._connections, self._hints = session, reader, hints

    async def close(self) -> None:
        await super().close()
        self._hints.close()
        await self._connections.close()
        await asyncio.to_thread(self._session.close)
