"""The store on PostgreSQL: one database. Each process writes it through one connection."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from ..engine import Store
from ..errors import NotMadeYet, StoreBroken, StoreError
from ..leaders import Lead
from ..migrations import migrations, still_to_run
from ..opening import make_ready, remove_unnamed
from ..readers import Readers
from ..session import READER_TEMPLATES_BYTES_MAX, Session
from ..writer import Writer
from .driver import FAULTS
from .durable import check
from .errors import is_no_table, translated
from .hints import Hints
from .session import PostgresqlSession

_LOCKED = "55P03"


async def open_postgresql(
    url: str,
    *,
    clock_wall: Callable[[], float],
    fatal: Callable[[str], None],
    lead: Lead | None = None,
) -> Store:
    """Open the store in the database at `url`, or create it there. Remove unfinished rows.

    With a `lead`, nothing is written after another process has taken over; `fatal` is called then.
    Raises NewerSchema, MigrationChanged, or StoreBroken: the server does not answer or is not
    durable, or another central writes to the store.
    """
    session = await asyncio.to_thread(prepared, url, clock_wall(), lead)
    return _around(session, url, fatal)


async def open_beside(url: str, *, fatal: Callable[[str], None]) -> Store:
    """Open the store of a leader, to read and to take jobs in.

    Its tables must exist. Raises NewerSchema, MigrationChanged, NotMadeYet or StoreBroken.
    """
    session = await asyncio.to_thread(_opened, url, _looked_at)
    return _around(session, url, fatal)


def _around(session: PostgresqlSession, url: str, fatal: Callable[[str], None]) -> Store:
    shared: dict[type, Any] = {}
    readers = Readers(partial(_reading, url, session.generation, shared))
    return PostgresqlStore(Writer[Session](session, fatal=fatal), readers, session, Hints(url))


def _looked_at(session: PostgresqlSession) -> None:
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
    session.generation = found[0]


def prepared(url: str, at: float, lead: Lead | None = None) -> PostgresqlSession:
    """Return the connection that writes to a store, after updating its schema."""
    return _opened(url, partial(_made_ready, at=at), lead)


def _opened(
    url: str, ready: Callable[[PostgresqlSession], None], lead: Lead | None = None
) -> PostgresqlSession:
    try:
        session = PostgresqlSession(url, lead=lead)
    except FAULTS as why:
        raise StoreBroken(f"PostgreSQL at {named(url)}: {str(why) or type(why).__name__}") from why
    try:
        ready(session)
    except FAULTS as why:
        session.close()
        raise translated(why) from why
    except StoreError:
        session.close()
        raise
    return session


def _made_ready(session: PostgresqlSession, at: float) -> None:
    check(session.one("durability"))
    _lock(session)
    _migrate(session, at)
    session.register()
    make_ready(session, at)
    if session.one("have_classes")[0]:  # no other process takes jobs in
        remove_unnamed(session)
        session.rows("leave_classes")


def _lock(session: PostgresqlSession) -> None:
    """Lock the store for this connection. A killed process releases the lock within seconds."""
    session.run("let_wait_for_the_lock")
    try:
        session.rows("lock")
    except FAULTS as why:
        if getattr(why, "sqlstate", "") == _LOCKED:
            raise StoreBroken("another central writes to this store; stop it first") from why
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


def _reading(url: str, generation: str, shared: dict[type, Any]) -> PostgresqlSession:
    try:
        session = PostgresqlSession(
            url,
            only_read=True,
            shared=shared,
            templates_bytes_max=READER_TEMPLATES_BYTES_MAX,
        )
    except FAULTS as why:
        raise translated(why) from why
    session.generation = generation
    return session


def named(url: str) -> str:
    """Return the address of a database without its login, for logs."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class PostgresqlStore(Store):
    """The store of one process on one database."""

    def __init__(
        self, writer: Writer[Session], readers: Readers, session: PostgresqlSession, hints: Hints
    ) -> None:
        super().__init__(writer, readers, session.generation)
        self._session, self._hints = session, hints

    async def hint(self, within_s: float) -> None:
        await self._hints.wait(within_s)

    async def close(self) -> None:
        await super().close()
        self._hints.close()
        await asyncio.to_thread(self._session.close)
