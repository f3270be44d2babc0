"""What errors of PostgreSQL and of the way to it mean."""

from typing import Final

from ..errors import StoreBroken, StoreError, StoreFull, StoreLate
from .driver import FAULTS, BadValue

_FULL: Final = "53100"
# By the first two letters of SQLSTATE: the connection, the server's end, its disk, its files, what
# it should never meet. After these nobody knows what of a transaction is stored.
_BROKEN: Final = ("08", "57", "58", "F0", "XX")
_LATE: Final = "57014"
_NO_TABLE: Final = "42P01"
_READ_ONLY: Final = "25006"  # another server leads now


# Two processes were in each other's way: deadlock, serialization, a row that both wanted to be the
# first to write, a lock that did not come within its time.
_IN_THE_WAY: Final = ("40P01", "40001", "23505", "55P03")


def may_pass(why: BaseException) -> bool:
    """Say whether what failed of this may succeed when it is run again."""
    return isinstance(why, FAULTS) and getattr(why, "sqlstate", None) in _IN_THE_WAY


def is_no_table(why: BaseException) -> bool:
    """Say whether a statement names a table that nobody has made yet."""
    return getattr(why, "sqlstate", None) == _NO_TABLE


def translated(why: BaseException) -> BaseException:
    """Return what the caller is told for an error of PostgreSQL; other errors are their own."""
    if not isinstance(why, FAULTS):
        return why
    state = getattr(why, "sqlstate", None) or ""
    if state == _FULL:
        told: StoreError = StoreFull(str(why))
    elif state == _LATE:
        told = StoreLate(f"PostgreSQL: {why}")
    elif isinstance(why, BadValue) or (
        state and not state.startswith(_BROKEN) and state != _READ_ONLY
    ):
        told = StoreError(f"the store refused it: {why}")
    else:
        told = StoreBroken(f"PostgreSQL: {str(why) or type(why).__name__}")
    told.__cause__ = why
    return told
