"""`pilotage admin copy-store`: moves an installation's store from its file into a database."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..settings import BadSetting, StoreSettings
from ..store.errors import StoreError
from ..store.queries import load
from .datadir import COPIED_FILE, STORE_FILE, DataInUse, NoData, locked
from .files import sync_folder
from .stores import check_url, not_installed, where


class Refused(Exception):
    """Nothing was copied, and the file is where it was."""


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What was done."""

    rows: int
    to: str
    kept: str  # the file, under its new name


def copy_into(data: Path, url: str, *, at: float, told: Callable[[str], None]) -> Copied:
    """Copy the store of `data` into the empty database at `url`, compare, and put the file aside.

    No central may run on it: the data directory is held meanwhile. Raises Refused.
    """
    path = data / STORE_FILE
    if not path.is_file():
        raise Refused(f"{data} has no {STORE_FILE}: is it the data directory? See --data")
    try:
        check_url(url)
        from ..store.copy import copy_store

        with locked(data):
            rows = copy_store(path, url, at=at, told=told)
            _put_aside(path, data / COPIED_FILE)
    except ModuleNotFoundError as why:
        raise Refused(not_installed(why)) from why
    except (BadSetting, DataInUse, NoData, StoreError, sqlite3.Error, OSError) as why:
        raise Refused(str(why)) from why
    return Copied(rows=rows, to=where(data, StoreSettings(url=url)), kept=str(data / COPIED_FILE))


def _put_aside(path: Path, aside: Path) -> None:
    """Rename the file, so that no central goes on with it by mistake. It is one file then."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(load("sqlite")["set_no_log"]).fetchall()
    finally:
        connection.close()
    path.rename(aside)
    sync_folder(path.parent)
