"""Children of transformations, and files that go and come back: no file is counted twice."""

import asyncio
from typing import Any

import pytest

from pilotage.central.catalogue import record_files as file_records
from pilotage.central.catalogue.record_types import ReplicaChange
from pilotage.central.errors import Refused
from pilotage.central.store.errors import StoreError
from pilotage.central.transformations import record as transformation_records
from pilotage.proto.api.transformations import NewTransformation, Preview
from pilotage.proto.catalogue import ReplicaState
from pilotage.proto.transformation_states import (
    InputState as I,
    TaskState as T,
    TransformationState as S,
)
from tests.fakes import FakeInstallation

from .test_data_transformations import (
    EVENTS,
    a_document,
    did,
    registered,
    story,
    times_done,
)
from .test_on_fakes import lasts
from .test_transformations import added, is_in, said, shown, until


async def derived(world: FakeInstallation, parent: int, name: str, **fields: Any) -> int:
    body = NewTransformation(document=a_document(name=name, **fields), derived_from=parent)
    made = await world.central.services.transformations.add(world.user(), body)
    assert not isinstance(made, Preview)
    return made.view.id


def test_a_parent_leaves_its_files_to_its_child_until_that_is_cleaned() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1, 2])
        one = await added(world, **EVENTS)
        await until(world, one, lambda v: v.tasks.get(T.DONE) == 2)
        await said(world, one, "stop")
        child = await derived(world, one, "child", **EVENTS)
        files = {"replay": ("dpps:run1",), "reset": ("dpps:run1",)}
        for verb in ("resume", "extend", "replay", "reset"):
            with pytest.raises(Refused, match=rf"{child}, child, was derived from {one}.*{verb}"):
                await said(world, one, verb, files=files.get(verb, ()))
        await said(world, child, "clean")
        await until(world, child, is_in(S.CLEANED))
        with pytest.raises(Refused, match="'child' was derived from it before, and is Cleaned"):
            await derived(world, one, "child", **EVENTS)

        assert (await said(world, one, "resume")).view.state is S.ACTIVE
        await registered(world, [3])
        await until(world, one, lambda v: v.tasks.get(T.DONE) == 3)

    story(tell, script=lasts(5.0))


def test_a_child_has_a_name_that_nothing_else_has() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1])
        one = await added(world, **EVENTS, job={"command": ["run", "{inputs}"]})
        other = await added(world, name="other", **EVENTS, job={"command": ["run", "{inputs}"]})
        await said(world, one, "stop")
        for name, whose in (("t", one), ("other", other)):
            with pytest.raises(Refused, match=f"'{name}' is the name of transformation {whose}"):
                await derived(world, one, name, **EVENTS)

        assert (await shown(world, one)).state is S.STOPPED
        assert (await shown(world, other)).derived_from is None

    story(tell, script=lasts(5.0))


def test_a_child_that_is_started_later_has_what_its_parent_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever derived it heard nothing: it failed before the child had its files."""

    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1, 2])
        one = await added(world, **EVENTS)
        await until(world, one, lambda v: v.tasks.get(T.DONE) == 2)
        await said(world, one, "stop")

        async def fails(*_: object) -> int:
            raise StoreError("the disk is away")

        with monkeypatch.context() as patched:
            patched.setattr(transformation_records, "derive_inputs", fails)
            with pytest.raises(StoreError):
                await derived(world, one, "child", **EVENTS)
        await said(world, one + 1, "resume")
        await registered(world, [3])
        view = await until(world, one + 1, lambda v: v.tasks.get(T.DONE) == 1)

        assert view.inputs == {"events": {I.PROCESSED: 3}}
        assert await times_done(world, one + 1) == {"run3": 1}

    story(tell, script=lasts(5.0))


def test_a_file_that_was_removed_and_is_registered_again_is_an_input_again() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1, 2])
        one = await added(world, **EVENTS, grouping={"size": 3})
        beside = [
            {"name": "raw", "query": {"level": 1}},
            {"name": "events", "query": {"level": 0}, "use": "shared", "count": 2},
        ]
        two = await added(world, name="two", inputs=beside)
        await until(world, two, lambda v: v.inputs["events"].get(I.SHARED) == 2)
        await world.store.write(file_records.remove_files, "ctao", [did(2)], at=1.0)
        await until(world, one, lambda v: v.inputs["events"].get(I.REMOVED) == 1)
        await registered(world, [9], level=1)
        await asyncio.sleep(5.0)
        assert (await shown(world, two)).tasks_made == 0
        await registered(world, [2, 3])
        view = await until(world, one, lambda v: v.tasks.get(T.DONE) == 1)
        await until(world, two, lambda v: v.tasks.get(T.DONE) == 1)

        assert view.inputs == {"events": {I.PROCESSED: 3}}
        assert (await shown(world, two)).inputs["events"] == {I.SHARED: 3}

    story(tell, script=lasts(5.0))


def test_a_side_input_goes_to_tasks_while_it_can_be_read() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(2), level=2)
        inputs = [
            {"name": "raw", "query": {"level": 1}},
            {"name": "cal", "query": {"level": 2}, "use": "shared"},
        ]
        one = await added(world, inputs=inputs)
        await until(world, one, lambda v: v.inputs["cal"].get(I.SHARED) == 2)

        async def told(state: ReplicaState) -> None:
            change = ReplicaChange(did=did(1), storage="disk", state=state)
            await world.store.write(file_records.change_replicas, "ctao", [change], at=1.0)

        await told(ReplicaState.MISSING)
        await registered(world, [5], level=1)
        await until(world, one, lambda v: v.tasks.get(T.DONE) == 1)
        assert await times_done(world, one) == {"run5": 1, "run0": 1}
        for verb in ("pause", "resume"):  # what waits is read again
            await said(world, one, verb)
        await asyncio.sleep(1.0)
        await told(ReplicaState.AVAILABLE)
        await registered(world, [6], level=1)
        await until(world, one, lambda v: v.tasks.get(T.DONE) == 2)
        assert (await times_done(world, one))["run1"] == 1

    story(tell, script=lasts(5.0))
