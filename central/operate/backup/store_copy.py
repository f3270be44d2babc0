"""`pilotage admin copy-store`: moves an installation's store from its file into a database."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec

from ...settings import BadSetting, StoreSettings
from ...store.errors import StoreError
from ...store.queries import load
from ..datadir import COPIED_FILE, STORE_FILE, DataDirUnusable, DataInUse, locked
from ..files import sync_folder
from ..store_selection import check_url, not_installed, where


class CopyRefused(Exception):
    """Nothing was copied, and the file is unchanged."""


class CopySummary(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a copy."""

    rows: int
    to: str
    kept: str  # new name of the file


def copy_into(data: Path, url: str, *, at: float, told: Callable[[str], None]) -> CopySummary:
    """Copy the store of `data` to the empty database at `url`, compare, and rename the file.

    The data directory is locked, so no central may run on it. Raises CopyRefused.
    """
    path = data / STORE_FILE
    if not path.is_file():
        raise CopyRefused(f"{data} has no {STORE_FILE}: is it the data directory? See --data")
    try:
        check_url(url)
        from ...store.copy import copy_store

        with locked(data):
            rows = copy_store(path, url, at=at, told=told)
            _put_aside(path, data / COPIED_FILE)
    except ModuleNotFoundError as why:
        raise CopyRefused(not_installed(why)) from why
    except (BadSetting, DataInUse, DataDirUnusable, StoreError, sqlite3.Error, OSError) as why:
        raise CopyRefused(str(why)) from why
    return CopySummary(
        rows=rows, to=where(data, StoreSettings(url=url)), kept=str(data / COPIED_FILE)
    )


def _put_aside(path: Path, aside: Path) -> None:
    """Rename the file, so that no central uses it by mistake. It is a single file by now."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(load("sqlite")["set_no_log"]).fetchall()
    finally:
        connection.close()
    path.rename(aside)
    sync_folder(path.parent)
