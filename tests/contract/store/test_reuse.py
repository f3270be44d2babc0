"""Results that several tasks have: found by recipe, kept for all of them, corrected in whole."""

from typing import Any

import msgspec
import pytest

from pilotage.central.jobs import record_retention as retention_records
from pilotage.central.jobs.record_types import NewSubmission
from pilotage.central.productions import record as production_records
from pilotage.central.productions.record import Correction, NewStep
from pilotage.central.store.engine import Store
from pilotage.central.transformations import record as transformation_records
from pilotage.central.transformations.record import (
    NewTask,
    TakenInput,
    TransformationMove,
    TransformationRow,
)
from pilotage.central.transformations.reuse import record as reuse_records
from pilotage.central.transformations.reuse.record import NotReused, ReusedFrom, ReusedTask
from pilotage.proto.production_states import ProductionState as P
from pilotage.proto.transformation_states import (
    InputState as I,
    TaskState as T,
    TransformationState as S,
)

from .conftest import Reopen
from .rows import a_class, some_jobs
from .test_productions import added, new_ones
from .test_retention import ended
from .test_transformations import a_transformation, close, states, with_inputs

RECIPE = "ab" * 32


async def done(store: Store, row: TransformationRow, recipe: str | None = RECIPE) -> int:
    """Store a Done task with a recipe; return its job."""
    kind = await a_class(store)
    new = NewSubmission(
        community="ctao",
        owner_id=kind.owner_id,
        key=f"transformation:{row.transformation_id}:0",
        body_hash="",
        name=row.name,
        template=None,
        at=20.0,
    )
    task = NewTask(job=some_jobs(kind, 1)[0], recipe=recipe)
    (made,) = await store.write(
        transformation_records.make_tasks, row.transformation_id, row.tasks_made, new, [task]
    )
    await ended(store, made.job_id)
    ends = await store.read(transformation_records.task_ends, 9)
    closes = [close(one, I.PROCESSED) for one in ends]
    await store.write(transformation_records.close_tasks, closes)
    return made.job_id


async def reuse(store: Store, row: TransformationRow, *jobs: int, **fields: Any) -> int:
    """Store tasks that reuse results; return how many were stored."""
    tasks = [ReusedTask(job_id=one, **fields) for one in jobs]
    found = await store.write(reuse_records.reuse_tasks, row.transformation_id, 0, tasks, 50.0)
    return len(found)


async def moved(store: Store, row: TransformationRow, new: S) -> None:
    move = TransformationMove(
        transformation_id=row.transformation_id, old=S.ACTIVE, new=new, reason="", at=60.0
    )
    assert await store.write(transformation_records.move_transformation, move)


async def test_a_reused_task_is_done_and_says_whose_result_it_has(
    store: Store, reopen: Reopen
) -> None:
    first, second = await a_transformation(store, "a"), await a_transformation(store, "b")
    job = await done(store, first)
    await with_inputs(store, second, [7])

    count = await reuse(store, second, job, inputs=(TakenInput(file_id=7, input_no=0),))
    store = await reopen(store)

    assert count == 1
    assert await states(store, second) == {7: I.PROCESSED}
    (task,) = await store.read(transformation_records.tasks, 2, states=[T.DONE], after=0, limit=9)
    assert (task.job_id, task.is_reused, task.ended_at) == (job, True, 50.0)
    counts = await store.read(transformation_records.transformation_counts, [2])
    assert counts[2].tasks == {T.DONE: 1}
    assert await store.read(reuse_records.reused_tasks, [1, 2]) == [
        ReusedFrom(transformation_id=2, from_id=1, tasks=1)
    ]
    await done(store, await a_transformation(store, "c"), None)
    assert await store.read(reuse_records.tasks_not_reused, [1, 2, 3]) == [
        NotReused(transformation_id=1, is_never=False, tasks=1),
        NotReused(transformation_id=3, is_never=True, tasks=1),
    ]


