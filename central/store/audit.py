"""Read a store from outside: its own facts, and the differences between its counts and its rows.

This uses a read-only session of its own, so it may run while a central uses the store.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from .errors import StoreBroken
from .session import Session

DIFFERENCES_MAX: Final = 50  # reported for each check
NAMED_AT_A_TIME: Final = 1_024  # rows searched for file names at a time
# Matches the key in JSON. Within a user's text the quotes would follow backslashes.
_NAMED: Final = re.compile(rb'(?<!\\)"sha256"\s*:\s*"([0-9a-f]{64})"')

# (statement, subject)
CHECKS: Final = (
    ("check_zones", "jobs by class and state"),
    ("check_bodies", "bodies"),
    ("check_submissions", "submissions"),
    ("check_attempts_of_jobs", "attempts"),
    ("check_epochs", "epochs"),
    ("check_last_attempts", "last attempts"),
    ("check_live_attempts", "live attempts"),
    ("check_results", "results"),
    ("check_failures", "failures"),
    ("check_counters", "ids"),
    ("check_orphans", "rows that belong to nothing"),
    ("check_references", "references"),
    ("check_pilot_logs", "logs of pilots"),
    ("check_catalogue", "files of the catalogue"),
    ("check_transformations", "transformations"),
    ("check_remnants", "remnants on storages"),
    ("check_quotas", "bytes that count towards quotas"),
)


class StoreFacts(NamedTuple):
    """Facts about a store, read from the store itself."""

    generation: str
    schema: int
    newest: float  # wall clock of the newest row
    jobs: int


def facts(session: Session) -> StoreFacts:
    """Return the facts of a store. Raises StoreBroken."""

    def one(statement: str) -> Any:
        found = session.one(statement)
        if found is None:
            raise StoreBroken(f"this is not a store of pilotage: {statement} returns no row")
        return found[0]

    return StoreFacts(
        generation=one("get_generation"),
        schema=one("schema_number"),
        newest=float(one("newest_moment") or 0),
        jobs=one("count_jobs"),
    )


def differences(session: Session) -> Iterator[tuple[str, list[str]]]:
    """Yield each check with the differences found. All checks see one snapshot of the store."""
    session.begin_read()
    try:
        for statement, about in CHECKS:
            rows = session.rows(statement, {"limit": DIFFERENCES_MAX})
            yield about, [str(row[0]) for row in rows]
    finally:
        session.roll_back()


def blob_names(session: Session) -> Iterator[str]:
    """Yield the hash of each file that a job or an attempt names. A hash may come repeatedly."""
    for what in ("templates", "bodies", "outputs"):
        begin, end = session.one(f"span_of_{what}")
        for first in range(begin, end + 1, NAMED_AT_A_TIME):
            span = {"first": first, "last": first + NAMED_AT_A_TIME - 1}
            for (text,) in session.rows(f"{what}_between", span):
                for found in _NAMED.findall(text):
                    yield found.decode()


def states(session: Session) -> dict[str, int]:
    """Return the number of jobs in each state, without deleted jobs."""
    found: dict[str, int] = {}
    for row in session.rows("counts"):
        found[row[6]] = found.get(row[6], 0) + row[7]
    return found
