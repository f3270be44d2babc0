"""Transformations, tasks and inputs: each input in one task that lives or is Done."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from pilotage.central.jobs import (
    record as job_records,
    record_retention as retention_records,
    record_tasks as task_records,
)
from pilotage.central.jobs.record_types import NewSubmission
from pilotage.central.store.engine import Store
from pilotage.central.transformations import record as transformation_records
from pilotage.central.transformations.record import (
    InputMove,
    MadeTask,
    NewInput,
    NewTask,
    NewTransformationRow,
    TakenInput,
    TaskClose,
    TaskEnd,
    TransformationMove,
    TransformationRow,
)
from pilotage.proto.job_states import JobState
from pilotage.proto.transformation_states import (
    InputState as I,
    TaskState as T,
    TransformationState as S,
)
from tests import turns

from .conftest import Reopen
from .rows import a_class, a_move, an_attempt, an_end, some_jobs, submitted


async def a_transformation(store: Store, name: str = "t", **fields: Any) -> TransformationRow:
    kind = await a_class(store)
    given: dict[str, Any] = {
        "community": "ctao",
        "group": "sim",
        "owner_id": kind.owner_id,
        "name": name,
        "state": S.ACTIVE,
        "doc": b"{}",
        "at": 10.0,
    }
    return await store.write(
        transformation_records.add_transformation, NewTransformationRow(**{**given, **fields})
    )


async def made(
    store: Store, row: TransformationRow, groups: Sequence[Sequence[int]], *, after: int = 0,
    shared: Sequence[int] = (),
) -> list[MadeTask]:  # fmt: skip
    kind = await a_class(store)
    jobs = some_jobs(kind, len(groups))
    new = NewSubmission(
        community="ctao",
        owner_id=kind.owner_id,
        key=f"transformation:{row.transformation_id}:{after}",
        body_hash="",
        name=row.name,
        template=None,
        at=20.0,
    )
    tasks = [
        NewTask(
            job=job,
            inputs=tuple(TakenInput(file_id=one, input_no=0) for one in group),
            shared=tuple(shared),
        )
        for job, group in zip(jobs, groups, strict=True)
    ]
    return await store.write(
        transformation_records.make_tasks, row.transformation_id, after, new, tasks
    )


async def with_inputs(
    store: Store, row: TransformationRow, files: Sequence[int], state: I = I.UNUSED
) -> list[bool]:
    rows = [
        NewInput(
            transformation_id=row.transformation_id, file_id=one, input_no=0, state=state
        )
        for one in files
    ]  # fmt: skip
    return (await store.write(transformation_records.add_inputs, rows, 15.0))[0]


async def killed(store: Store, *jobs: int) -> None:
    assert await store.write(
        job_records.move, [a_move(job, JobState.WAITING, JobState.KILLED) for job in jobs]
    ) == [True] * len(jobs)


def close(end: TaskEnd, new: I, state: T = T.DONE, *, is_split: bool = False) -> TaskClose:
    return TaskClose(
        task_id=end.task_id,
        state=state,
        reason="",
        at=30.0,
        is_split=is_split,
        inputs=tuple(
            InputMove(
                transformation_id=one.transformation_id,
                file_id=one.file_id,
                input_no=one.input_no,
                old=I.ASSIGNED,
                new=new,
                task_id=end.task_id,
                error=new is I.UNUSED,
            )
            for one in end.inputs
        ),
    )


async def states(store: Store, row: TransformationRow) -> dict[int, I]:
    found = await store.read(
        transformation_records.inputs, row.transformation_id, states=(), after=(0, 0), limit=100
    )
    return {one.file_id: one.state for one in found}


async def test_a_name_is_taken_once_until_it_is_archived(store: Store, reopen: Reopen) -> None:
    first = await a_transformation(store)
    again = await a_transformation(store, doc=b'{"other":1}')
    await store.write(transformation_records.move_transformation, TransformationMove(
            transformation_id=1, old=S.ACTIVE, new=S.ARCHIVED, reason="old", at=12.0
        )
    )  # fmt: skip
    third = await a_transformation(store)
    store = await reopen(store)

    assert again == first
    assert third.transformation_id == 2
    rows = await store.read(
        transformation_records.transformations, "ctao", states=(), after=0, limit=9
    )
    assert [row.state for row in rows] == [S.ARCHIVED, S.ACTIVE]
    assert await store.read(transformation_records.transformation_named, "ctao", "t") == third
    assert await store.read(transformation_records.transformation, 7) is None


async def test_a_state_moves_from_where_it_was_seen_alone(store: Store) -> None:
    row = await a_transformation(store)
    move = TransformationMove(
        transformation_id=1, old=S.ACTIVE, new=S.PAUSED, reason="why", at=12.5, closing=True,
        judge_anew=True, scouts_until=4, scouted=b"{}",
    )  # fmt: skip

    assert [
        await store.write(transformation_records.move_transformation, move) for _ in range(2)
    ] == [True, False]
    assert await store.read(transformation_records.transformation, 1) == msgspec.structs.replace(
        row, state=S.PAUSED, reason="why", changed_at=12.5, closing=True, judged_from=12.5,
        scouts_until=4, scouted=b"{}",
    )  # fmt: skip


async def test_inputs_are_known_once(store: Store, reopen: Reopen) -> None:
    row = await a_transformation(store)

    assert await with_inputs(store, row, [5, 6]) == [True, True]
    assert await with_inputs(store, row, [6, 7]) == [False, True]
    assert await store.write(
        transformation_records.seed, 1, [], 16.0, place="0:7", is_end=True
    ) == ([], [])
    store = await reopen(store)
    found = await store.read(transformation_records.transformation, 1)
    assert found is not None and (found.seed_place, found.seeded) == ("0:7", True)
    assert await states(store, row) == {5: I.UNUSED, 6: I.UNUSED, 7: I.UNUSED}
    counts = await store.read(transformation_records.transformation_counts, [1])
    assert counts[1].inputs == {(0, I.UNUSED): 3}


async def test_an_input_takes_at_most_its_number_of_files(store: Store) -> None:
    row = await a_transformation(store)
    asked = [
        NewInput(
            transformation_id=row.transformation_id,
            file_id=one,
            input_no=number,
            state=I.UNUSED,
            files_max=2 if number == 0 else 0,
        )
        for number in (0, 1)
        for one in (5, 6, 7)
    ]

    first, _ = await store.write(transformation_records.add_inputs, asked[::2], 15.0)
    again, _ = await store.write(transformation_records.add_inputs, asked, 16.0)

    assert first == [True, True, True]
    assert again == [False, False, False, True, False, True]


async def test_how_far_the_catalogue_was_looked_through_only_grows(store: Store) -> None:
    await store.write(transformation_records.add_inputs, [], 1.0, looked=("ctao", 7))
    await store.write(transformation_records.add_inputs, [], 1.0, looked=("ctao", 5))

    assert await store.read(transformation_records.looked_until, "ctao") == 7
    assert await store.read(transformation_records.looked_until, "lhcb") == 0


async def test_tasks_take_their_inputs_and_have_jobs_that_wait(
    store: Store, reopen: Reopen
) -> None:
    row = await a_transformation(store)
    await with_inputs(store, row, [1, 2, 3])
    await submitted(store, await a_class(store), 3)

    tasks = await made(store, row, [[1, 2], [3]], shared=[9])
    store = await reopen(store)

    assert [(one.number, one.job_id) for one in tasks] == [(1, 4), (2, 5)]
    assert (await store.write(job_records.standing, [4]))[4].state is JobState.WAITING
    assert await states(store, row) == {1: I.ASSIGNED, 2: I.ASSIGNED, 3: I.ASSIGNED}
    assert await store.read(task_records.tasks_of_jobs, [1, 4, 5]) == {
        4: (tasks[0].task_id, row.transformation_id, 1),
        5: (tasks[1].task_id, row.transformation_id, 2),
    }
    listed = await store.read(transformation_records.tasks, 1, states=[T.CREATED], after=1, limit=5)
    assert [one.number for one in listed] == [2]


async def test_a_job_that_is_gone_is_still_known_as_that_of_its_task(
    store: Store, reopen: Reopen
) -> None:
    row = await a_transformation(store)
    await with_inputs(store, row, [1])
    (task,) = await made(store, row, [[1]])
    await killed(store, task.job_id)
    assert await store.write(retention_records.prune_jobs, [(task.job_id, 50.0)]) != []
    store = await reopen(store)

    assert await store.read(job_records.job, task.job_id) is None
    assert await store.read(task_records.tasks_of_jobs, [task.job_id, 99]) == {
        task.job_id: (task.task_id, row.transformation_id, 1)
    }


TWO: list[list[int]] = [[], []]
NOT_MADE: list[Any] = [
    pytest.param([[1], [2]], 0, {}, id="an input is not there"),
    pytest.param([[1]], 1, {}, id="others were made since"),
    pytest.param([[1]], 0, {"state": S.PAUSED}, id="it is paused"),
    pytest.param(TWO, 0, {"tasks_wanted": 1}, id="more than wanted"),
    pytest.param(TWO, 0, {"scouts_until": 1}, id="more than scouts"),
]


@pytest.mark.parametrize(("groups", "after", "fields"), NOT_MADE)
async def test_tasks_are_made_all_or_none(
    store: Store, groups: list[list[int]], after: int, fields: dict[str, Any]
) -> None:
    row = await a_transformation(store, **fields)
    await with_inputs(store, row, [1])

    assert await made(store, row, groups, after=after) == []
    assert await states(store, row) == {1: I.UNUSED}
    assert await store.write(job_records.standing, [1]) == {}


async def test_an_input_is_never_in_two_tasks(store: Store) -> None:
    row = await a_transformation(store)
    await with_inputs(store, row, [1])
    await made(store, row, [[1]])

    assert await made(store, row, [[1]], after=1) == []
    with pytest.raises(ValueError, match="twice"):
        await made(store, row, [[1], [1]], after=1)


async def test_an_end_is_told_once_whatever_ends_the_job(store: Store, reopen: Reopen) -> None:
    row = await a_transformation(store)
    await with_inputs(store, row, [1, 2])
    tasks = await made(store, row, [[1], [2]])
    await turns.match(store, [an_attempt(1, tasks[1].job_id)])
    await turns.change(store, [an_end(1, tasks[1].job_id, 1)])
    await killed(store, tasks[0].job_id)
    store = await reopen(store)
    ends = await store.read(transformation_records.task_ends, 10)

    assert [(one.number, one.state) for one in ends] == [
        (1, JobState.KILLED),
        (2, JobState.DONE),
    ]
    assert ends[1].how == "exited"
    assert await store.write(
        transformation_records.close_tasks, [close(ends[0], I.UNUSED, T.KILLED)]
    ) == [True]
    assert await store.write(
        transformation_records.close_tasks, [close(one, I.PROCESSED) for one in ends]
    ) == [False, True]
    assert await store.read(transformation_records.task_ends, 10) == []
    assert await states(store, row) == {1: I.UNUSED, 2: I.PROCESSED}
    counts = (await store.read(transformation_records.transformation_counts, [1]))[1]
    assert counts.tasks == {T.KILLED: 1, T.DONE: 1}
    assert counts.inputs == {(0, I.UNUSED): 1, (0, I.PROCESSED): 1}
    assert await store.read(transformation_records.last_ends, 1, 0.0, 9) == [T.DONE, T.KILLED]
    assert await store.read(transformation_records.last_ends, 1, 30.0, 9) == []


async def test_a_task_that_was_split_is_not_among_the_last_ends(store: Store) -> None:
    row = await a_transformation(store)
    await with_inputs(store, row, [1, 2])
    await made(store, row, [[1, 2]])
    await turns.match(store, [an_attempt(1, 1)])
    await turns.change(store, [an_end(1, 1, 1)])
    (end,) = await store.read(transformation_records.task_ends, 10)
    closes = [close(end, I.UNUSED, T.FAILED, is_split=True)]

    assert await store.write(transformation_records.close_tasks, closes) == [True]
    assert await store.read(transformation_records.last_ends, 1, 0.0, 9) == []


async def test_jobs_of_no_transformation_tell_no_end(store: Store) -> None:
    await submitted(store, await a_class(store), 1)
    await killed(store, 1)

    assert await store.read(transformation_records.task_ends, 10) == []


async def test_a_close_that_forgets_an_input_changes_nothing(store: Store) -> None:
    row = await a_transformation(store)
    await with_inputs(store, row, [1, 2])
    tasks = await made(store, row, [[1, 2]])
    await killed(store, tasks[0].job_id)
    (end,) = await store.read(transformation_records.task_ends, 10)
    short = msgspec.structs.replace(end, inputs=end.inputs[:1])

    assert await store.write(transformation_records.close_tasks, [close(short, I.PROCESSED)]) == [
        False
    ]
    assert await store.read(transformation_records.task_ends, 10) == [end]


async def test_a_child_gets_what_is_left_and_what_its_parent_still_works_on(store: Store) -> None:
    row = await a_transformation(store)
    await with_inputs(store, row, [1, 2, 3])
    tasks = await made(store, row, [[1], [2]])
    await killed(store, tasks[0].job_id)
    (end,) = await store.read(transformation_records.task_ends, 10)
    await store.write(transformation_records.close_tasks, [close(end, I.PROCESSED)])
    child = await a_transformation(store, "child", parent_id=row.transformation_id)
    left = await transformation_records.derive_inputs(store, 1, child.transformation_id, 40.0)

    assert left == 2
    assert await states(store, row) == {1: I.PROCESSED, 2: I.ASSIGNED, 3: I.MOVED}
    assert await states(store, child) == {1: I.PROCESSED, 2: I.ASSIGNED, 3: I.UNUSED}
    await killed(store, tasks[1].job_id)
    (end,) = await store.read(transformation_records.task_ends, 10)
    assert [(one.transformation_id, one.has_heir) for one in end.inputs] == [(1, True), (2, False)]
    assert await store.write(transformation_records.close_tasks, [close(end, I.PROCESSED)]) == [
        True
    ]
    assert (await states(store, row))[2] is I.PROCESSED
    assert (await states(store, child))[2] is I.PROCESSED
    assert await store.read(transformation_records.derived_from, 1) == 2


async def test_what_fails_before_a_child_has_its_inputs_is_left_for_the_child(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilotage.central.transformations.record.INHERITED_A_CHUNK", 2)
    row = await a_transformation(store)
    await with_inputs(store, row, list(range(1, 8)))
    tasks = await made(store, row, [[4], [7]])
    child = await a_transformation(store, "child", parent_id=row.transformation_id)
    await killed(store, tasks[0].job_id)
    (end,) = await store.read(transformation_records.task_ends, 10)

    assert [one.has_heir for one in end.inputs] == [False]
    assert await store.write(transformation_records.close_tasks, [close(end, I.UNUSED)]) == [True]
    assert await transformation_records.derive_inputs(store, 1, child.transformation_id, 40.0) == 7
    assert await transformation_records.derive_inputs(store, 1, child.transformation_id, 41.0) == 7
    assert await states(store, row) == {**dict.fromkeys(range(1, 7), I.MOVED), 7: I.ASSIGNED}
    assert await states(store, child) == {**dict.fromkeys(range(1, 7), I.UNUSED), 7: I.ASSIGNED}


async def test_inputs_move_from_where_they_were_seen_alone(store: Store) -> None:
    row = await a_transformation(store)
    await with_inputs(store, row, [1, 2])
    bad = InputMove(
        transformation_id=1, file_id=1, input_no=0, old=I.UNUSED, new=I.PROBLEMATIC, error=True
    )

    assert await store.write(transformation_records.add_inputs, [], 50.0, moves=[bad, bad]) == (
        [],
        [True, False],
    )
    (found,) = await store.read(
        transformation_records.inputs, 1, states=[I.PROBLEMATIC], after=(0, 0), limit=9
    )
    assert (found.errors, found.changed_at) == (1, 50.0)
    unused = await store.read(
        transformation_records.inputs, 1, states=[I.UNUSED], after=(0, 0), limit=9
    )
    assert [one.file_id for one in unused] == [2]


async def test_tasks_wanted_change_from_what_they_were(store: Store) -> None:
    row = await a_transformation(store, tasks_wanted=2)
    await made(store, row, [[], []])

    assert not await store.write(
        transformation_records.extend_transformation, 1, old=3, new=5, at=1.0
    )
    assert not await store.write(
        transformation_records.extend_transformation, 1, old=2, new=1, at=1.0
    )
    assert await store.write(transformation_records.extend_transformation, 1, old=2, new=5, at=1.0)
    assert len(await made(store, row, [[], [], []], after=2)) == 3


async def test_no_task_is_lost_whose_job_is_there(store: Store) -> None:
    row = await a_transformation(store, tasks_wanted=2)
    await made(store, row, [[], []])

    assert await store.write(transformation_records.lost_tasks) == 0
