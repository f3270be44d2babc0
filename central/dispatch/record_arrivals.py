"""Submissions of other processes.

A process that does not keep the queue writes a row beside each submission, with the number of its
transaction. What is new since a moment (a snapshot) is what was not visible in that one: a
transaction that commits late is found when it has committed, whatever came before or after it.
A store that one process alone writes to has no arrivals.
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
    """Jobs of a submission with consecutive ids that stand alike."""

    class_id: int
    priority: int
    epoch: int
    queue_until: float | None  # wall clock
    waits: bool  # Waiting, without a live attempt
    first: int
    count: int


class Arrival(msgspec.Struct, frozen=True):
    """A submission that another process has made visible."""

    submission_id: int
    ranges: tuple[tuple[int, int], ...]  # (first id, count)
    age_s: float  # since it was written, on the database's clock


SILENT_S: Final = 60.0  # a process that writes nothing to a submission for so long has left it
ABANDONED_MAX: Final = 100  # that are removed in one call

_ranges = msgspec.json.Decoder(tuple[tuple[int, int], ...]).decode


def counted(session: Session) -> tuple[list[CountRow], str]:
    """Return the counts of all jobs, and the moment at which they were read."""
    counts = [count_of(row) for row in session.rows("counts", {})]
    return counts, session.one("moment")[0] if session.is_shared else ""


def arrivals(session: Session, since: str) -> tuple[list[Arrival], str]:
    """Return what became visible after the moment `since`, and the moment of this reading.

    Transactions that others have open, however long, hide nothing of it and delay nothing.
    """
    if not session.is_shared:
        return [], since
    rows = session.rows("arrivals", {"since": since})
    found = [Arrival(row[1], _ranges(row[2]), row[3]) for row in rows if row[1] is not None]
    return found, rows[0][0]


def arrived_runs(session: Session, ranges: Sequence[tuple[int, int]]) -> list[Run]:
    """Return how the jobs of such ranges stand now, in order of the id."""
    if not session.is_shared:
        return []
    return [_run(row) for row in session.rows("arrived_runs", {"ranges": json_list(ranges)})]


def forget_arrivals(session: Session, before: str) -> None:
    """Remove what was visible at the moment `before`: the process that keeps the queue has it."""
    if session.is_shared:
        session.run("forget_arrivals", {"before": before})


async def drop_abandoned(store: Store, submission_id: int | None = None) -> int:
    """Remove abandoned unfinished submissions; return how many.

    With an id: only this one. What a process of now writes is left alone, unless it has
    written nothing for a minute.
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
