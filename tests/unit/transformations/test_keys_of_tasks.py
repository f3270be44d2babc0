"""Jobs of tasks are never those of a submission that somebody else has begun, whatever its key."""

from pathlib import Path

import msgspec
import pytest

from pilotage.central.jobs import (
    record_submissions as submission_records,
    record_tasks as task_records,
)
from pilotage.central.store.errors import StillArriving
from pilotage.central.transformations import record as transformation_records
from pilotage.central.transformations.record import NewInput, NewTask, TakenInput
from pilotage.central.transformations.task_creation import submission_of
from pilotage.proto.transformation_states import InputState
from tests.contract.store.conftest import open_at
from tests.contract.store.rows import a_class, some_jobs
from tests.contract.store.test_transformations import a_transformation


async def test_a_submission_that_is_under_way_gives_tasks_no_jobs(tmp_path: Path) -> None:
    store = await open_at(tmp_path / "store.db")
    try:
        row, kind = await a_transformation(store), await a_class(store)
        one = row.transformation_id
        inputs = [
            NewInput(transformation_id=one, file_id=n, input_no=0, state=InputState.UNUSED)
            for n in (1, 2)
        ]
        await store.write(transformation_records.add_inputs, inputs, 1.0)
        new = submission_of(row, at=1.0)
        theirs = msgspec.structs.replace(new, body_hash="")  # it has not come to its end
        begun = await store.write(submission_records.begin_submission, theirs)
        await store.write(submission_records.add_jobs, begun.submission_id, some_jobs(kind, 1))
        other = msgspec.structs.replace(new, key="other")
        jobs = (await store.write(submission_records.submit, other, some_jobs(kind, 3))).ranges[0]
        tasks = [
            NewTask(job=job, inputs=(TakenInput(file_id=n, input_no=0),), shared=())
            for n, job in zip((1, 2), some_jobs(kind, 2), strict=True)
        ]

        with pytest.raises(StillArriving):
            await store.write(transformation_records.make_tasks, one, 0, new, tasks)
        assert await store.read(task_records.tasks_of_jobs, list(range(1, sum(jobs)))) == {}

        await submission_records.drop_submission(store, begun.submission_id)
        made = await store.write(transformation_records.make_tasks, one, 0, new, tasks)
        assert [task.job_id for task in made] == [sum(jobs), sum(jobs) + 1]
    finally:
        await store.close()
