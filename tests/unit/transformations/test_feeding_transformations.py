"""What a transformation never takes: its own files, and those that are made of these."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from pilotage.central.catalogue import (
    record_files as file_records,
    record_read as catalogue_read,
    record_registration as registration,
)
from pilotage.central.catalogue.record_types import NewFile, NewReplica
from pilotage.central.catalogue.storages import Storages
from pilotage.central.jobs.record_types import NewSubmission
from pilotage.central.store.engine import Store
from pilotage.central.transformations import (
    feeding_transformations,
    record as transformation_records,
)
from pilotage.central.transformations.input_files import FileReader
from pilotage.central.transformations.inputs import InputIndex
from pilotage.central.transformations.intake import InputIntake
from pilotage.central.transformations.live_state import document, wanted
from pilotage.central.transformations.record import (
    NewInput,
    NewTask,
    NewTransformationRow,
    TakenInput,
)
from pilotage.proto.catalogue import Did
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.transformation_states import InputState, TransformationState
from tests.contract.store.rows import a_class, some_jobs
from tests.fake_central import FakeClock
from tests.memory_store import MemoryStore

IRON = {"query": {"species": "iron"}}


async def added(
    store: Store,
    name: str,
    given: Mapping[str, Any],
    *,
    parent: int | None = None,
    outputs: str = "",
) -> int:
    """Add a transformation that takes what `given` says, and return its id."""
    doc = {
        "name": name,
        "inputs": [{"name": "raw", **given}],
        "outputs_dataset": outputs,
        "job": {"command": ["true"]},
    }
    owner = (await a_class(store)).owner_id
    row = await store.write(
        transformation_records.add_transformation,
        NewTransformationRow(
            community="ctao",
            group="sim",
            owner_id=owner,
            name=name,
            state=TransformationState.ACTIVE,
            doc=msgspec.json.encode(msgspec.convert(doc, Transformation)),
            parent_id=parent,
            at=1.0,
        ),
    )
    return row.transformation_id


async def made_by(store: MemoryStore, transformation_id: int, name: str, dataset: str = "") -> int:
    """Let a task of one make a file that all queries here meet; return the file's id."""
    source = await registered(store, f"source-of-{name}", species="none")
    row = NewInput(
        transformation_id=transformation_id, file_id=source, input_no=0, state=InputState.UNUSED
    )
    await store.write(transformation_records.add_inputs, [row], 1.0)
    kind = await a_class(store)
    new = NewSubmission(
        community="ctao", owner_id=kind.owner_id, key=name, body_hash="", name=name,
        template=None, at=2.0,
    )  # fmt: skip
    (job,) = some_jobs(kind, 1)
    before = await store.read(transformation_records.transformation, transformation_id)
    assert before is not None
    task = NewTask(job=job, inputs=(TakenInput(file_id=source, input_no=0),))
    (made,) = await store.write(
        transformation_records.make_tasks, transformation_id, before.tasks_made, new, [task]
    )
    return await registered(store, name, job_id=made.job_id, dataset=dataset)


async def registered(
    store: MemoryStore, name: str, *, species: str = "iron", job_id: int | None = None,
    dataset: str = "",
) -> int:  # fmt: skip
    file = NewFile(
        did=Did("sim", name),
        bytes=1,
        adler32="00000001",
        metadata={"species": species},
        replicas=(NewReplica(storage="disk", path=name),),
        datasets=(Did("sim", dataset),) if dataset else (),
        job_id=job_id,
        epoch=None if job_id is None else 1,
    )
    (outcome,) = await store.write(
        registration.register_files, "ctao", [file], at=1.0, make_datasets=True
    )
    return outcome.file_id


def _not_told(*told: object, **more: object) -> None:
    """Nothing is made of what came."""


class _Takers:
    """The intake of all transformations of a store, and what each has got."""

    def __init__(self, store: MemoryStore) -> None:
        self.store, self.index = store, InputIndex()
        self.lives: dict[int, Any] = {}
        files = FileReader(store, Storages())
        self.intake = InputIntake(
            store=store, catalogue=store, files=files, index=self.index, clock=FakeClock()
        )

    async def take(self, *which: int) -> None:
        """Look at all changes for these, as the engine does."""
        for one in which:
            row = await self.store.read(transformation_records.transformation, one)
            assert row is not None
            self.index.put(one, wanted(row, document(row)))
            its = SimpleNamespace(id=one, row=row, by_site=False, cut=None, shared={})
            its.came = its.forget = its.seeded = _not_told
            self.lives[one] = its
        await self.intake.changes("ctao", cast(Any, self.lives))

    async def of(self, transformation_id: int) -> set[str]:
        """Return the names of all that one has taken."""
        rows = await self.store.read(
            transformation_records.inputs, transformation_id, states=(), after=(0, 0), limit=99
        )
        found = await self.store.read(catalogue_read.files_by_id, [one.file_id for one in rows])
        return {one.did.name for one in found.values() if one.metadata["species"] == "iron"}


