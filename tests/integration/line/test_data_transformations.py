"""Transformations of files on fakes: each input counted once, whatever happens between."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest

from pilotage.central.catalogue import (
    record_files as file_records,
    record_read as catalogue_read,
    record_registration as registration,
)
from pilotage.central.catalogue.record_types import NewFile, NewReplica, ReplicaChange
from pilotage.central.catalogue.storages import StorageBook, StorageEntry
from pilotage.central.errors import Refused
from pilotage.central.jobs import record as job_records
from pilotage.central.transformations import (
    record as transformation_records,
    task_creation as making,
)
from pilotage.central.transformations.groupings import pending_groups as regrouping
from pilotage.central.transformations.record import InputRow
from pilotage.pilot.ports import HttpReply
from pilotage.proto.api.quotas import QuotaChange
from pilotage.proto.api.transformations import NewTransformation, Preview
from pilotage.proto.catalogue import Did, ReplicaState
from pilotage.proto.documents.job import Job
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.messages import Assignment
from pilotage.proto.transformation_states import (
    InputState as I,
    TaskState as T,
    TransformationState as S,
)
from tests import virtual
from tests.fake_pilot import FakeProbe, Script
from tests.fakes import FakeInstallation
from tests.memory_store import MemoryStore

from .tasks import all_tasks
from .test_on_fakes import lasts
from .test_transformations import added, is_in, said, shown, until

EVENTS = {"inputs": [{"name": "events", "query": {"level": 0}}]}


class Installation(FakeInstallation):
    """Its pilots say that they bring data, and are told of none: they have neither files nor
    threads, and what a payload would read is not looked at here."""

    async def ask(self, method: str, path: str, body: bytes, token: str) -> HttpReply:
        reply = await super().ask(method, path, body, token)
        if path in ("/v1/turn", "/v1/ask") and b'"data":' in reply.body:
            told: dict[str, Any] = msgspec.json.decode(reply.body)
            answer: dict[str, Any] = told.get("ask") or {}
            assignments: list[dict[str, Any]] = answer.get("assignments", [])
            for assignment in assignments:
                assignment.pop("data", None)
            reply = HttpReply(reply.status, msgspec.json.encode(told))
        return reply


def story(
    tell: Callable[[FakeInstallation], Awaitable[None]], *, script: Callable[[Assignment], Script]
) -> None:
    """Run a central and two pilots while `tell` says what happens."""

    async def whole() -> None:
        world = Installation()
        await world.start()
        lives: list[asyncio.Task[int]] = []
        for site in ("PIC", "CSCS"):
            pilot = await world.pilot(site, script=script, probe=FakeProbe(node_tags=("data",)))
            lives.append(asyncio.get_running_loop().create_task(pilot.agent().run()))
        telling = asyncio.get_running_loop().create_task(_as_coroutine(tell(world)))
        await asyncio.wait([telling, *lives], return_when=asyncio.FIRST_COMPLETED)
        assert telling.done(), f"a pilot ended: {[life for life in lives if life.done()]}"
        telling.result()
        for life in lives:
            life.cancel()
        await asyncio.wait(lives)
        await world.kill()

    virtual.run(whole(), limit_s=50_000.0)


async def _as_coroutine(what: Awaitable[None]) -> None:
    await what


def did(number: int) -> Did:
    return Did("dpps", f"run{number}")


async def registered(world: FakeInstallation, numbers: Sequence[int], **metadata: Any) -> None:
    """Register files with a copy, as a data-acquisition system does."""
    await ready(world)
    given = {"level": 0, **metadata}
    files = [
        NewFile(
            did=did(number),
            bytes=100,
            adler32=f"{number:08x}",
            metadata={**given, "run": number},
            replicas=(NewReplica(storage="disk", path=f"run{number}"),),
        )
        for number in numbers
    ]
    outcomes = await world.store.write(
        registration.register_files, "ctao", files, at=world.clock.wall()
    )
    assert not any(one.clash for one in outcomes)


async def ready(world: FakeInstallation) -> None:
    """Let the central know of a storage, and the catalogue of the keys."""
    world.storages.book = StorageBook(
        {"disk": StorageEntry(type="file", url="file:///disk", default=True)}
    )
    await world.store.write(file_records.add_keys, "ctao", {})
    if not await world.store.read(catalogue_read.keys, "ctao"):
        first = NewFile(did=Did("dpps", "first"), bytes=1, adler32="0", metadata={"level": -1})
        await world.store.write(registration.register_files, "ctao", [first], at=1.0)


async def rows(world: FakeInstallation, one: int) -> dict[str, InputRow]:
    found = await world.store.read(
        transformation_records.inputs, one, states=(), after=(0, 0), limit=1_000
    )
    files = await world.store.read(catalogue_read.files_by_id, [row.file_id for row in found])
    return {files[row.file_id].did.name: row for row in found}


async def times_done(world: FakeInstallation, one: int) -> Counter[str]:
    """Return how often each file was in a task of this transformation that is Done."""
    tasks = all_tasks(world.store)
    ids = {file_id for task in tasks for file_id in task.files}
    names = {
        one: row.did.name
        for one, row in (await world.store.read(catalogue_read.files_by_id, list(ids))).items()
    }
    return Counter(
        names[file_id]
        for task in tasks
        if task.transformation_id == one and task.state is T.DONE
        for file_id in task.files
    )


def test_of_many_files_groups_are_kept_and_the_next_look_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[int] = []
    plain = regrouping.look

    async def aside(_: object, asked: regrouping.GroupingRequest) -> regrouping.GroupingResult:
        """Look in no thread, which a virtual clock does not know: it takes half a second."""
        looks.append(len(asked.files))
        await asyncio.sleep(0.5)
        return plain(asked)

    monkeypatch.setattr("asyncio.to_thread", aside)
    for name in (making, regrouping):
        monkeypatch.setattr(name, "ASIDE_FROM", 3)
    monkeypatch.setattr(making, "TASKS_A_CHUNK_MAX", 2)

    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(12), part=0)
        await registered(world, range(20, 25), part=1)
        by_part = {"rule": "key", "keys": ["part"], "size": 2}
        one = await added(world, **EVENTS, grouping=by_part)
        await until(world, one, lambda v: v.tasks.get(T.DONE) == 8)
        before = len(looks)
        for number in range(30, 36):  # one by one: no look at all of them for each
            await registered(world, [number], part=2 + number)
            await asyncio.sleep(0.3)
        await registered(world, [40], part=1)
        await until(world, one, lambda v: v.tasks.get(T.DONE) == 9)

        assert max(looks) <= 17 and before <= 3, looks  # 8 tasks, two a chunk
        assert len(looks) - before <= 3, looks
        assert set((await times_done(world, one)).values()) == {1}

    story(tell, script=lasts(1.0))


def test_only_the_first_files_are_taken_and_their_keys_are_handed_down() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1, 2], site="LaPalma")
        job = {"command": ["run"], "data": {"outputs": [{"pattern": "x"}]}}
        inputs = [{**EVENTS["inputs"][0], "files_max": 3}]
        one = await added(
            world, inputs=inputs, job=job, inherit=["site"], metadata={"site": "any", "level": 1}
        )
        await until(world, one, lambda v: v.tasks.get(T.DONE) == 2)
        await registered(world, [3, 4], part=1)
        await until(world, one, lambda v: v.tasks.get(T.DONE) == 3)
        await asyncio.sleep(100.0)

        assert set(await rows(world, one)) == {"run1", "run2", "run3"}
        tasks = await world.store.read(
            transformation_records.tasks, one, states=(), after=0, limit=9
        )
        bodies = await world.store.read(job_records.bodies, [task.job_id for task in tasks])
        jobs = [msgspec.json.decode(bodies[task.job_id].body, type=Job) for task in tasks]
        sites = [job.data.outputs[0].metadata["site"] for job in jobs if job.data is not None]
        assert sites == ["LaPalma", "LaPalma", "any"]

    story(tell, script=lasts(1.0))


def test_one_whose_last_inputs_wait_for_a_quota_is_not_complete() -> None:
    async def tell(world: FakeInstallation) -> None:
        quotas = world.central.services.quotas
        none = QuotaChange(kind="owner", community="ctao", name="admin", jobs=0)
        await quotas.change(world.user(), none)
        await registered(world, [1, 2])
        one = await added(world, **EVENTS)
        await said(world, one, "complete")
        await asyncio.sleep(100.0)
        waits = await shown(world, one)
        await quotas.change(world.user(), msgspec.structs.replace(none, jobs=None))
        view = await until(world, one, is_in(S.COMPLETED))

        assert (waits.state, waits.tasks) == (S.COMPLETING, {})
        assert waits.reason.startswith("waits: owner 'admin'")
        assert (view.tasks, view.reason) == ({T.DONE: 2}, "")

    story(tell, script=lasts(1.0))


def test_a_job_is_shown_with_its_transformation_and_what_it_reads() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1, 2])
        one = await added(world, **EVENTS, name="process", grouping={"size": 2})
        await until(world, one, lambda v: v.tasks.get(T.DONE) == 1)
        (task,) = await world.store.read(
            transformation_records.tasks, one, states=(), after=0, limit=9
        )
        shown_job = await world.central.services.queries.job(world.user(), task.job_id)

        assert (shown_job.transformation, shown_job.task) == ("process", 1)
        assert shown_job.transformation_id == one
        assert shown_job.reads == ["dpps:run1", "dpps:run2"]
        assert shown_job.made == []

    story(tell, script=lasts(1.0))


def test_files_become_tasks_as_they_come_and_the_rest_when_it_is_said() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 4))
        one = await added(world, **EVENTS, grouping={"size": 3})
        await registered(world, range(4, 9))
        view = await until(world, one, lambda v: v.tasks.get(T.DONE) == 2)

        assert view.inputs == {"events": {I.PROCESSED: 6, I.UNUSED: 2}}
        await said(world, one, "complete")
        view = await until(world, one, is_in(S.COMPLETED))
        assert view.inputs == {"events": {I.PROCESSED: 8}}
        assert await times_done(world, one) == {f"run{n}": 1 for n in range(1, 9)}

    story(tell, script=lasts(30.0))


@pytest.mark.parametrize("verb", ["flush", "complete"])
def test_groups_that_never_go_by_themselves_go_when_a_person_says_so(verb: str) -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 6))
        one = await added(world, **EVENTS, grouping={"size": 3, "partial": "never"})
        view = await until(world, one, lambda v: v.tasks.get(T.DONE) == 1)
        assert view.inputs == {"events": {I.PROCESSED: 3, I.UNUSED: 2}}
        await said(world, one, verb)
        view = await until(world, one, lambda v: v.tasks.get(T.DONE) == 2)

        assert view.inputs == {"events": {I.PROCESSED: 5}}

    story(tell, script=lasts(30.0))


def test_a_file_is_an_input_once_it_has_a_copy() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1])
        one = await added(world, **EVENTS)
        await until(world, one, lambda v: v.tasks.get(T.DONE) == 1)
        later = NewFile(did=did(2), bytes=100, adler32="00000002", metadata={"level": 0})
        await world.store.write(registration.register_files, "ctao", [later], at=world.clock.wall())
        await registered(world, [3])
        view = await until(world, one, lambda v: v.tasks.get(T.DONE) == 2)
        assert view.inputs == {"events": {I.PROCESSED: 2}}
        await registered(world, [2])
        view = await until(world, one, lambda v: v.tasks.get(T.DONE) == 3)

        assert view.inputs == {"events": {I.PROCESSED: 3}}

    story(tell, script=lasts(5.0))


def test_a_registered_file_is_a_job_within_a_second() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1])
        one = await added(world, **EVENTS)
        await until(world, one, lambda v: v.tasks_made == 1)
        await registered(world, [2])
        await asyncio.sleep(1.0)

        assert (await shown(world, one)).tasks_made == 2

    story(tell, script=lasts(30.0))


def test_a_failed_task_gives_its_files_back_until_they_failed_too_often() -> None:
    def script(assignment: Assignment) -> Script:
        return Script(duration_s=5.0, exit_code=1)

    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1, 2])
        one = await added(world, **EVENTS, errors_max=3, pause_when_failed=1.0)
        view = await until(world, one, lambda v: v.inputs["events"].get(I.STUCK) == 2)

        assert view.tasks == {T.FAILED: 6}
        with pytest.raises(Refused, match="is Stuck, but must be Processed"):
            await said(world, one, "replay", files=("dpps:run1",))
        changed = await said(world, one, "reset", files=("dpps:run1",))
        assert changed.changed == 1
        await until(world, one, lambda v: v.tasks == {T.FAILED: 9})
        assert (await rows(world, one))["run1"].errors == 3

    story(tell, script=script)


def test_a_file_is_processed_anew_on_purpose_alone() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1, 2])
        one = await added(world, **EVENTS)
        await said(world, one, "complete")
        await until(world, one, is_in(S.COMPLETED))
        await said(world, one, "replay", files=("dpps:run2",), reason="new software")
        await until(world, one, is_in(S.COMPLETED))

        assert await times_done(world, one) == {"run1": 1, "run2": 2}
        assert (await rows(world, one))["run2"].replays == 1
        with pytest.raises(Refused, match="there is no file 'dpps:run9'"):
            await said(world, one, "replay", files=("dpps:run9",))

    story(tell, script=lasts(5.0))


def test_a_child_goes_on_with_what_its_parent_has_left() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 7))
        one = await added(world, **EVENTS, tasks_open_max=2)
        await until(world, one, lambda v: bool(v.tasks.get(T.DONE)))
        await said(world, one, "stop")
        body = NewTransformation(document=a_document(name="child", **EVENTS), derived_from=one)
        made = await world.central.services.transformations.add(world.user(), body)
        assert not isinstance(made, Preview)
        child = made.view.id
        await said(world, child, "complete")
        view = await until(world, child, is_in(S.COMPLETED))

        assert view.inputs == {"events": {I.PROCESSED: 6}}
        both = await times_done(world, one) + await times_done(world, child)
        assert both == {f"run{n}": 1 for n in range(1, 7)}
        again = await world.central.services.transformations.add(world.user(), body)
        assert not isinstance(again, Preview) and again.view.id == child
        others = {"inputs": [{"name": "others", "query": {"level": 0}}]}
        for name, inputs, why in (
            ("c2", EVENTS, "'child' was derived from it before"),
            ("child", others, r"needs the same inputs in the same order: events \(once\)"),
        ):
            document = a_document(name=name, **inputs)
            with pytest.raises(Refused, match=why):
                await world.central.services.transformations.add(
                    world.user(), NewTransformation(document=document, derived_from=one)
                )

    story(tell, script=lasts(30.0))


def a_document(**fields: Any) -> Transformation:
    return msgspec.convert(
        {"name": "t", "job": {"command": ["run", "{inputs}"]}, **fields}, Transformation
    )


def test_two_linked_ones_complete_one_after_the_other() -> None:
    """What the first makes is published by hand here: fake pilots store nothing."""

    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 6))
        one = await added(world, name="dl1", **EVENTS, grouping={"size": 2})
        two = await added(
            world, name="merge", inputs=[{"name": "dl1", "from": "dl1"}], grouping={"rule": "all"}
        )
        detail = await world.central.services.transformations.show(world.user(), str(two))
        assert detail.document["inputs"][0]["query"] == {"dataset": f"dpps:transformation-{one}"}
        await registered(world, [100], level=1)
        dataset = Did("dpps", f"transformation-{one}")
        file = NewFile(
            did=Did("dpps", "out"),
            bytes=5,
            adler32="aa",
            metadata={"level": 1},
            replicas=(NewReplica(storage="disk", path="out"),),
            datasets=(dataset,),
        )
        await world.store.write(
            registration.register_files, "ctao", [file], at=1.0, make_datasets=True
        )
        await until(world, two, lambda v: v.inputs["dl1"].get(I.UNUSED) == 1)
        await asyncio.sleep(50.0)
        assert (await shown(world, two)).tasks_made == 0, "its parent may make more"
        await said(world, one, "complete")
        await until(world, one, is_in(S.COMPLETED))
        view = await until(world, two, is_in(S.COMPLETED))

        assert view.inputs == {"dl1": {I.PROCESSED: 1}}

    story(tell, script=lasts(20.0))


def test_a_join_waits_for_both_sides_and_side_inputs_for_their_files() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1, 2], part="raw", night=1)
        one = await added(
            world,
            inputs=[
                {"name": "raw", "query": {"part": "raw"}},
                {"name": "cal", "query": {"part": "cal"}},
                {"name": "model", "query": {"part": "model"}, "use": "shared"},
            ],
            grouping={"rule": "join", "keys": ["night"]},
        )
        await registered(world, [3], part="cal", night=1)
        await asyncio.sleep(20.0)
        assert (await shown(world, one)).tasks_made == 0, "there is no model"
        await registered(world, [4], part="model")
        await until(world, one, lambda v: v.tasks_made == 1)
        await registered(world, [5], part="cal", night=1)
        view = await until(world, one, lambda v: v.tasks.get(T.DONE) == 2)

        assert view.inputs["model"] == {I.SHARED: 1}
        assert await times_done(world, one) == {
            **{f"run{n}": 1 for n in (1, 2, 3, 5)},
            "run4": 2,
        }

    story(tell, script=lasts(10.0))


def test_all_of_a_side_input_goes_to_every_task_once_its_parent_has_completed() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1, 2], part="raw")
        parent = await added(world, name="calibrate", inputs=[{"name": "c", "query": {"level": 9}}])
        one = await added(
            world,
            inputs=[
                {"name": "raw", "query": {"part": "raw"}},
                {"name": "cal", "from": "calibrate", "use": "shared", "count": 0},
            ],
        )
        made = [
            NewFile(
                did=did(number),
                bytes=5,
                adler32="aa",
                metadata={"level": 1},
                replicas=(NewReplica(storage="disk", path=f"cal{number}"),),
                datasets=(Did("dpps", f"transformation-{parent}"),),
            )
            for number in (11, 12, 13)
        ]
        await world.store.write(
            registration.register_files, "ctao", made, at=1.0, make_datasets=True
        )
        await until(world, one, lambda v: v.inputs["cal"].get(I.SHARED) == 3)
        await asyncio.sleep(20.0)
        detail = await world.central.services.transformations.show(world.user(), str(one))
        assert (detail.view.tasks_made, detail.waits[:4]) == (0, "cal:")
        await said(world, parent, "complete")
        view = await until(world, one, lambda v: v.tasks.get(T.DONE) == 2)

        assert view.inputs["raw"] == {I.PROCESSED: 2}
        done = await times_done(world, one)
        assert done == {"run1": 1, "run2": 1, "run11": 2, "run12": 2, "run13": 2}

    story(tell, script=lasts(10.0))


def test_files_that_wait_for_side_inputs_keep_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many they are, and however many side inputs there are that nobody needs."""
    monkeypatch.setattr(making, "POOL_MAX", 4)
    monkeypatch.setattr(making, "PAGE", 2)

    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1], part="raw", night=0)
        for night in range(8):
            await registered(world, [10 + night], part="raw", night=night)
        for night in (21, 22, 23, 24, 7):
            await registered(world, [30 + night], part="cal", night=night)
        one = await added(
            world,
            inputs=[
                {"name": "raw", "query": {"part": "raw"}},
                {"name": "cal", "query": {"part": "cal"}, "use": "shared", "on": ["night"]},
            ],
        )
        view = await until(world, one, lambda v: v.tasks.get(T.DONE) == 1)

        assert view.inputs == {"raw": {I.PROCESSED: 1, I.UNUSED: 8}, "cal": {I.SHARED: 5}}
        assert await times_done(world, one) == {"run17": 1, "run37": 1}

    story(tell, script=lasts(10.0))


