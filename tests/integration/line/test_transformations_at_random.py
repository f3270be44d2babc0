"""Seeded worlds: the engine is killed at any await while files come, jobs end and people steer.

No pilots: jobs end by a word to the store, as whatever ends a job does. After every step no file is
in two tasks that live, and in no more that are Done than it was asked for.
"""

import asyncio
import random
from collections import Counter
from typing import Any

import msgspec
import pytest

from pilotage.central.catalogue import record_files as file_records, record_read as catalogue_read
from pilotage.central.catalogue.record_types import ReplicaChange
from pilotage.central.errors import Refused
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.record_types import JobMove
from pilotage.central.transformations import record as transformation_records
from pilotage.proto.api.transformations import NewTransformation
from pilotage.proto.catalogue import FileState, ReplicaState
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.job_states import JobState
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState as S
from tests import virtual
from tests.fakes import FakeInstallation
from tests.memory_store import MemoryStore

from .tasks import all_tasks, waiting_jobs
from .test_data_transformations import EVENTS, did, ready, registered
from .test_transformations import added, said

FILES = 14
STEPS = 24
ENDS = (JobState.DONE, JobState.DONE, JobState.FAILED, JobState.KILLED)


class World(FakeInstallation):
    """A central, and a store in which a moment lies between a write and its answer."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed)
        self.chance = chance = random.Random(seed)
        self.families: list[list[int]] = []

        class SlowStore(MemoryStore):
            async def synced(self) -> None:
                await super().synced()
                await asyncio.sleep(chance.random() * 0.1)

        self.store = SlowStore(clock_wall=self.clock.wall)

    async def restart(self) -> None:
        await self.kill()
        self.check()
        await self.start()
        await ready(self)

    async def some_jobs_end(self, *, all_well: bool = False) -> None:
        """End some of the jobs that wait, in one way or another."""
        moves: list[JobMove] = []
        for job in waiting_jobs(self.store):
            if all_well or self.chance.random() < 0.4:
                new = JobState.DONE if all_well else self.chance.choice(ENDS)
                moves.append(
                    JobMove(
                        job_id=job, old=JobState.WAITING, new=new,
                        at=self.clock.wall(), event="end", who="test", reason="",
                    )
                )  # fmt: skip
        if moves:
            await self.store.write(job_records.move, moves)

    def check(self) -> None:
        """No file is in two tasks that live, or in more that are Done than was asked for."""
        tasks = all_tasks(self.store)
        inputs = self.store.by_hand("SELECT transformation_id, file_id, replays FROM input")
        for family in self.families:
            live: Counter[int] = Counter()
            done: Counter[int] = Counter()
            for task in tasks:
                if task.transformation_id in family:
                    live.update(task.files if task.job_state is JobState.WAITING else ())
                    done.update(task.files if task.job_state is JobState.DONE else ())
            replays: Counter[int] = Counter()
            for one, file_id, times in inputs:
                if one in family:
                    replays[file_id] += times
            assert max(live.values(), default=0) <= 1, f"in two live tasks: {live}"
            for file_id, times in done.items():
                assert times <= 1 + replays[file_id], f"file {file_id} was counted {times} times"
                assert not live[file_id] or times <= replays[file_id], f"{file_id} runs again"


def campaign(seed: int) -> None:
    """One world, from the first file until all is completed."""

    async def whole() -> None:
        world = World(seed)
        await world.start()
        await registered(world, [1])
        document: dict[str, Any] = {
            **EVENTS,
            "grouping": {"size": world.chance.randint(1, 4)},
            "errors_max": world.chance.choice((2, 50)),
            "pause_when_failed": 1.0,
            "tasks_open_max": world.chance.choice((0, 3)),
        }
        world.families.append([await added(world, **document)])
        world.families.append([await added(world, **{**document, "name": "u"})])
        left = list(range(2, FILES + 1))
        world.chance.shuffle(left)
        for _ in range(STEPS):
            await step(world, document, left)
            await asyncio.sleep(world.chance.random() * 0.5)
            world.check()
        await registered(world, range(1, FILES + 1))  # what was removed is back
        for family in world.families:
            await completed(world, family[-1])
        world.check()
        for family in world.families:
            await all_are_told(world, family)
        await world.kill()

    virtual.run(whole(), limit_s=50_000.0)


async def step(world: World, document: dict[str, Any], left: list[int]) -> None:
    """Let one thing happen."""
    chance, (family, others) = world.chance, world.families
    anyone = chance.choice((*family, *others))
    match chance.choice("fffffjjjkkkppddrrbxc"):
        case "f":
            some = [left.pop() for _ in range(min(len(left), chance.randint(1, 3)))]
            await registered(world, some or [1])
        case "j":
            await world.some_jobs_end()
        case "k":
            await world.restart()
        case "p":
            verbs = ("pause", "resume", "flush", "stop", "extend", "complete")
            await quietly(world, anyone, chance.choice(verbs))
        case "d" if len(family) < 3:
            await derived(world, document, family)
        case "r":
            file = f"dpps:run{chance.randint(1, FILES)}"
            await quietly(world, anyone, chance.choice(("replay", "reset")), file)
        case "x":  # whoever registers it again has it back
            await world.store.write(
                file_records.remove_files, "ctao", [did(chance.randint(1, FILES))], at=1.0
            )
        case "c" if len(family) > 1:
            await quietly(world, family[0], chance.choice(("clean", "archive")))
        case _:
            states = (ReplicaState.BAD, ReplicaState.AVAILABLE, ReplicaState.MISSING)
            change = ReplicaChange(
                did=did(chance.randint(1, FILES)), storage="disk", state=chance.choice(states)
            )
            await world.store.write(file_records.change_replicas, "ctao", [change], at=1.0)


async def derived(world: World, document: dict[str, Any], family: list[int]) -> None:
    """Derive a child; now and then all dies in the midst, and a person starts what is there."""
    parent, name = family[-1], f"t{len(family)}"
    await quietly(world, parent, "stop")
    body = NewTransformation(document=convert({**document, "name": name}), derived_from=parent)
    adding = asyncio.get_running_loop().create_task(
        world.central.services.transformations.add(world.user(), body)
    )
    if world.chance.random() < 0.5:
        await asyncio.sleep(world.chance.random() * 0.3)
        adding.cancel()
        await asyncio.wait([adding])
        await world.restart()
    else:
        await asyncio.wait([adding])
        assert adding.exception() is None or isinstance(adding.exception(), Refused)
    row = await world.store.read(transformation_records.transformation_named, "ctao", name)
    if row is not None:
        family.append(row.transformation_id)
        await quietly(world, family[-1], "resume")


def convert(document: dict[str, Any]) -> Transformation:
    return msgspec.convert({"job": {"command": ["run"]}, **document}, Transformation)


async def quietly(world: World, one: int, action: str, *files: str) -> None:
    try:
        await said(world, one, action, files=files)
    except Refused:
        pass  # its state does not allow it, or the file is not there


async def completed(world: World, last: int) -> None:
    """Let everything end well."""
    store = world.store
    changes = [
        ReplicaChange(did=did(number), storage="disk", state=ReplicaState.AVAILABLE)
        for number in range(1, FILES + 1)
    ]
    await store.write(file_records.change_replicas, "ctao", changes, at=2.0)
    await quietly(world, last, "extend")  # others came since it had completed
    row = await store.read(transformation_records.transformation, last)
    for _ in range(200):
        await quietly(world, last, "resume")
        await quietly(world, last, "complete")
        await world.some_jobs_end(all_well=True)
        await asyncio.sleep(1.0)
        row = await store.read(transformation_records.transformation, last)
        assert row is not None
        if row.state is S.COMPLETED:
            return
    raise AssertionError(f"it does not complete: {row}")


async def all_are_told(world: World, family: list[int]) -> None:
    """Each file is Processed, or its state says why not; each task has ended as its job."""
    inputs = await world.store.read(
        transformation_records.inputs, family[-1], states=(), after=(0, 0), limit=100
    )
    done = {
        file_id
        for task in all_tasks(world.store)
        if task.transformation_id in family and task.job_state is JobState.DONE
        for file_id in task.files
    }

    found = await world.store.read(
        catalogue_read.files_by_did, "ctao", [did(n) for n in range(1, FILES + 1)]
    )
    there = {one.file_id for one in found if one is not None and one.state is FileState.AVAILABLE}

    assert there <= {row.file_id for row in inputs}
    for row in inputs:
        assert row.state in (
            *(InputState.PROCESSED, InputState.STUCK, InputState.PROBLEMATIC),
            *(InputState.MISSING, InputState.UNUSED),
        ) or (row.state is InputState.REMOVED and row.file_id not in there), row
        assert (row.state is InputState.PROCESSED) <= (row.file_id in done), row
    for task in all_tasks(world.store):
        assert task.state is TaskState(task.job_state.value)


@pytest.mark.parametrize("start", range(0, 48, 12))
def test_each_file_is_counted_once(start: int) -> None:
    for seed in range(start, start + 12):
        try:
            campaign(seed)
        except BaseException as why:
            why.add_note(f"seed {seed}")
            raise


@pytest.mark.long
@pytest.mark.parametrize("start", range(0, 5_000, 250))
def test_each_file_is_counted_once_in_many_worlds(start: int) -> None:
    for seed in range(start, start + 250):
        try:
            campaign(seed)
        except BaseException as why:
            why.add_note(f"seed {seed}")
            raise
