"""Read a database from outside: open it read-only, and check that its commits are durable."""

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

CLOCKS_S: Final = 60.0  # the largest permitted difference of two clocks


@contextmanager
def reading(url: str) -> Generator[PostgresqlSession]:
    """Open a store read-only, even while another process writes it. Raises StoreError."""
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
    """Raise StoreError if a server answers, and this process must not write to it.

    It has no full durability, its tables are from a newer release, or its clock and this one
    (`wall`) differ. Processes whose clocks differ would not agree on when tokens expire.
    """
    try:
        session = PostgresqlSession(url, only_read=True)
    except FAULTS:  # the caller waits for it
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
            f"this machine's clock differs by {ahead_s:+.0f} s from PostgreSQL's at {named(url)}: "
            "synchronise both with NTP (chronyc tracking)"
        )
    if not found["in_recovery"]:
        durable.check(found)


def ids_given(url: str) -> dict[str, int] | None:
    """Return the counters of ids, {} without tables, or None if the database does not answer."""
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
    """Return the durability of commits as text. Raises StoreBroken if it is not enough."""
    found = session.one("durability")
    durable.check(found)
    beside = f"synchronous standby {found['synchronous_standby_names']}"
    text = f"fsync and full_page_writes are on, synchronous_commit={found['synchronous_commit']}"
    return f"{text}, {beside if found['replicas'] else 'no replica'}"
