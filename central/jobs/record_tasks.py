"""Which jobs are tasks of transformations."""

from collections.abc import Sequence
from typing import NamedTuple

from ..store.session import Session, json_list


class TaskOfJob(NamedTuple):
    """Of which task a job is."""

    task_id: int
    transformation_id: int
    number: int


def tasks_of_jobs(session: Session, job_ids: Sequence[int]) -> dict[int, TaskOfJob]:
    """Return the task of each job that has one, also where the job is gone."""
    rows = session.rows("tasks_of_jobs", {"ids": json_list(job_ids)})
    return {job: TaskOfJob(*row) for job, *row in rows}