def test_of_side_inputs_the_newest_is_taken_while_more_wait_than_are_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(making, "POOL_MAX", 4)
    monkeypatch.setattr(making, "PAGE", 2)

    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 9), part="raw")
        await registered(world, range(30, 35), part="model")
        one = await added(
            world,
            inputs=[
                {"name": "raw", "query": {"part": "raw"}},
                {"name": "model", "query": {"part": "model"}, "use": "shared"},
            ],
            tasks_open_max=1,
        )
        await until(world, one, lambda v: v.tasks_made == 1)
        await registered(world, [35], part="model")
        await until(world, one, lambda v: v.tasks.get(T.DONE) == 8)

        done = await times_done(world, one)
        assert {n: done[f"run{n}"] for n in range(30, 36)} == {
            **dict.fromkeys(range(30, 34), 0),
            34: 1,
            35: 7,
        }

    story(tell, script=lasts(10.0))


def test_a_file_whose_copies_are_bad_is_put_aside_and_its_companions_are_not_at_fault() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1, 2, 3])
        one = await added(world, **EVENTS, grouping={"size": 2}, pause_when_failed=1.0)
        await until(world, one, lambda v: v.tasks_made == 1)
        bad = ReplicaChange(did=did(1), storage="disk", state=ReplicaState.BAD)
        await world.store.write(file_records.change_replicas, "ctao", [bad], at=2.0)
        await until(world, one, lambda v: v.tasks_made == 2)
        found = await rows(world, one)

        assert (found["run1"].state, found["run1"].errors) == (I.PROBLEMATIC, 1)
        assert (found["run2"].state, found["run2"].errors) == (I.ASSIGNED, 0)
        assert found["run3"].state is I.ASSIGNED, "run2 goes with it"
        copy = ReplicaChange(did=did(1), storage="disk", state=ReplicaState.AVAILABLE)
        await world.store.write(file_records.change_replicas, "ctao", [copy], at=3.0)
        assert (await said(world, one, "reset", all=True)).changed == 1
        assert (await rows(world, one))["run1"].state is I.UNUSED

    story(tell, script=lambda _: Script(duration_s=20.0, exit_code=1))


