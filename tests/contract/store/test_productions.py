"""Productions: stored with all of their steps or not at all, moved with them or not at all."""

from typing import Any

import msgspec
import pytest

from pilotage.central.accounts import record_quotas as quota_records
from pilotage.central.catalogue import (
    record_files as file_records,
    record_registration as registration,
)
from pilotage.central.catalogue.record_types import NewFile, NewReplica
from pilotage.central.jobs.record_types import AttemptStart
from pilotage.central.productions import record as production_records
from pilotage.central.productions.record import (
    Extension,
    NameTaken,
    NewProductionRow,
    NewStep,
    ProductionMove,
    ProductionRow,
    ProgressRow,
)
from pilotage.central.store.engine import Store
from pilotage.central.store.errors import StoreError
from pilotage.central.transformations import record as transformation_records
from pilotage.central.transformations.record import NewTransformationRow, TransformationMove
from pilotage.proto.catalogue import Did
from pilotage.proto.job_states import JobState
from pilotage.proto.production_states import ProductionState as P
from pilotage.proto.transformation_states import (
    InputState as I,
    TaskState as T,
    TransformationState as S,
)
from tests import turns

from .conftest import Reopen
from .rows import USAGE, a_class, an_attempt, an_end
from .test_transformations import a_transformation, close, made


async def new_ones(
    store: Store, name: str = "p", steps: int = 2, **fields: Any
) -> tuple[NewProductionRow, list[NewStep]]:
    kind = await a_class(store)
    given: dict[str, Any] = {
        "community": "ctao",
        "group": "sim",
        "owner_id": kind.owner_id,
        "name": name,
        "title": "a title",
        "state": P.ACTIVE,
        "definition": b'{"steps":1}',
        "sha256": "ab",
        "details": b'{"form":"yaml"}',
        "at": 10.0,
    }
    new = NewProductionRow(**{**given, **fields})
    first = await store.write(production_records.reserve_transformations, steps)
    return new, [
        NewStep(
            step=f"s{i}",
            parents=(i - 1,) if i else (),
            transformation_id=first + i,
            transformation=NewTransformationRow(
                community="ctao",
                group="sim",
                owner_id=kind.owner_id,
                name=f"{name}-s{i}",
                state=S.ACTIVE,
                doc=b'{"i":%d}' % i,
                tasks_wanted=0 if i else 5,
                at=10.0,
            ),
        )
        for i in range(steps)
    ]


async def added(store: Store, name: str = "p", steps: int = 2, **fields: Any) -> ProductionRow:
    return await store.write(
        production_records.add_production, *await new_ones(store, name, steps, **fields)
    )


def a_move(row: ProductionRow, new: P, old: P = P.ACTIVE) -> ProductionMove:
    one = row.production_id
    return ProductionMove(production_id=one, old=old, new=new, reason="why", at=20.0)


def a_step_move(
    transformation_id: int, new: S, old: S = S.ACTIVE, **fields: Any
) -> TransformationMove:
    return TransformationMove(
        transformation_id=transformation_id, old=old, new=new, reason="so", at=20.0, **fields
    )


async def test_a_production_comes_with_its_steps_in_order(store: Store, reopen: Reopen) -> None:
    row = await added(store, steps=3, priority=7, rules="rules: []", rerun_of=1)
    store = await reopen(store)

    assert await store.read(production_records.production, row.production_id) == row
    assert (row.state, row.priority, row.rerun_of, row.made_at) == (P.ACTIVE, 7, 1, 10.0)
    texts = await store.read(production_records.production_texts, row.production_id)
    assert texts is not None
    assert (texts.definition, texts.details) == (b'{"steps":1}', b'{"form":"yaml"}')
    steps = (await store.read(production_records.production_steps, [row.production_id]))[
        row.production_id
    ]
    assert [(one.place, one.step, one.parents) for one in steps] == [
        (0, "s0", ()),
        (1, "s1", (0,)),
        (2, "s2", (1,)),
    ]
    assert [one.row.name for one in steps] == ["p-s0", "p-s1", "p-s2"]
    assert [one.row.doc for one in steps] == [b""] * 3
    whole = await store.read(
        production_records.production_steps, [row.production_id, 99], documents=True
    )
    assert [one.row.doc for one in whole[row.production_id]] == [b'{"i":0}', b'{"i":1}', b'{"i":2}']
    assert whole[99] == []
    known = await store.read(transformation_records.transformation, steps[1].row.transformation_id)
    assert known == whole[row.production_id][1].row


