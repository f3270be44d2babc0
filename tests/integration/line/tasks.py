"""What a store has of all tasks, for checks of the whole."""

from typing import NamedTuple

import msgspec

from pilotage.proto.job_states import JobState
from pilotage.proto.transformation_states import TaskState
from tests.memory_store import MemoryStore


class Task(NamedTuple):
    """A task, its files, and how its job stands if no attempt of it lives."""

    task_id: int
    transformation_id: int
    job_id: int
    state: TaskState
    job_state: JobState
    files: tuple[int, ...]


def all_tasks(store: MemoryStore) -> list[Task]:
    """Return all tasks, the oldest first."""
    rows = store.by_hand(
        "SELECT t.task_id, t.transformation_id, t.job_id, t.state, j.state AS job_state,"
        " (SELECT json_group_array(i.file_id) FROM task_input AS i WHERE i.task_id = t.task_id)"
        " AS files FROM task AS t JOIN job AS j USING (job_id) ORDER BY t.task_id"
    )
    return [
        Task(
            row["task_id"],
            row["transformation_id"],
            row["job_id"],
            TaskState(row["state"]),
            JobState(row["job_state"]),
            msgspec.json.decode(row["files"], type=tuple[int, ...]),
        )
        for row in rows
    ]


def waiting_jobs(store: MemoryStore) -> list[int]:
    """Return the jobs that wait, or are computed."""
    return [
        job_id
        for (job_id,) in store.by_hand(
            "SELECT job_id FROM job WHERE state = 'Waiting' ORDER BY job_id"
        )
    ]