def test_a_dry_run_tells_what_would_be() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 6), particle="gamma")
        body = NewTransformation(
            document=a_document(
                **EVENTS,
                grouping={"size": 2},
                job={"command": ["run", "{particle}", "{task}", "{inputs}"]},
            ),
            dry_run=True,
        )
        found = await world.central.services.transformations.add(world.user(), body)

        assert isinstance(found, Preview)
        assert found.inputs == {"events": 5}
        assert found.groups[0] == ["dpps:run1", "dpps:run2"]
        assert (found.groups[2], found.later) == (["dpps:run5"], [2])  # it waits for another file
        assert found.first_job is not None
        assert list(found.first_job["command"]) == ["run", "gamma", "1", "{inputs}"]
        page = await world.central.services.transformations.list(
            world.user(), states=(), after=0, limit=10
        )
        assert page.transformations == []

    story(tell, script=lasts(5.0))


def test_a_query_with_an_unknown_key_names_the_nearest() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1], particle="gamma")
        with pytest.raises(Refused, match="particle") as refused:
            await added(world, inputs=[{"query": {"partcle": "gamma"}}])

        assert refused.value.field == "document.inputs[0].query.partcle"

    story(tell, script=lasts(5.0))


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_await_each_file_is_counted_once(seed: int) -> None:
    campaign(seed)


