"""Tasks that do not agree with their inputs or outputs: they are found, and mended once."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from pilotage.central.catalogue import record_files as file_records, record_read as catalogue_read
from pilotage.central.catalogue.record_types import JobInput, ReplicaChange
from pilotage.central.failover import record as failover_records
from pilotage.central.failover.record import CycleRecord, FailoverRow, OddInput, OddTask, TaskRepair
from pilotage.central.jobs import record as job_records
from pilotage.central.store.engine import Store
from pilotage.central.transformations import record as transformation_records
from pilotage.central.transformations.record import InputMove, TransformationMove, TransformationRow
from pilotage.proto.catalogue import Did, FileState, ReplicaState
from pilotage.proto.job_states import JobState
from pilotage.proto.transformation_states import (
    InputState as I,
    TaskState as T,
    TransformationState as S,
)

from .conftest import Reopen
from .rows import a_class, a_move, submitted
from .test_catalogue import CTAO, a_file, register, the_file
from .test_transformations import a_transformation, close, killed, made, states, with_inputs

AT = 60.0
BY_HAND = {  # as an operator with a shell of the database
    "forget_ends": "DELETE FROM task_end",
    "tasks_done": "UPDATE task SET state = 'Done', ended_at = 1 WHERE state = 'Created'",
    "tasks_gone": "DELETE FROM task",
}


async def by_hand(store: Store, what: str) -> None:
    """Change a store behind its own back."""

    def change(session: Any) -> None:
        done = session.connection.execute(BY_HAND[what])
        if hasattr(session, "wait"):
            session.wait(done)

    await store.write(change)


async def files(store: Store, *names: str, **given: Any) -> list[int]:
    return [one.file_id for one in await register(store, *(a_file(n, **given) for n in names))]


async def lose(store: Store, name: str) -> None:
    """Let all copies of a file be bad."""
    change = ReplicaChange(did=Did("prod6", name), storage="PIC", state=ReplicaState.BAD)
    await store.write(file_records.change_replicas, CTAO, [change], at=AT)
    assert (await the_file(store, name)).state is FileState.LOST


async def a_done_task(
    store: Store,
    outputs: Sequence[str] = ("a.out", "b.out"),
    state: T = T.DONE,
    new: I = I.PROCESSED,
) -> tuple[TransformationRow, OddTask]:
    """Return a transformation with a task that is over and has outputs, as if it were odd."""
    row = await a_transformation(store)
    await store.write(failover_records.begin_failover, row.transformation_id)
    inputs = await files(store, "a.in", "b.in")
    await with_inputs(store, row, inputs)
    (task,) = await made(store, row, [inputs])
    await files(store, *outputs, job_id=task.job_id, epoch=1)
    await killed(store, task.job_id)
    await store.write(
        transformation_records.close_tasks,
        [close(end, new, state) for end in await store.read(transformation_records.task_ends, 9)],
    )
    odd = OddTask(
        transformation_id=row.transformation_id,
        task_id=task.task_id,
        number=1,
        job_id=task.job_id,
        state=state,
        inputs=tuple(
            OddInput(file_id=one, input_no=0, state=new, errors=int(new is I.UNUSED))
            for one in inputs
        ),
        outputs=len(outputs),
    )
    return row, odd


def mended(
    odd: OddTask, old: I, new: I, state: T, *, clean: bool = False, **given: Any
) -> CycleRecord:
    assert odd.state is not None
    moves = tuple(
        InputMove(
            transformation_id=odd.transformation_id, file_id=one.file_id, input_no=one.input_no,
            old=old, new=new, task_id=odd.task_id, replay=True,
        )
        for one in odd.inputs
    )  # fmt: skip
    mend = TaskRepair(
        task_id=odd.task_id, old=odd.state, new=state, reason="lost", inputs=moves, clean=clean
    )
    was = given.pop("was", 0)
    kept = FailoverRow(transformation_id=odd.transformation_id, cycle=was + 1)
    return CycleRecord(row=kept, was=was, mends=(mend,), at=AT, **given)


async def odd_outputs(store: Store, row: TransformationRow, **given: int) -> list[OddTask]:
    return await store.read(
        failover_records.odd_outputs, row.transformation_id, **{"after": 0, "limit": 9, **given}
    )


async def test_a_task_of_which_outputs_are_gone_is_found_with_what_is_known_of_it(
    store: Store,
) -> None:
    row, odd = await a_done_task(store)
    assert await odd_outputs(store, row) == []

    await lose(store, "a.out")
    lost = msgspec.structs.replace(odd, outputs_gone=1, outputs_lost=1)
    assert await odd_outputs(store, row) == [lost]
    assert await odd_outputs(store, row, after=1) == []
    assert await odd_outputs(store, row, limit=0) == []
    await store.write(
        file_records.remove_files, CTAO, [Did("prod6", "b.out"), Did("prod6", "a.in")], at=AT
    )
    (found,) = await odd_outputs(store, row)
    assert (found.outputs, found.outputs_gone, found.outputs_lost) == (2, 2, 1)
    assert [one.is_there for one in found.inputs] == [False, True]


@pytest.mark.parametrize("state", [T.FAILED, T.KILLED, T.LOST])
async def test_a_task_that_is_not_done_is_odd_while_outputs_of_it_are_there(
    store: Store, state: T
) -> None:
    row, odd = await a_done_task(store, state=state, new=I.UNUSED)

    assert await odd_outputs(store, row) == [odd]
    for name in ("a.out", "b.out"):
        await lose(store, name)
    assert await odd_outputs(store, row) == []


async def test_what_was_read_of_its_outputs_is_what_a_task_has_that_did_not_fail(
    store: Store,
) -> None:
    row, _ = await a_done_task(store)
    await lose(store, "a.out")
    b = (await the_file(store, "b.out")).file_id
    child = await a_transformation(store, "child")
    await with_inputs(store, child, [b])
    assert [one.is_read for one in await odd_outputs(store, row)] == [False]

    (task,) = await made(store, child, [[b]])
    assert [one.is_read for one in await odd_outputs(store, row)] == [True]
    await killed(store, task.job_id)
    for end in await store.read(transformation_records.task_ends, 9):
        await store.write(transformation_records.close_tasks, [close(end, I.UNUSED, T.FAILED)])
    assert [one.is_read for one in await odd_outputs(store, row)] == [False]
    await made(store, child, [[]], after=1, shared=[b])
    assert [one.is_read for one in await odd_outputs(store, row)] == [True], "as a side input"


async def test_what_a_job_of_no_task_reads_is_read(store: Store) -> None:
    row, _ = await a_done_task(store)
    await lose(store, "a.out")
    b = (await the_file(store, "b.out")).file_id
    record = await submitted(store, await a_class(store), 1, "reader", inputs=(JobInput(0, b),))

    assert [one.is_read for one in await odd_outputs(store, row)] == [True]
    ((job, _),) = record.ranges
    assert await store.write(
        job_records.move, [a_move(job, JobState.WAITING, JobState.KILLED)]
    ) == [True]
    assert [one.is_read for one in await odd_outputs(store, row)] == [False]


async def test_a_mend_moves_task_inputs_and_outputs_at_once(store: Store, reopen: Reopen) -> None:
    row, odd = await a_done_task(store)
    await lose(store, "a.out")
    more = TransformationMove(
        transformation_id=row.transformation_id, old=S.ACTIVE, new=S.PAUSED, reason="m", at=AT
    )
    before = await store.read(catalogue_read.last_change, CTAO)

    kept = mended(odd, I.PROCESSED, I.UNUSED, T.FAILED, clean=True, move=more)
    assert await store.write(failover_records.keep_cycle, kept) == []
    assert await store.write(failover_records.keep_cycle, kept) is None, "it was kept before"
    store = await reopen(store)

    (task,) = await store.read(
        transformation_records.tasks, row.transformation_id, states=(), after=0, limit=9
    )
    assert (task.state, task.reason) == (T.FAILED, "lost")
    found = await store.read(
        transformation_records.inputs, row.transformation_id, states=(), after=(0, 0), limit=9
    )
    assert [(one.state, one.replays) for one in found] == [(I.UNUSED, 1)] * 2
    assert (await the_file(store, "a.out")).state is FileState.LOST
    assert (await the_file(store, "b.out")).state is FileState.REMOVED
    changed = await store.read(catalogue_read.files_changed, CTAO, before, limit=9)
    assert [one.did.name for one in changed] == ["b.out"]
    counts = (
        await store.read(transformation_records.transformation_counts, [row.transformation_id])
    )[row.transformation_id]
    assert counts.tasks == {T.FAILED: 1} and counts.inputs == {(0, I.UNUSED): 2}
    assert await odd_outputs(store, row) == []


async def test_a_mend_that_does_not_hold_any_more_changes_nothing(store: Store) -> None:
    row, odd = await a_done_task(store)
    await lose(store, "a.out")
    wrong_task = mended(msgspec.structs.replace(odd, state=T.KILLED), I.PROCESSED, I.UNUSED, T.DONE)
    wrong_input = mended(odd, I.STUCK, I.PROCESSED, T.FAILED)
    no_task = mended(msgspec.structs.replace(odd, task_id=999), I.PROCESSED, I.UNUSED, T.FAILED)
    child = await a_transformation(store, "child")
    b = (await the_file(store, "b.out")).file_id
    await with_inputs(store, child, [b])
    await made(store, child, [[b]])
    now_read = mended(odd, I.PROCESSED, I.UNUSED, T.FAILED, clean=True)

    for kept in (wrong_task, wrong_input, no_task, now_read):
        assert await store.write(failover_records.keep_cycle, kept) is None
    assert set((await states(store, row)).values()) == {I.PROCESSED}
    (task,) = await store.read(
        transformation_records.tasks, row.transformation_id, states=(), after=0, limit=9
    )
    assert task.state is T.DONE
    assert (await the_file(store, "b.out")).state is FileState.AVAILABLE


async def test_inputs_that_another_task_has_by_now_are_not_moved(store: Store) -> None:
    row, odd = await a_done_task(store, state=T.FAILED, new=I.UNUSED)
    other = await made(store, row, [[one.file_id for one in odd.inputs]], after=1)
    (found,) = await odd_outputs(store, row)
    assert [(one.state, one.is_own, one.other_did) for one in found.inputs] == [
        (I.ASSIGNED, False, False)
    ] * 2

    assert (
        await store.write(failover_records.keep_cycle, mended(odd, I.UNUSED, I.PROCESSED, T.DONE))
        is None
    )
    await killed(store, other[0].job_id)
    for end in await store.read(transformation_records.task_ends, 9):
        await store.write(transformation_records.close_tasks, [close(end, I.PROCESSED, T.DONE)])
    (found,) = await odd_outputs(store, row)
    assert [one.other_did for one in found.inputs] == [True, True]


async def test_inputs_that_a_task_has_left_behind_are_found(store: Store, reopen: Reopen) -> None:
    row = await a_transformation(store)
    inputs = await files(store, "a.in", "b.in")
    await with_inputs(store, row, inputs)
    (task,) = await made(store, row, [inputs])
    await files(store, "a.out", "b.out", job_id=task.job_id, epoch=1)
    await lose(store, "b.out")
    assert await store.read(failover_records.odd_inputs, row.transformation_id, limit=9) == []

    await by_hand(store, "tasks_done")
    (found,) = await store.read(failover_records.odd_inputs, row.transformation_id, limit=9)
    assert (found.task_id, found.number, found.state) == (task.task_id, 1, T.DONE)
    assert (found.job_id, found.outputs, found.outputs_gone) == (task.job_id, 2, 1)
    assert found.inputs == tuple(
        OddInput(file_id=one, input_no=0, state=I.ASSIGNED) for one in inputs
    )
    (found,) = await store.read(failover_records.odd_inputs, row.transformation_id, limit=1)
    assert len(found.inputs) == 1
    await by_hand(store, "tasks_gone")
    store = await reopen(store)
    (found,) = await store.read(failover_records.odd_inputs, row.transformation_id, limit=9)
    assert (found.task_id, found.number, found.job_id) == (task.task_id, 0, 0)
    assert (found.state, found.outputs) == (None, 0)


async def test_ends_that_nobody_was_told_of_are_noted_once(store: Store) -> None:
    row = await a_transformation(store)
    tasks = await made(store, row, [[], [], []])
    await killed(store, tasks[0].job_id, tasks[1].job_id)
    assert await store.write(failover_records.note_missed_ends) == 0
    assert len(await store.read(transformation_records.task_ends, 9)) == 2

    await by_hand(store, "forget_ends")
    assert await store.read(transformation_records.task_ends, 9) == []
    assert await store.write(failover_records.note_missed_ends) == 2
    assert [end.task_id for end in await store.read(transformation_records.task_ends, 9)] == [
        one.task_id for one in tasks[:2]
    ]
    assert await store.write(failover_records.note_missed_ends) == 0


async def test_tasks_that_wait_with_inputs_that_have_failed_are_found_the_newest_first(
    store: Store, reopen: Reopen
) -> None:
    row = await a_transformation(store)
    inputs = await files(store, "a.in", "b.in", "c.in")
    await with_inputs(store, row, inputs)
    (first,) = await made(store, row, [inputs[:2]])
    assert await store.read(transformation_records.tried_again, 0.0, limit=9) == []
    await killed(store, first.job_id)
    for end in await store.read(transformation_records.task_ends, 9):
        await store.write(transformation_records.close_tasks, [close(end, I.UNUSED, T.FAILED)])

    again = await made(store, row, [inputs[:1], inputs[1:2], inputs[2:]], after=1)
    store = await reopen(store)
    found = await store.read(transformation_records.tried_again, 20.0, limit=9)
    assert [(one.task_id, one.job_id, one.file_ids, one.made_at) for one in found] == [
        (again[1].task_id, again[1].job_id, (inputs[1],), 20.0),
        (again[0].task_id, again[0].job_id, (inputs[0],), 20.0),
    ]
    assert await store.read(transformation_records.tried_again, 20.5, limit=9) == []
    assert len(await store.read(transformation_records.tried_again, 20.0, limit=1)) == 1
    await killed(store, again[0].job_id)
    assert [
        one.task_id for one in await store.read(transformation_records.tried_again, 0.0, limit=9)
    ] == [again[1].task_id]
