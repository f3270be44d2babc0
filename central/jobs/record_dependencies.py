"""Records of jobs that wait for other jobs, their parents.

The rows keep the edges, and whether parents have stopped a job. Whether a job still waits follows
from the states of its parents; the memory of the leader derives it.
"""

import enum
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from pilotage.proto.documents.job import When
from pilotage.proto.ids import ID_MAX
from pilotage.proto.job_states import JobEvent, JobState, next_state

from ..store.engine import weighs
from ..store.records import Record
from ..store.session import Session, json_list
from .record import move, standing
from .record_search import ZONE_BITS
from .record_types import JobMove, JobStanding, NewJob

STOPPED: Final = 1  # by its parents
RUNS_ALONE: Final = 2
Ranges = Sequence[tuple[int, int]]


class Dependent(Record, frozen=True):
    """A stored job that may still wait for its parents."""

    job_id: int
    class_id: int
    policy: str
    parents: tuple[tuple[int, int, When], ...]  # (first id, count, condition)
    stopped: bool = False


class Verdict(enum.Enum):
    """What the parents of a job mean for it."""

    WAIT = "wait"
    RUN = "run"
    HOLD = "hold"  # a condition cannot be met any more
    SKIP = "skip"


class Settlement(Record, frozen=True):
    """A verdict to apply to a job."""

    job_id: int
    verdict: Verdict
    reason: str = ""
    resumes: bool = True  # a job that its parents stopped may wait or run again


class Settled(Record, frozen=True):
    """A job after a verdict was applied to it."""

    job: JobStanding  # before the move
    move: JobMove | None
    runs_alone: bool  # a person lets it run without its parents


def spans(ranges: Ranges, place: int, count: int = 1) -> Iterator[tuple[int, int]]:
    """Yield the ids of a submission's jobs from a place on, counted from 0, as ranges."""
    for first, many in ranges:
        taken = min(count, many - place)
        if taken > 0:
            yield first + place, taken
            place, count = 0, count - taken
        else:
            place -= many
        if not count:
            return


def parents_of(job: NewJob, ranges: Ranges) -> tuple[tuple[int, int, When], ...]:
    """Return the ranges of parents of a new job. `ranges` are those of its submission so far."""
    found: list[tuple[int, int, When]] = []
    for one in job.after:
        if one.is_place:
            for first, count in spans(ranges, one.first, one.count):
                found.append((first, count, one.when))
        else:
            found.append((one.first, one.count, one.when))
    return tuple(found)


def keep_dependencies(session: Session, first: int, jobs: Sequence[NewJob], ranges: Ranges) -> None:
    """Store the parents of jobs with consecutive ids. `ranges` include these jobs."""
    rows = [(job_id, job) for job_id, job in enumerate(jobs, first) if job.after]
    if not rows:
        return
    kept = [(job_id, job.policy) for job_id, job in rows]
    session.run("insert_dependents", (json_list(kept),))
    edges = [
        (job_id, place, *parents)
        for job_id, job in rows
        for place, parents in enumerate(parents_of(job, ranges))
    ]
    session.run("insert_dependencies", (json_list(edges),))


def dependents(session: Session, ranges: Ranges) -> list[Dependent]:
    """Return the dependents in these ranges of ids that may still wait, in order of the id."""
    rows = session.rows("dependents_in", {"ranges": json_list(ranges)})
    return list(_dependents_of(rows))


def _dependents_of(rows: Sequence[Any]) -> Iterator[Dependent]:
    for (job_id, class_id, policy, stopped), its in groupby(rows, key=itemgetter(0, 1, 2, 3)):
        parents = tuple((row[4], row[5], row[6]) for row in its)
        yield Dependent(job_id, class_id, policy, parents, stopped == STOPPED)


def dependent_zones(session: Session) -> list[tuple[int, int]]:
    """Return ranges of ids that have all jobs which may still wait for their parents."""
    if session.one("any_dependent") is None:
        return []
    states = json_list([JobState.WAITING.value, JobState.HELD.value])
    span = {"states": states, "from": 0, "to": ID_MAX >> ZONE_BITS}
    return [(row[0] << ZONE_BITS, 1 << ZONE_BITS) for row in session.rows("zones", span)]


def states(session: Session, ranges: Ranges) -> list[tuple[int, str]]:
    """Return the states of the jobs in these ranges. Deleted rows are omitted."""
    return session.rows("states_in", {"ranges": json_list(ranges)})


def dependencies(
    session: Session, job_id: int, *, limit: int
) -> tuple[list[tuple[int, int, When]], int]:
    """Return the first ranges of parents of a job, and the number of all ranges."""
    rows = session.rows("dependencies_of", {"job_id": job_id, "limit": limit})
    found = [(row[0], row[1], row[2]) for row in rows]
    if len(found) < limit:
        return found, len(found)
    return found, session.one("count_dependencies", {"job_id": job_id})[0]


@weighs(2)
def settle(session: Session, wanted: Sequence[Settlement], at: float) -> list[Settled]:
    """Apply verdicts in one transaction. Return the jobs that exist, with the moves of each.

    A job that a person holds, or that runs, does not move.
    """
    ids = [one.job_id for one in wanted]
    standings = standing(session, ids)
    flags = dict(session.rows("stopped_of", {"ids": json_list(ids)}))
    found: list[Settled] = []
    for one in wanted:
        job, flag = standings.get(one.job_id), flags.get(one.job_id, RUNS_ALONE)
        if job is not None:
            found.append(Settled(job, _decided(one, job, flag, at), flag == RUNS_ALONE))
    moves = [one.move for one in found if one.move is not None]
    written = move(session, moves)
    moved = {made.job_id for made, won in zip(moves, written, strict=True) if won}
    stops = {made.job_id for made in moves if made.new is not JobState.WAITING}
    for job_id in moved:
        session.run("keep_stopped", {"job_id": job_id, "stopped": int(job_id in stops)})
    return [
        one
        if one.move is None or one.job.job_id in moved
        else Settled(one.job, None, one.runs_alone)
        for one in found
    ]


def _decided(wanted: Settlement, job: JobStanding, stopped: int, at: float) -> JobMove | None:
    """Return the move that a verdict calls for."""
    if job.live or job.epoch or job.deleted or stopped == RUNS_ALONE:
        return None
    stops = wanted.verdict in (Verdict.HOLD, Verdict.SKIP)
    if job.state is JobState.WAITING and stops:
        event = JobEvent.HELD if wanted.verdict is Verdict.HOLD else JobEvent.KILLED
    elif job.state is JobState.HELD and stopped == STOPPED and not stops and wanted.resumes:
        event = JobEvent.RELEASED
    else:
        return None
    return JobMove(
        job_id=job.job_id,
        old=job.state,
        new=next_state(job.state, event),
        at=at,
        event=event.value,
        who="central",
        reason=wanted.reason if stops else "",
    )
