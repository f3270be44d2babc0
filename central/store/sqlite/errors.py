"""The meaning of SQLite's errors."""

import sqlite3
from typing import Final

from ..errors import StoreBroken, StoreError, StoreFull

# After these errors, memory and disk may differ, or another process writes to the file.
_BROKEN: Final = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_NOMEM,
    }
)
# SHMSIZE: the index of the log cannot grow on a full disk. Nothing has been written then.
_FULL: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})


def translated(why: BaseException) -> BaseException:
    """Return the store's error for an error of SQLite, or the same error for others."""
    if not isinstance(why, sqlite3.Error):
        return why
    code: int = getattr(why, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in _FULL or code & 0xFF in _FULL:
        error: StoreError = StoreFull(str(why))
    elif code & 0xFF in _BROKEN:
        error = StoreBroken(str(why))
    else:
        error = StoreError(f"the store refused it: {why}")
    error.__cause__ = why
    return error