async def test_results_are_found_by_recipe(store: Store) -> None:
    first, second = await a_transformation(store, "a"), await a_transformation(store, "b")
    jobs = [await done(store, first), await done(store, second)]
    await done(store, await a_transformation(store, "c"), None)

    found = await store.read(reuse_records.known_results, [RECIPE, "cd" * 32])

    assert found == {RECIPE: jobs[::-1]}


async def test_the_result_of_a_cleaned_transformation_is_not_reused(store: Store) -> None:
    first, second = await a_transformation(store, "a"), await a_transformation(store, "b")
    job = await done(store, first)
    await moved(store, first, S.CLEANING)

    assert await store.read(reuse_records.known_results, [RECIPE]) == {}
    assert await reuse(store, second, job) == 0
    assert await reuse(store, second, 99) == 0


async def test_files_stay_for_another_transformation_until_it_is_cleaned_too(
    store: Store,
) -> None:
    first, second = await a_transformation(store, "a"), await a_transformation(store, "b")
    job = await done(store, first)
    await reuse(store, second, job)
    await moved(store, first, S.CLEANING)

    assert await store.read(reuse_records.jobs_of_others, [job], [1]) == {job}
    assert await reuse(store, await a_transformation(store, "c"), job) == 1
    await moved(store, second, S.CLEANING)
    assert await store.read(reuse_records.jobs_of_others, [job], [1]) == {job}
    assert await store.read(reuse_records.jobs_of_others, [job], [1, 3]) == set()


async def test_retention_keeps_a_job_that_was_reused_lately(store: Store) -> None:
    first, second = await a_transformation(store, "a"), await a_transformation(store, "b")
    job = await done(store, first)
    await reuse(store, second, job)  # at 50

    assert await store.write(retention_records.prune_jobs, [(job, 40.0, 45.0)]) == []
    assert await store.write(retention_records.prune_jobs, [(job, 40.0, 55.0)]) != []
    assert (await store.read(reuse_records.reused_tasks, [2]))[0].from_id == 0


async def a_correction(store: Store, **fields: Any) -> Correction:
    """Return a correction of the second step of production 1 with two steps."""
    new, (_, second) = await new_ones(store, sha256="cd", at=70.0)
    given: dict[str, Any] = {
        "production_id": 1,
        "old_sha256": "ab",
        "old": P.ACTIVE,
        "state": P.ACTIVE,
        "new": new,
        "steps": [
            NewStep(step="s0", parents=(), transformation_id=1, transformation=None),
            second,
        ],
        "replaced": [("s1", 2)],
        "replaced_state": S.CLEANING,
        "holder": msgspec.structs.replace(new, state=P.CLEANING, title="old"),
    }
    return Correction(**{**given, **fields})


async def test_a_correction_replaces_steps_and_keeps_the_old_ones_elsewhere(
    store: Store, reopen: Reopen
) -> None:
    row = await added(store)

    holder = await store.write(production_records.correct_production, await a_correction(store))
    store = await reopen(store)

    assert holder == 2
    steps = await store.read(production_records.production_steps, [1, 2])
    assert [(one.step, one.row.name, one.row.state) for one in steps[1]] == [
        ("s0", "p-s0", S.ACTIVE),
        ("s1", "p-s1", S.ACTIVE),
    ]
    assert steps[1][1].row.transformation_id not in (1, 2)
    assert [(one.step, one.row.name, one.row.state) for one in steps[2]] == [
        ("s1", "p-s1-until-2", S.CLEANING)
    ]
    now = await store.read(production_records.production_named, "ctao", "p")
    assert now is not None
    assert (now.production_id, now.sha256, now.made_at) == (1, "cd", row.made_at)


@pytest.mark.parametrize(
    "fields", [{"old_sha256": "other"}, {"old": P.COMPLETED}], ids=["another definition", "moved"]
)
async def test_a_correction_of_what_has_changed_does_nothing(
    store: Store, fields: dict[str, Any]
) -> None:
    await added(store)
    before = await store.read(production_records.production_steps, [1])

    change = await a_correction(store, **fields)
    assert await store.write(production_records.correct_production, change) is None

    assert await store.read(production_records.production_steps, [1]) == before
    assert await store.read(production_records.production, 2) is None
