"""Random verbs of transformations: the store in memory and one of a driver answer alike."""

import asyncio
import random
from typing import Any

import msgspec
import pytest

from pilotage.central.jobs import record as job_records
from pilotage.central.store.engine import Store
from pilotage.central.store.errors import StoreError
from pilotage.central.transformations import record as transformation_records
from pilotage.central.transformations.record import (
    InputMove,
    NewInput,
    TaskClose,
    TaskEnd,
    TransformationMove,
)
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.transformation_states import (
    InputState as I,
    TaskState as T,
    TransformationState as S,
)
from tests.memory_store import MemoryStore

from .conftest import NOW, Ground, Grounds
from .rows import a_move
from .test_transformations import a_transformation, made

FILES = range(1, 8)
OPS = ("inputs", "inputs", "make", "make", "make", "end", "end", "close", "close", "move", "state",
       "derive", "seed", "extend")  # fmt: skip


def of(chance: random.Random, ids: list[int]) -> int:
    return chance.choice([*ids, 99])


async def do(store: Store, op: str, chance: random.Random, ids: list[int]) -> Any:
    """Carry out one verb as `chance` says; return its answer."""
    one = of(chance, ids)
    row = await store.read(transformation_records.transformation, one)
    match op:
        case "inputs" | "seed":
            state = chance.choice((I.UNUSED, I.UNUSED, I.SHARED))
            rows = [
                NewInput(transformation_id=one, file_id=file, input_no=0, state=state)
                for file in chance.sample(FILES, 3)
            ]
            if op == "seed":
                return await store.write(
                    transformation_records.seed,
                    one,
                    rows,
                    5.0,
                    place="0:1",
                    is_end=chance.random() < 0.5,
                )
            return await store.write(
                transformation_records.add_inputs, rows, 5.0, looked=("ctao", chance.randint(1, 9))
            )
        case "make":
            sizes = [chance.randint(0, 2) for _ in range(chance.randint(1, 2))]
            files = chance.sample(FILES, sum(sizes))
            groups = [[files.pop() for _ in range(size)] for size in sizes]
            after = row.tasks_made if row is not None and chance.random() < 0.9 else 7
            known = row or await store.read(transformation_records.transformation, 1)
            assert known is not None
            whose = msgspec.structs.replace(known, transformation_id=one)
            return await made(store, whose, groups, after=after, shared=[9])
        case "end":
            job = chance.randint(1, 12)
            new = chance.choice(sorted(FINAL, key=lambda state: state.value))
            return await store.write(job_records.move, [a_move(job, JobState.WAITING, new)])
        case "close":
            closes = [
                _close(chance, end) for end in await store.read(transformation_records.task_ends, 5)
            ]
            return await store.write(transformation_records.close_tasks, closes)
        case "move":
            moves = [
                InputMove(
                    transformation_id=one, file_id=chance.choice(FILES), input_no=0,
                    old=chance.choice((I.UNUSED, I.STUCK, I.PROCESSED)),
                    new=chance.choice((I.UNUSED, I.PROBLEMATIC)), error=chance.random() < 0.5,
                    no_errors=chance.random() < 0.3, replay=chance.random() < 0.3,
                )
                for _ in range(3)
            ]  # fmt: skip
            return await store.write(transformation_records.move_inputs, moves, 9.0)
        case "state":
            return await store.write(transformation_records.move_transformation, TransformationMove(
                    transformation_id=one, old=chance.choice((S.ACTIVE, S.PAUSED)),
                    new=chance.choice((S.ACTIVE, S.PAUSED, S.COMPLETING)), reason="r", at=4.0,
                    closing=chance.choice((None, True)), seed_anew=chance.random() < 0.5,
                    judge_anew=chance.random() < 0.5, scouts_until=chance.choice((None, 0, 3)),
                )
            )  # fmt: skip
        case "derive":
            child = await a_transformation(store, f"t{len(ids) + 1}", parent_id=one)
            return [
                child,
                await transformation_records.derive_inputs(
                    store, one, child.transformation_id, 6.0
                ),
            ]
        case _:
            return await store.write(
                transformation_records.extend_transformation,
                one,
                old=0,
                new=chance.randint(0, 9),
                at=7.0,
            )