async def test_a_transformation_is_known_to_be_a_step(store: Store) -> None:
    alone = await a_transformation(store)
    with_rules = await added(store, "p", rules="rules: []")
    without = await added(store, "q")
    found = await store.read(
        production_records.production_steps, [with_rules.production_id, without.production_id]
    )
    mine, other = (one[1].row.transformation_id for one in found.values())

    names = await store.read(
        transformation_records.steps_of, [alone.transformation_id, mine, other]
    )
    assert {one: (its.production, its.step) for one, its in names.items()} == {
        mine: ("p", "s1"),
        other: ("q", "s1"),
    }
    assert await store.read(production_records.rules_of, mine) == "rules: []"
    assert await store.read(production_records.rules_of, other) is None
    assert await store.read(production_records.rules_of, alone.transformation_id) is None


async def test_a_name_is_taken_once_until_it_is_archived(store: Store) -> None:
    first = await added(store)
    assert await added(store, definition=b"other") == first
    assert (
        len(
            await store.read(
                transformation_records.transformations, None, states=(), after=0, limit=10
            )
        )
        == 2
    )
    steps = (await store.read(production_records.production_steps, [first.production_id]))[
        first.production_id
    ]
    gone = [a_step_move(one.row.transformation_id, S.CLEANED) for one in steps]
    assert await store.write(production_records.move_production, a_move(first, P.ARCHIVED), gone)

    assert await store.read(production_records.production_named, "ctao", "p") is None
    second = await added(store)
    assert second.production_id > first.production_id
    assert await store.read(production_records.production_named, "ctao", "p") == second
    assert await store.read(production_records.production_named, "lhcb", "p") is None


async def test_what_was_put_away_does_not_come_back_beside_another_of_its_name(
    store: Store,
) -> None:
    first = await added(store)
    steps = (await store.read(production_records.production_steps, [first.production_id]))[
        first.production_id
    ]
    ids = [one.row.transformation_id for one in steps]
    gone = [a_step_move(one, S.ARCHIVED) for one in ids]
    assert await store.write(production_records.move_production, a_move(first, P.ARCHIVED), gone)
    second = await added(store)
    back = [a_step_move(one, S.CLEANING, S.ARCHIVED) for one in ids]
    with pytest.raises(StoreError):
        await store.write(
            production_records.move_production, a_move(first, P.CLEANING, P.ARCHIVED), back
        )
    with pytest.raises(StoreError):
        await store.write(transformation_records.move_transformation, back[0])

    steps = (await store.read(production_records.production_steps, [first.production_id]))[
        first.production_id
    ]
    assert {one.row.state for one in steps} == {S.ARCHIVED}
    assert await store.read(production_records.production_named, "ctao", "p") == second


async def test_nothing_is_stored_where_a_step_has_the_name_of_another(store: Store) -> None:
    other = await a_transformation(store, "p-s1")
    with pytest.raises(NameTaken) as caught:
        await added(store, steps=3)

    assert (caught.value.name, caught.value.step) == ("p-s1", "s1")
    assert caught.value.transformation_id == other.transformation_id
    assert (
        await store.read(production_records.productions, None, states=(), after=0, limit=10) == []
    )
    rows = await store.read(
        transformation_records.transformations, None, states=(), after=0, limit=10
    )
    assert rows == [other]
    assert await store.read(production_records.production_named, "ctao", "p") is None


async def test_two_steps_of_one_name_are_refused_whole(store: Store) -> None:
    new, steps = await new_ones(store)
    assert steps[1].transformation is not None
    same = msgspec.structs.replace(steps[1].transformation, name="p-s0")
    with pytest.raises(NameTaken):
        await store.write(
            production_records.add_production,
            new,
            [steps[0], msgspec.structs.replace(steps[1], transformation=same)],
        )

    assert (
        await store.read(transformation_records.transformations, None, states=(), after=0, limit=10)
        == []
    )


async def test_ids_that_are_reserved_are_nobody_elses(store: Store, reopen: Reopen) -> None:
    first = await store.write(production_records.reserve_transformations, 3)
    store = await reopen(store)
    row = await a_transformation(store)

    assert row.transformation_id >= first + 3
    assert await store.write(production_records.reserve_transformations, 1) > row.transformation_id


