"""Stores tasks that reuse the results of earlier tasks with the same recipe."""

from collections.abc import Sequence

import msgspec

from ...store.engine import weighs
from ...store.session import Session, json_list
from ..record import MadeTask, TakenInput, take_files, take_numbers


class _Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Plain values without reference cycles."""


class ReusedTask(_Record, frozen=True, kw_only=True):
    """A task that is Done at once: its job is that of an earlier task."""

    job_id: int
    inputs: tuple[TakenInput, ...] = ()
    shared: tuple[int, ...] = ()


class ReusedFrom(_Record, frozen=True, kw_only=True):
    """How many tasks of a transformation reuse results of another."""

    transformation_id: int
    from_id: int  # 0: the jobs were removed
    tasks: int


class NotReused(_Record, frozen=True, kw_only=True):
    """How many tasks of a transformation were run."""

    transformation_id: int
    is_never: bool  # they have no recipe: their results are never reused
    tasks: int


@weighs(3)
def reuse_tasks(
    session: Session, transformation_id: int, made: int, tasks: Sequence[ReusedTask], at: float
) -> list[MadeTask]:
    """Store tasks that reuse results, all or none, as `make_tasks` does.

    Store none also if a job is not there any more.
    """
    jobs = {one.job_id for one in tasks}
    if session.one("count_done_jobs", {"jobs": json_list(sorted(jobs))})[0] != len(jobs):
        return []
    first = take_numbers(session, transformation_id, made, tasks)
    if first is None:
        return []
    its = json_list([one.job_id for one in tasks])
    session.run("insert_reused_tasks", (first, its, transformation_id, made + 1, at))
    take_files(session, "process_input", transformation_id, first, tasks, at)
    return [
        MadeTask(task_id=first + i, number=made + 1 + i, job_id=one.job_id)
        for i, one in enumerate(tasks)
    ]


def known_results(session: Session, recipes: Sequence[str]) -> dict[str, list[int]]:
    """Return the jobs of Done tasks by recipe, the last job first."""
    found: dict[str, list[int]] = {}
    for recipe, job_id in session.rows("known_results", {"recipes": json_list(recipes)}):
        found.setdefault(recipe, []).append(job_id)
    return found


def jobs_of_others(
    session: Session, job_ids: Sequence[int], transformation_ids: Sequence[int]
) -> set[int]:
    """Return the jobs whose results are also those of other transformations."""
    given = {"jobs": json_list(job_ids), "transformations": json_list(transformation_ids)}
    return {row[0] for row in session.rows("jobs_of_others", given)}


def reused_tasks(session: Session, transformation_ids: Sequence[int]) -> list[ReusedFrom]:
    """Return where reused results come from."""
    given = {"transformations": json_list(list(transformation_ids))}
    return [
        ReusedFrom(transformation_id=row[0], from_id=row[1], tasks=row[2])
        for row in session.rows("reused_tasks", given)
    ]


def tasks_not_reused(session: Session, transformation_ids: Sequence[int]) -> list[NotReused]:
    """Return how many tasks were run, with a recipe and without one."""
    given = {"transformations": json_list(list(transformation_ids))}
    return [
        NotReused(transformation_id=row[0], is_never=bool(row[1]), tasks=row[2])
        for row in session.rows("tasks_not_reused", given)
    ]
