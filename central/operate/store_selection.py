"""Selects the store of a central: a file in its data directory, or the database of `store.url`."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ..settings import BadSetting, StoreSettings
from ..store.engine import Store
from ..store.leaders import Lead, Leaders
from ..store.session import Session
from ..store.sqlite import check as sqlite_check, open_sqlite
from .datadir import STORE_FILE

SCHEMES: Final = ("postgresql", "postgres")


def check_store(data: Path, settings: StoreSettings) -> None:
    """Check that the setting is usable. Raises BadSetting."""
    if not settings.url:
        return
    check_url(settings.url)
    if (data / STORE_FILE).exists():
        why = (
            f"{data} has a {STORE_FILE}, whose jobs would be left behind: move them by "
            "`pilotage admin copy-store`, or remove store.url"
        )
        raise BadSetting("store.url", why)


def check_url(url: str) -> None:
    """Check that the URL can be a database. Raises BadSetting."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        why = f"{parts.scheme or 'nothing'}: is not a supported database; use postgresql://…"
        raise BadSetting("store.url", why)
    if parts.password or "password=" in parts.query:
        why = "it contains a password, which others can read: put it into a file, see PGPASSFILE"
        raise BadSetting("store.url", why)
    try:
        from ..store.postgresql.servers import named_by
    except ModuleNotFoundError as why:
        raise _missing(why) from why
    try:
        named_by(url)
    except ValueError as why:
        raise BadSetting("store.url", str(why)) from None


def where(data: Path, settings: StoreSettings) -> str:
    """Return the name of the store for messages."""
    if not settings.url:
        return str(data / STORE_FILE)
    parts = urlsplit(settings.url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


async def open_store(
    data: Path,
    settings: StoreSettings,
    *,
    clock_wall: Callable[[], float],
    fatal: Callable[[str], None],
    lead: Lead | None = None,
) -> Store:
    """Open the store, or create it at the first start. Raises StoreError, OSError, BadSetting."""
    if not settings.url:
        return await open_sqlite(data / STORE_FILE, clock_wall=clock_wall, fatal=fatal)
    try:
        from ..store.postgresql import open_postgresql
    except ModuleNotFoundError as why:
        raise _missing(why) from why
    return await open_postgresql(settings.url, clock_wall=clock_wall, fatal=fatal, lead=lead)


async def open_api_store(settings: StoreSettings, *, fatal: Callable[[str], None]) -> Store:
    """Open the store of a process without the queue. Raises StoreError, OSError, BadSetting."""
    try:
        from ..store.postgresql import open_beside
    except ModuleNotFoundError as why:
        raise _missing(why) from why
    return await open_beside(settings.url, fatal=fatal)


def leaders_of(settings: StoreSettings) -> Leaders | None:
    """Return the record of leaders; None: only one process can open the store.

    Raises BadSetting.
    """
    if not settings.url:
        return None
    try:
        from ..store.postgresql import PostgresqlLeaders
    except ModuleNotFoundError as why:
        raise _missing(why) from why
    return PostgresqlLeaders(settings.url)


def reading_of(
    data: Path, settings: StoreSettings
) -> Callable[[], AbstractContextManager[Session]]:
    """Return a function that opens the store for reading beside its writer.

    The function raises StoreError, this one BadSetting.
    """
    if not settings.url:
        return partial(sqlite_check.reading, data / STORE_FILE)
    check_url(settings.url)
    try:
        from ..store.postgresql import check
    except ModuleNotFoundError as why:
        raise _missing(why) from why
    return partial(check.reading, settings.url)


def check_server(settings: StoreSettings, wall: float) -> None:
    """Check that a database can be written, if it answers and leads now. Raises StoreError.

    A process that waits to lead would otherwise find a fault only when it is needed.
    """
    from ..store.postgresql import check

    check.fit(settings.url, wall)


def _missing(why: ModuleNotFoundError) -> BadSetting:
    return BadSetting("store.url", not_installed(why))


def not_installed(why: ModuleNotFoundError) -> str:
    """Return how to install the packages for PostgreSQL; pilotage is on no package index."""
    do = f"{sys.executable} -m pip install '.[postgresql]' in the clone of pilotage"
    return f"{why.name} is not installed: {do} (docs/operations/postgresql.md)"
