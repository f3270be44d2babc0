"""The meaning of errors of PostgreSQL and of the connection to it."""

from typing import Final

from ..errors import StoreBroken, StoreError, StoreFull, StoreLate
from .driver import FAULTS, BadValue

_FULL: Final = "53100"
# The first two characters of SQLSTATE for errors of the connection, the server's shutdown, its disk
# and files, and internal errors. After them it is unknown whether a transaction was stored.
_BROKEN: Final = ("08", "57", "58", "F0", "XX")
_LATE: Final = "57014"
_NO_TABLE: Final = "42P01"
_READ_ONLY: Final = "25006"  # another server is the primary now


# Two processes conflicted: deadlock, serialization failure, both inserted the same row first, or
# a lock that was not free in time.
_IN_THE_WAY: Final = ("40P01", "40001", "23505", "55P03")


def may_pass(why: BaseException) -> bool:
    """Return whether an operation that failed with this error may succeed at once."""
    return isinstance(why, FAULTS) and getattr(why, "sqlstate", None) in _IN_THE_WAY


def is_no_table(why: BaseException) -> bool:
    """Return whether the error says that a table does not exist."""
    return getattr(why, "sqlstate", None) == _NO_TABLE


def translated(why: BaseException) -> BaseException:
    """Return the store's error for an error of PostgreSQL, or the same error for others."""
    if not isinstance(why, FAULTS):
        return why
    state = getattr(why, "sqlstate", None) or ""
    if state == _FULL:
        error: StoreError = StoreFull(str(why))
    elif state == _LATE:
        error = StoreLate(f"PostgreSQL: {why}")
    elif isinstance(why, BadValue) or (
        state and not state.startswith(_BROKEN) and state != _READ_ONLY
    ):
        error = StoreError(f"the store refused it: {why}")
    else:
        error = StoreBroken(f"PostgreSQL: {str(why) or type(why).__name__}")
    error.__cause__ = why
    return error
