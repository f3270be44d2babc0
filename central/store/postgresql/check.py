"""A look at a database from outside: it is opened for reading, and what is a commit worth there."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

from ..errors import StoreBroken
from ..migrations import migrations, still_to_run
from . import durable
from .driver import FAULTS
from .errors import is_no_table, translated
from .session import PostgresqlSession
from .store import named

CLOCKS_S: Final = 60.0  # so far two clocks may be apart


@contextmanager
def reading(url: str) -> Generator[PostgresqlSession]:
    """Open a store that somebody may be writing, for reading. Raises StoreError."""
    try:
        session = PostgresqlSession(url, only_read=True, command_s=None)
    except FAULTS as why:
        raise StoreBroken(f"PostgreSQL at {named(url)}: {str(why) or type(why).__name__}") from why
    try:
        yield session
    except FAULTS as why:
        raise translated(why) from why
    finally:
        session.close()


def fit(url: str, wall: float) -> None:
    """Raise StoreError where a server answers and leads now, and we are not to write there.

    It gives no full durability, or its clock and ours (`wall`) differ: several processes whose
    clocks do would not agree about what a token, or a job that waits, has left. Or its tables are
    of a newer pilotage.
    """
    try:
        session = PostgresqlSession(url, only_read=True)
    except FAULTS:  # it is waited for
        return
    try:
        found = session.one("durability")
        applied = _applied(session)
    except FAULTS:
        return
    finally:
        session.close()
    still_to_run(applied, migrations("postgresql"))
    ahead_s = wall - found["now"]
    if abs(ahead_s) > CLOCKS_S:
        raise StoreBroken(
            f"this machine's clock is {ahead_s:+.0f} s off that of PostgreSQL at {named(url)}: "
            "keep both by NTP (chronyc tracking)"
        )
    if not found["in_recovery"]:
        durable.check(found)


def ids_given(url: str) -> dict[str, int] | None:
    """Return how far ids have come; none where there are no tables. None: nobody answers."""
    try:
        session = PostgresqlSession(url, only_read=True)
    except FAULTS:
        return None
    try:
        return {row[0]: row[1] for row in session.rows("next_ids")}
    except FAULTS as why:
        return {} if is_no_table(why) else None
    finally:
        session.close()


def _applied(session: PostgresqlSession) -> list[Any]:
    try:
        return session.rows("migrations")
    except FAULTS as why:
        if is_no_table(why):
            return []
        raise


def durability(session: PostgresqlSession) -> str:
    """Return what a commit is worth, in words. Raises StoreBroken where it is not enough."""
    found = session.one("durability")
    durable.check(found)
    beside = f"synchronous standby {found['synchronous_standby_names']}"
    said = f"fsync and full_page_writes are on, synchronous_commit={found['synchronous_commit']}"
    return f"{said}, {beside if found['replicas'] else 'no replica'}"