@pytest.mark.long
@pytest.mark.parametrize("start", range(0, 3_000, 100))
def test_killed_at_any_await_in_many_worlds(start: int) -> None:
    for seed in range(start, start + 100):
        campaign(seed)


def campaign(seed: int) -> None:
    """One world: files come one by one while the central is killed, and jobs fail."""
    chance = random.Random(seed)

    class SlowStore(MemoryStore):
        """What is written is on the disk before its writer knows it: a kill comes in between."""

        async def synced(self) -> None:
            await super().synced()
            await asyncio.sleep(chance.random() * 0.3)

    def script(assignment: Assignment) -> Script:
        failed = chance.random() < 0.15
        return Script(duration_s=chance.random() * 20.0, exit_code=1 if failed else 0)

    async def tell(world: FakeInstallation) -> None:
        await world.kill()
        world.store.__class__ = SlowStore
        await world.start()
        await ready(world)
        await registered(world, [1])
        size = chance.randint(1, 4)
        one = await added(
            world,
            **EVENTS,
            grouping={"size": size},
            errors_max=chance.choice((2, 50)),
            pause_when_failed=1.0,
            tasks_open_max=chance.choice((0, 3)),
        )
        order = list(range(2, 30))
        chance.shuffle(order)
        for number in order:
            await registered(world, [number])
            if chance.random() < 0.2:
                await registered(world, [chance.choice(order[: order.index(number) + 1])])
            if chance.random() < 0.3:
                await asyncio.sleep(chance.random() * 3.0)
                await world.kill()
                await world.start()
                await ready(world)
        await said(world, one, "complete")
        await until(world, one, is_in(S.COMPLETED))
        found = await rows(world, one)
        done = await times_done(world, one)

        assert len(found) == 29, f"seed {seed}"
        for name, row in found.items():
            assert (row.state, done[name]) in {(I.PROCESSED, 1), (I.STUCK, 0)}, f"seed {seed}"

    story(tell, script=script)