async def test_what_one_has_made_is_no_input_of_it_and_is_one_of_others() -> None:
    store = MemoryStore()
    first, other = await added(store, "first", IRON), await added(store, "other", IRON)
    await registered(store, "put")
    await made_by(store, first, "made")

    takers = _Takers(store)
    await takers.take(first, other)

    assert await takers.of(first) == {"put"}
    assert await takers.of(other) == {"put", "made"}


@pytest.mark.parametrize("use", ["once", "shared"])
async def test_files_that_were_there_are_judged_alike_when_they_are_looked_through(
    use: str,
) -> None:
    store = MemoryStore()
    first = await added(store, "first", {"use": use, **IRON})
    await registered(store, "put")
    await made_by(store, first, "made")

    takers = _Takers(store)
    row = await store.read(transformation_records.transformation, first)
    assert row is not None
    await takers.take(first)
    store.by_hand("DELETE FROM input")
    await takers.intake.seed(takers.lives[first], takers.lives)

    assert await takers.of(first) == {"put"}


async def test_what_is_made_of_its_files_further_down_is_no_input_of_it() -> None:
    store = MemoryStore()
    first = await added(store, "first", IRON)
    second = await added(store, "second", outputs_of(first))
    third = await added(store, "third", outputs_of(second))
    for one in (first, second, third):
        await made_by(store, one, f"made-{one}", f"transformation-{one}")

    takers = _Takers(store)
    await takers.take(first, second, third)

    assert await takers.of(first) == set()
    assert await takers.of(second) == {f"made-{first}"}
    assert await takers.of(third) == {f"made-{second}"}


def outputs_of(transformation_id: int, dataset: str = "") -> dict[str, Any]:
    """Return an input that is from another one."""
    query = {"dataset": f"sim:{dataset or f'transformation-{transformation_id}'}"}
    return {"from": str(transformation_id), "query": query}


async def test_steps_that_share_a_dataset_take_what_feeds_them_and_not_their_own() -> None:
    store = MemoryStore()
    first = await added(store, "first", IRON, outputs="sim:all")
    second = await added(store, "second", outputs_of(first, "all"), outputs="sim:all")
    await made_by(store, first, "of-first", "all")
    await made_by(store, second, "of-second", "all")

    takers = _Takers(store)
    await takers.take(first, second)

    assert await takers.of(second) == {"of-first"}


async def test_what_was_derived_does_not_take_what_its_parent_made_nor_the_other_way() -> None:
    store = MemoryStore()
    parent = await added(store, "parent", IRON)
    below = await added(store, "below", outputs_of(parent))
    child = await added(store, "child", IRON, parent=parent)
    for one in (parent, below, child):
        await made_by(store, one, f"made-{one}", f"transformation-{one}")

    takers = _Takers(store)
    await takers.take(parent, below, child)

    assert await takers.of(child) == set()
    assert await takers.of(parent) == set()
    assert await takers.of(below) == {f"made-{parent}"}


async def test_what_one_has_taken_before_still_goes_with_its_file() -> None:
    store = MemoryStore()
    first = await added(store, "first", IRON)
    file_id = await made_by(store, first, "made")
    row = NewInput(
        transformation_id=first, file_id=file_id, input_no=0, state=InputState.UNUSED
    )  # as releases before took it
    await store.write(transformation_records.add_inputs, [row], 1.0)
    await store.write(file_records.remove_files, "ctao", [Did("sim", "made")], at=3.0)

    await _Takers(store).take(first)

    rows = await store.read(
        transformation_records.inputs, first, states=[InputState.REMOVED], after=(0, 0), limit=9
    )
    assert [one.file_id for one in rows] == [file_id]


async def test_each_transformation_is_read_once_however_many_files_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    first = await added(store, "first", IRON)
    second = await added(store, "second", outputs_of(first))
    for n in range(5):
        await made_by(store, second, f"made-{n}")
    read: list[int] = []

    async def counted(transformation: Any, transformation_id: int) -> Any:
        read.append(transformation_id)
        return await transformation(transformation_id)

    takers = _Takers(store)
    await takers.take(first)
    judge = feeding_transformations.FeedingTransformations(store)
    (asked,) = takers.index.of(first)
    rows = [
        (row, asked) for row in await store.read(catalogue_read.files_changed, "ctao", 0, limit=99)
    ]
    store.ways[transformation_records.transformation] = counted
    for _ in range(3):
        assert not [row for row, _ in await judge.others(rows) if row.job_id is not None]

    assert sorted(read) == [first, second]