async def test_a_production_moves_with_all_of_its_steps_or_not_at_all(store: Store) -> None:
    row = await added(store)
    one, two = (await store.read(production_records.production_steps, [row.production_id]))[
        row.production_id
    ]
    ids = one.row.transformation_id, two.row.transformation_id
    stale = [a_step_move(ids[0], S.PAUSED), a_step_move(ids[1], S.PAUSED, S.COMPLETING)]
    assert not await store.write(production_records.move_production, a_move(row, P.PAUSED), stale)
    right = [a_step_move(ids[0], S.PAUSED, judge_anew=True), a_step_move(ids[1], S.PAUSED)]
    assert not await store.write(
        production_records.move_production, a_move(row, P.PAUSED, P.STOPPED), right
    )
    wrong = [Extension(transformation_id=ids[0], old=4, new=9)]
    assert not await store.write(
        production_records.move_production, a_move(row, P.PAUSED), right, extensions=wrong
    )
    alone = await a_transformation(store)
    others = [a_step_move(alone.transformation_id, S.PAUSED)]
    assert not await store.write(production_records.move_production, a_move(row, P.PAUSED), others)
    assert await store.read(production_records.production, row.production_id) == row

    more = [Extension(transformation_id=ids[0], old=5, new=9)]
    assert await store.write(
        production_records.move_production, a_move(row, P.PAUSED), right, extensions=more
    )
    now = await store.read(production_records.production, row.production_id)
    assert now is not None
    assert (now.state, now.reason, now.changed_at) == (P.PAUSED, "why", 20.0)
    steps = (await store.read(production_records.production_steps, [row.production_id]))[
        row.production_id
    ]
    assert [its.row.state for its in steps] == [S.PAUSED, S.PAUSED]
    assert [its.row.reason for its in steps] == ["so", "so"]
    assert (steps[0].row.tasks_wanted, steps[0].row.judged_from) == (9, 20.0)


async def test_a_step_is_never_told_to_make_less_than_it_has_made(store: Store) -> None:
    row = await added(store)
    one, _ = (
        await store.read(production_records.production_steps, [row.production_id], documents=True)
    )[row.production_id]
    await made(store, one.row, [()] * 3)
    less = [Extension(transformation_id=one.row.transformation_id, old=5, new=2)]

    assert not await store.write(
        production_records.move_production, a_move(row, P.ACTIVE), extensions=less
    )


async def test_productions_are_listed_by_state_and_page(store: Store) -> None:
    rows = [await added(store, name) for name in ("a", "b", "c")]
    await store.write(production_records.move_production, a_move(rows[1], P.COMPLETED))
    live = await store.read(
        production_records.productions, "ctao", states=[P.ACTIVE], after=0, limit=10
    )

    assert [one.name for one in live] == ["a", "c"]
    page = await store.read(
        production_records.productions, None, states=(), after=rows[0].production_id, limit=1
    )
    assert [one.name for one in page] == ["b"]
    assert (
        await store.read(production_records.productions, "lhcb", states=(), after=0, limit=10) == []
    )
    assert await store.read(production_records.production, 77) is None


async def test_the_priority_is_that_of_its_steps_too(store: Store, reopen: Reopen) -> None:
    row = await added(store)
    other = await added(store, "q")
    await store.write(production_records.set_production_priority, row.production_id, 9, 30.0)
    store = await reopen(store)

    found = await store.read(
        production_records.production_steps, [row.production_id, other.production_id]
    )
    assert [one.row.priority for one in found[row.production_id]] == [9, 9]
    assert [one.row.priority for one in found[other.production_id]] == [None, None]
    now = await store.read(production_records.production, row.production_id)
    assert now is not None
    assert now.priority == 9
    await store.write(production_records.set_production_priority, row.production_id, None, 31.0)
    found = await store.read(production_records.production_steps, [row.production_id])
    assert [one.row.priority for one in found[row.production_id]] == [None, None]


async def test_what_tasks_took_is_known_of_those_that_are_done(store: Store) -> None:
    row = await added(store)
    steps = (
        await store.read(production_records.production_steps, [row.production_id], documents=True)
    )[row.production_id]
    tasks = await made(store, steps[0].row, [()] * 3)
    await turns.match(store, [an_attempt(i, task.job_id) for i, task in enumerate(tasks, 1)])
    last = len(tasks)
    for i, task in enumerate(tasks, 1):
        new = JobState.FAILED if i == last else JobState.DONE
        await turns.change(store, [an_end(i, task.job_id, new=new, failed=i == last)])
    for end in await store.read(transformation_records.task_ends, 10):
        state = T.FAILED if end.state is JobState.FAILED else T.DONE
        assert await store.write(
            transformation_records.close_tasks, [close(end, I.PROCESSED, state)]
        ) == [True]
    ids = [one.row.transformation_id for one in steps]
    means = await store.read(production_records.task_means, ids)

    assert list(means) == ids[:1]
    assert (means[ids[0]].tasks, means[ids[0]].wall_s) == (2, USAGE.wall_s)
    assert means[ids[0]].memory_mb == USAGE.memory_peak_mb


