"""Stores runs of CWL documents: their jobs by key, the results of these, and the end."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pilotage.proto.transformation_states import TaskState

from ..jobs.record_types import NewSubmission
from ..productions.record import CwlEnd, packed_json, unpacked_json
from ..store.engine import weighs
from ..store.session import Session
from ..transformations import record as transformation_records
from ..transformations.record import MadeTask, NewTask
from ..transformations.reuse import record as reuse_records
from ..transformations.reuse.record import ReusedTask


class _Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Plain values without reference cycles."""


class RunJob(_Record, frozen=True, kw_only=True):
    """A job of a run."""

    key: str  # of the job in its run
    job_id: int
    result: Any  # as `pilot/cwl/tool_job.py` says; a text: why it failed; None: not taken yet


class EndedJob(_Record, frozen=True, kw_only=True):
    """A job of a run that has ended, and whose result the run has not taken."""

    key: str
    job_id: int
    state: TaskState
    reason: str


def open_runs(session: Session) -> dict[int, str]:
    """Return the productions whose runs have not ended, with the SHA-256 of their definitions."""
    return {int(row[0]): str(row[1]) for row in session.rows("open_cwl_runs", {})}


@weighs(4)
def make_tasks(
    session: Session,
    production_id: int,
    transformation_id: int,
    made: int,
    new: NewSubmission,
    tasks: Sequence[NewTask],
    keys: Sequence[str],
) -> list[MadeTask]:
    """Store tasks with their jobs and keys, all or none, as those of transformations."""
    found = transformation_records.make_tasks(session, transformation_id, made, new, tasks)
    return _keyed(session, production_id, keys, found)


@weighs(4)
def reuse_tasks(
    session: Session,
    production_id: int,
    transformation_id: int,
    made: int,
    tasks: Sequence[ReusedTask],
    keys: Sequence[str],
    at: float,
) -> list[MadeTask]:
    """Store tasks that reuse results, with their keys, all or none."""
    found = reuse_records.reuse_tasks(session, transformation_id, made, tasks, at)
    return _keyed(session, production_id, keys, found)


def _keyed(
    session: Session, production_id: int, keys: Sequence[str], found: list[MadeTask]
) -> list[MadeTask]:
    rows = [
        (production_id, key, one.task_id, one.job_id) for key, one in zip(keys, found, strict=False)
    ]
    session.many("insert_cwl_job", rows)
    return found


def jobs(session: Session, production_id: int, after: str, limit: int) -> list[RunJob]:
    """Return the jobs of a run in order of key, with their results."""
    given = {"production_id": production_id, "after": after, "limit": limit}
    return [
        RunJob(key=row[0], job_id=row[1], result=unpacked_json(row[2]))
        for row in session.rows("cwl_jobs", given)
    ]


def ended_jobs(session: Session, production_id: int, limit: int) -> list[EndedJob]:
    """Return jobs that have ended, and whose results the run has not taken."""
    given = {"production_id": production_id, "limit": limit}
    return [
        EndedJob(key=row[0], job_id=row[1], state=TaskState(row[2]), reason=row[3])
        for row in session.rows("ended_cwl_jobs", given)
    ]


def take_results(session: Session, production_id: int, results: Mapping[str, Any]) -> None:
    """Store the results of jobs, each once."""
    rows = [(production_id, key, packed_json(result)) for key, result in results.items()]
    session.many("take_cwl_result", rows)


def end_run(session: Session, production_id: int, sha256: str, end: CwlEnd, at: float) -> None:
    """End a run, once: its steps make no more tasks, and the results are dropped.

    `sha256` is that of the definition that was run: a correction may have replaced it.
    """
    given = {
        "production_id": production_id,
        "sha256": sha256,
        "status": end.status,
        "why": end.why,
        "outputs": packed_json(end.outputs),
    }
    if session.run("end_cwl_run", given).rowcount == 1:
        session.run("drop_cwl_jobs", {"production_id": production_id})
        session.run("close_steps_of_run", {"production_id": production_id, "at": at})
