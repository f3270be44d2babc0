"""Reads the tasks of transformations that jobs belong to."""

from collections.abc import Sequence
from typing import NamedTuple

from ..store.session import Session, json_list


class TaskOfJob(NamedTuple):
    """The task that a job belongs to."""

    task_id: int
    transformation_id: int
    number: int


def tasks_of_jobs(session: Session, job_ids: Sequence[int]) -> dict[int, TaskOfJob]:
    """Return the task of each job that has one, by job id. Deleted jobs are included."""
    rows = session.rows("tasks_of_jobs", {"ids": json_list(job_ids)})
    return {job: TaskOfJob(*row) for job, *row in rows}