async def test_tasks_count_as_running_once_their_jobs_have_started(store: Store) -> None:
    row = await added(store)
    steps = (
        await store.read(production_records.production_steps, [row.production_id], documents=True)
    )[row.production_id]
    tasks = await made(store, steps[0].row, [()] * 4)
    jobs = [task.job_id for task in tasks]
    await turns.match(store, [an_attempt(i, job) for i, job in enumerate(jobs[:3], 1)])
    starts = [AttemptStart(attempt_id=i, job_id=job, at=21.0) for i, job in enumerate(jobs[:2], 1)]
    await turns.change(store, starts)
    await turns.change(store, [an_end(1, jobs[0])])

    ids = [one.row.transformation_id for one in steps]
    assert await store.read(production_records.running_tasks, ids) == {ids[0]: 1}
    assert await store.read(production_records.running_tasks, ids[1:]) == {}


async def test_files_that_jobs_of_steps_have_made_are_counted(store: Store) -> None:
    row = await added(store)
    steps = (
        await store.read(production_records.production_steps, [row.production_id], documents=True)
    )[row.production_id]
    tasks = await made(store, steps[0].row, [()] * 2)
    jobs = [(tasks[0].job_id, 1), (tasks[1].job_id, 1), (None, None)]
    files = [
        NewFile(
            did=Did("sim", f"f{i}"),
            bytes=10 + i,
            adler32=f"{i:08x}",
            replicas=(NewReplica(storage="disk", path=f"f{i}"),),
            job_id=job,
            epoch=epoch,
        )
        for i, (job, epoch) in enumerate(jobs)
    ]
    await store.write(registration.register_files, "ctao", files, at=1.0)
    ids = [one.row.transformation_id for one in steps]

    assert await store.read(production_records.files_made, ids) == (2, 21)
    assert await store.read(production_records.files_made, ids[1:]) == (0, 0)
    await store.write(file_records.remove_files, "ctao", [Did("sim", "f0")], at=2.0)
    assert await store.read(production_records.files_made, ids) == (1, 11)
    huge = [
        msgspec.structs.replace(
            files[0],
            did=Did("sim", f"huge{i}"),
            bytes=2**53 - 1,
            replicas=(NewReplica(storage="disk", path=f"huge{i}"),),
        )
        for i in range(1_100)
    ]
    for some in huge[:1_000], huge[1_000:]:
        for outcome in await store.write(registration.register_files, "ctao", some, at=3.0):
            assert outcome.clash is None
    assert await store.read(production_records.files_made, ids) == (1_101, 2**53 - 1)


async def test_samples_are_kept_once_and_dropped(store: Store, reopen: Reopen) -> None:
    one, other = await added(store, "a"), await added(store, "b")
    some = [
        ProgressRow(production_id=one.production_id, at=at, progress=at / 10, tasks_done=int(at))
        for at in (3.0, 1.0, 2.0)
    ]
    await store.write(production_records.keep_samples, some)
    again = msgspec.structs.replace(some[0], tasks_done=99)
    await store.write(
        production_records.keep_samples,
        [again],
        drop=[(one.production_id, 1.0), (other.production_id, 2.0)],
    )
    store = await reopen(store)

    assert await store.read(production_records.samples, one.production_id) == [some[2], some[0]]
    assert await store.read(production_records.samples, other.production_id) == []


async def test_what_documents_name_is_kept_until_they_are_cleaned(store: Store) -> None:
    row = await added(store, definition=b'{"sha256":"kept"}')
    steps = (await store.read(production_records.production_steps, [row.production_id]))[
        row.production_id
    ]

    assert await named(store) >= {b'{"sha256":"kept"}', b'{"i":0}', b'{"i":1}'}
    moves = [a_step_move(one.row.transformation_id, S.CLEANED) for one in steps]
    assert await store.write(production_records.move_production, a_move(row, P.CLEANED), moves)
    assert not await named(store) & {b'{"sha256":"kept"}', b'{"i":0}', b'{"i":1}'}


async def named(store: Store) -> set[bytes]:
    return {one.text async for part in quota_records.blob_names(store) for one in part}