def _close(chance: random.Random, end: TaskEnd) -> TaskClose:
    new = chance.choice((I.UNUSED, I.PROCESSED, I.STUCK))
    some = end.inputs[:-1] if chance.random() < 0.2 else end.inputs
    return TaskClose(
        task_id=end.task_id,
        state=chance.choice((T.DONE, T.FAILED)),
        reason="why",
        at=8.0,
        inputs=tuple(
            InputMove(
                transformation_id=one.transformation_id,
                file_id=one.file_id,
                input_no=one.input_no,
                old=I.ASSIGNED,
                new=new,
                task_id=end.task_id,
                error=new is not I.PROCESSED,
            )
            for one in some
        ),
    )


async def all_of(store: Store) -> list[Any]:
    """Return everything that can be read."""
    rows = await store.read(
        transformation_records.transformations, None, states=(), after=0, limit=50
    )
    ids = [row.transformation_id for row in rows]
    found: list[Any] = [
        rows,
        await store.read(transformation_records.task_ends, 50),
        await store.read(transformation_records.looked_until, "ctao"),
    ]
    for one in ids:
        found.append(
            await store.read(transformation_records.inputs, one, states=(), after=(0, 0), limit=50)
        )
        found.append(
            await store.read(
                transformation_records.inputs, one, states=[I.UNUSED], after=(2, 0), limit=50
            )
        )
        found.append(
            await store.read(transformation_records.tasks, one, states=(), after=0, limit=50)
        )
        found.append(await store.read(transformation_records.last_ends, one, 0.0, 50))
        found.append(await store.read(transformation_records.derived_from, one))
    counts = await store.read(transformation_records.transformation_counts, ids)
    found.append({one: msgspec.to_builtins(its.tasks) for one, its in counts.items()})
    found.append({one: sorted(its.inputs.items(), key=str) for one, its in counts.items()})
    return found


async def walk(seed: int, ground: Ground) -> None:
    memory, real = MemoryStore(clock_wall=lambda: NOW), await ground.open()
    try:
        ids = [1, 2]
        for store in (memory, real):
            await a_transformation(store, "t1")
            await a_transformation(store, "t2", tasks_wanted=0)
        chance = random.Random(seed)
        for number in range(30):
            op, own = chance.choice(OPS), chance.random()
            if op == "derive" and len(ids) > 4:
                continue
            answers: list[Any] = []
            for store in (memory, real):
                try:
                    answers.append(await do(store, op, random.Random(own), ids))
                except (StoreError, ValueError) as why:
                    answers.append(StoreError if isinstance(why, StoreError) else ValueError)
            assert answers[0] == answers[1], f"seed {seed}, {op}, {number}"
            assert await all_of(memory) == await all_of(real), f"seed {seed}, {op}, {number}"
            rows = await memory.read(
                transformation_records.transformations, None, states=(), after=0, limit=50
            )
            ids = [row.transformation_id for row in rows]
            await _check(memory)
    finally:
        await real.close()


async def _check(store: Store) -> None:
    """A file that is Assigned has one task, which has not ended."""
    for row in await store.read(
        transformation_records.transformations, None, states=(), after=0, limit=50
    ):
        for one in await store.read(
            transformation_records.inputs, row.transformation_id, states=(), after=(0, 0), limit=50
        ):
            assert one.state is not I.ASSIGNED or one.task_id is not None


def _walks(seeds: range, grounds: Grounds) -> None:
    for seed in seeds:
        with grounds() as ground:
            asyncio.run(walk(seed, ground))


def test_both_stores_answer_the_same(grounds: Grounds) -> None:
    _walks(range(6), grounds)


@pytest.mark.long
def test_both_stores_answer_the_same_on_many_walks(grounds: Grounds) -> None:
    _walks(range(6, 600), grounds)
