"""Arrivals: submissions that other processes have stored.

A process without the queue writes a row for each submission, with its transaction's number. A
"moment" is a snapshot of the database: new are the submissions that were not visible in it. So a
transaction that commits late is found after its commit, in whatever order transactions commit.
A store with a single writer has no arrivals.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..jobs import record_submissions as submissions
from ..jobs.record_rows import count_of
from ..jobs.record_types import CountRow
from ..store.engine import Store
from ..store.session import Session, json_list


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of a submission with consecutive ids and the same class, priority and state."""

    class_id: int
    priority: int
    epoch: int
    queue_until: float | None  # wall clock
    waits: bool  # Waiting, without a live attempt
    first: int
    count: int


class Arrival(msgspec.Struct, frozen=True):
    """A submission that another process has committed."""

    submission_id: int
    ranges: tuple[tuple[int, int], ...]  # (first id, count)
    age_s: float  # since it was written, on the database's clock


SILENT_S: Final = 60.0  # without a write a submission is abandoned
ABANDONED_MAX: Final = 100  # abandoned submissions that one call removes

_ranges = msgspec.json.Decoder(tuple[tuple[int, int], ...]).decode


def counted(session: Session) -> tuple[list[CountRow], str]:
    """Return the counts of all jobs, and the moment at which they were read."""
    counts = [count_of(row) for row in session.rows("counts", {})]
    return counts, session.one("moment")[0] if session.is_shared else ""


def arrivals(session: Session, since: str) -> tuple[list[Arrival], str]:
    """Return the submissions that became visible after the moment `since`, and the new moment.

    Open transactions of other processes neither hide nor delay them.
    """
    if not session.is_shared:
        return [], since
    rows = session.rows("arrivals", {"since": since})
    found = [Arrival(row[1], _ranges(row[2]), row[3]) for row in rows if row[1] is not None]
    return found, rows[0][0]


def arrived_runs(session: Session, ranges: Sequence[tuple[int, int]]) -> list[Run]:
    """Return the current state of the jobs in these ranges, as runs ordered by id."""
    if not session.is_shared:
        return []
    return [_run(row) for row in session.rows("arrived_runs", {"ranges": json_list(ranges)})]


def forget_arrivals(session: Session, before: str) -> None:
    """Remove arrivals that were visible at the moment `before`: the queue has them."""
    if session.is_shared:
        session.run("forget_arrivals", {"before": before})


async def drop_abandoned(store: Store, submission_id: int | None = None) -> int:
    """Remove abandoned unfinished submissions; return how many.

    With an id, remove only that one. A submission is abandoned if its process has ended, or has
    written nothing to it for SILENT_S.
    """
    taken = await store.write(_take_abandoned, submission_id)
    for one in taken:
        await submissions.drop_submission(store, one)
    return len(taken)


def _take_abandoned(session: Session, submission_id: int | None) -> list[int]:
    if not session.is_shared:
        return []
    given = {"submission_id": submission_id, "silent_s": SILENT_S, "limit": ABANDONED_MAX}
    return [row[0] for row in session.rows("take_abandoned", given)]


def _run(row: Any) -> Run:
    return Run(
        class_id=row[0],
        priority=row[1],
        epoch=row[2],
        queue_until=row[3],
        waits=row[4],
        first=row[5],
        count=row[6],
    )
