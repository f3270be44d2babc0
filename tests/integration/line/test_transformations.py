"""Transformations on fakes: from a document to jobs on pilots, and to Completed."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.jobs import record as job_records
from pilotage.central.transformations import record as transformation_records
from pilotage.proto.api.jobs import Action, ActionName
from pilotage.proto.api.quotas import QuotaChange
from pilotage.proto.api.transformations import (
    NewTransformation,
    TransformationAction,
    TransformationActionName,
    TransformationDetail,
    TransformationView,
)
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.messages import Assignment
from pilotage.proto.transformation_states import TaskState, TransformationState
from tests.fake_pilot import Script
from tests.fakes import FakeInstallation

from .test_on_fakes import lasts, started, story

S = TransformationState


async def added(world: FakeInstallation, **fields: Any) -> int:
    given = {"name": "t", "job": {"command": ["run", "{task}"]}, **fields}
    document = msgspec.convert(given, Transformation)
    made = await world.central.services.transformations.add(
        world.user(), NewTransformation(document=document)
    )
    assert isinstance(made, TransformationDetail)
    return made.view.id


async def shown(world: FakeInstallation, one: int) -> TransformationView:
    return (await world.central.services.transformations.show(world.user(), str(one))).view


async def said(
    world: FakeInstallation, one: int, action: str, **fields: Any
) -> TransformationDetail:
    body = TransformationAction(action=TransformationActionName(action), **fields)
    return await world.central.services.transformations.act(world.user(), str(one), body)


async def until(
    world: FakeInstallation, one: int, is_so: Callable[[TransformationView], bool]
) -> TransformationView:
    """Wait until a transformation is as wanted; return it."""
    for _ in range(2_000):
        if not world.is_down:
            view = await shown(world, one)
            if is_so(view):
                return view
        await asyncio.sleep(1.0)
    raise AssertionError(f"it stays {await shown(world, one)}")


def is_in(state: TransformationState) -> Callable[[TransformationView], bool]:
    return lambda view: view.state is state


def test_tasks_without_inputs_run_once_each_and_it_completes() -> None:
    async def tell(world: FakeInstallation) -> None:
        one = await added(world, tasks=7)
        view = await until(world, one, is_in(S.COMPLETED))
        tasks = await world.central.services.transformations.tasks(
            world.user(), "t", states=(), after=0, limit=100
        )

        assert view.tasks == {TaskState.DONE: 7}
        assert [task.number for task in tasks.tasks] == [1, 2, 3, 4, 5, 6, 7]
        assert len(started(world)) == 7

    story(tell, script=lasts(30.0))


def test_each_task_has_the_values_of_its_row_and_one_without_pauses_it() -> None:
    async def tell(world: FakeInstallation) -> None:
        job = {"command": ["run", "{word}", "{n}"]}
        rows = [{"word": "a", "n": 1}, {"word": "b", "n": 2.5}]
        one = await added(world, tasks=2, rows=rows, job=job)
        await until(world, one, is_in(S.COMPLETED))
        jobs = await world.store.read(job_records.bodies, [1, 2])
        await said(world, one, "extend", tasks=3, was=2)
        view = await until(world, one, is_in(S.PAUSED))

        commands = [msgspec.json.decode(jobs[job].body)["command"] for job in (1, 2)]
        assert commands == [["run", "a", "1"], ["run", "b", "2.5"]]
        assert view.reason == "there are rows of values for 2 tasks, but none for task 3"
        with pytest.raises(Refused, match="rows: found 2, expected one for each of 3 tasks"):
            await added(world, name="other", tasks=3, rows=rows, job=job)

    story(tell, script=lasts(30.0))


def test_more_tasks_are_asked_for_once_however_often_it_is_said() -> None:
    async def tell(world: FakeInstallation) -> None:
        one = await added(world, tasks=2)
        await until(world, one, is_in(S.COMPLETED))
        for _ in range(2):
            await said(world, one, "extend", tasks=5, was=2)
        with pytest.raises(Refused, match="5 are wanted now, not 2"):
            await said(world, one, "extend", tasks=9, was=2)
        view = await until(world, one, lambda v: v.tasks == {TaskState.DONE: 5})

        assert view.tasks_made == 5

    story(tell, script=lasts(30.0))


def test_a_paused_one_makes_no_tasks_and_a_stopped_one_can_go_on() -> None:
    async def tell(world: FakeInstallation) -> None:
        one = await added(world, tasks=6, tasks_open_max=2)
        await until(world, one, lambda v: bool(v.tasks.get(TaskState.DONE)))
        await said(world, one, "pause", reason="lunch")
        await asyncio.sleep(500.0)
        view = await shown(world, one)

        assert (view.state, view.reason) == (S.PAUSED, "lunch")
        assert view.tasks_made < 6 and not view.tasks.get(TaskState.CREATED)
        await said(world, one, "stop")
        await said(world, one, "resume")
        assert (await until(world, one, is_in(S.COMPLETED))).tasks == {TaskState.DONE: 6}

    story(tell, script=lasts(30.0))


def test_too_many_failures_pause_it_and_a_person_lets_it_go_on() -> None:
    broken = [True]

    def script(assignment: Assignment) -> Script:
        return Script(duration_s=5.0, exit_code=1 if broken[0] else 0)

    async def tell(world: FakeInstallation) -> None:
        one = await added(world, tasks=200, tasks_open_max=10, pause_when_failed=0.5)
        view = await until(world, one, is_in(S.PAUSED))

        assert view.reason.endswith("tasks have failed; at most 50% may fail")
        assert view.tasks_made < 60
        broken[0] = False
        await said(world, one, "resume")
        view = await until(world, one, is_in(S.COMPLETED))
        assert sum(view.tasks.values()) == 200

    story(tell, script=script)


def test_scouts_run_alone_and_the_others_get_what_they_have_shown() -> None:
    async def tell(world: FakeInstallation) -> None:
        one = await added(world, tasks=9, scouts=3)
        view = await until(world, one, lambda v: bool(v.tasks_made))
        await asyncio.sleep(10.0)
        view = await shown(world, one)

        assert (view.marks, view.tasks_made) == (("scouting",), 3)
        view = await until(world, one, is_in(S.COMPLETED))
        detail = await world.central.services.transformations.show(world.user(), "t")
        assert detail.scouts is not None and detail.scouts["scouts"] == 3
        tasks = await world.central.services.transformations.tasks(
            world.user(), "t", states=(), after=0, limit=100
        )
        last = await world.central.services.queries.job(world.user(), tasks.tasks[-1].job)
        assert last.job is not None
        assert last.job.needs[0].wall_s == detail.scouts["wall_s"] < 86_400

    story(tell, script=lasts(30.0))


def test_scouts_that_fail_pause_it() -> None:
    async def tell(world: FakeInstallation) -> None:
        one = await added(world, tasks=9, scouts=3)
        view = await until(world, one, is_in(S.PAUSED))

        assert view.reason == "3 of the 3 scouts are not Done"
        assert view.tasks_made == 3

    story(tell, script=lambda _: Script(duration_s=5.0, exit_code=1))


def test_scouts_that_come_after_a_person_has_looked_are_judged_by_themselves() -> None:
    async def tell(world: FakeInstallation) -> None:
        one = await added(world, tasks=9, scouts=3)
        await until(world, one, is_in(S.PAUSED))
        await said(world, one, "resume")
        view = await until(world, one, is_in(S.COMPLETED))

        assert (view.tasks_made, view.tasks.get(TaskState.DONE)) == (9, 6)

    story(tell, script=lambda one: Script(duration_s=5.0, exit_code=int(one.job <= 3)))


def test_cleaning_kills_its_jobs_and_frees_its_name() -> None:
    async def tell(world: FakeInstallation) -> None:
        one = await added(world, tasks=9)
        await until(world, one, lambda v: v.tasks_made == 9)
        await asyncio.sleep(20.0)
        await said(world, one, "clean")
        view = await until(world, one, is_in(S.CLEANED))

        assert view.tasks == {TaskState.KILLED: 9}
        assert await added(world, tasks=1) != one

    story(tell, script=lasts(10_000.0))


def test_the_same_document_again_is_the_same_transformation_and_another_is_refused() -> None:
    async def tell(world: FakeInstallation) -> None:
        one = await added(world, tasks=3)

        assert await added(world, tasks=3) == one
        with pytest.raises(Refused, match=f"'t' is the name of transformation {one}"):
            await added(world, tasks=4)
        await until(world, one, is_in(S.COMPLETED))

    story(tell, script=lasts(5.0))


REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("flush", "has no inputs: there is nothing to flush", {}),
    ("complete", "has no inputs: there is nothing to complete", {}),
    ("archive", "that is Active cannot be archived", {}),
    ("replay", "has no inputs", {"files": ("ctao:x",)}),
    ("extend", "3 are wanted now, not 0", {"tasks": 4}),
]


def test_actions_that_cannot_be_are_refused() -> None:
    async def tell(world: FakeInstallation) -> None:
        one = await added(world, tasks=3)
        for action, why, fields in REFUSED:
            with pytest.raises(Refused, match=why):
                await said(world, one, action, **fields)
        with pytest.raises(Refused, match="there is no transformation '77'"):
            await said(world, 77, "pause")

    story(tell, script=lasts(5.0))


def test_one_that_cannot_be_taken_up_is_paused_and_the_others_go_on() -> None:
    async def tell(world: FakeInstallation) -> None:
        bad, good = await added(world, name="bad", tasks=2), await added(world, tasks=2)
        await until(world, bad, is_in(S.COMPLETED))
        world.store.by_hand(
            """UPDATE transformation SET state = 'Active',
                   doc = CAST(replace(doc, '"name"', '"later":1,"name"') AS BLOB)
                WHERE transformation_id = ?""",
            bad,
        )
        await said(world, good, "extend", tasks=5, was=2)
        await world.kill()
        await world.start()
        await until(world, good, lambda v: v.tasks == {TaskState.DONE: 5})

        row = await world.store.read(transformation_records.transformation, bad)
        assert row is not None and row.state is S.PAUSED
        assert "unknown field `later`" in row.reason

    story(tell, script=lasts(5.0))


def test_a_job_of_a_task_that_has_ended_is_not_run_again_by_hand() -> None:
    async def tell(world: FakeInstallation) -> None:
        one = await added(world, tasks=1)
        await until(world, one, is_in(S.COMPLETED))
        tasks = await world.central.services.transformations.tasks(
            world.user(), "t", states=(), after=0, limit=100
        )
        again = Action(action=ActionName.RESCHEDULE, ids=(tasks.tasks[0].job,))
        reply = await world.central.services.control.act(world.user(), again)

        assert (reply.done, len(reply.refused)) == (0, 1)
        assert "transformation replay" in reply.refused[0].message

    story(tell, script=lasts(5.0))


def test_killed_between_any_two_steps_each_number_is_one_task() -> None:
    _killed_often(seed=1, kills=12)


def _killed_often(seed: int, kills: int) -> None:
    chance = random.Random(seed)

    async def tell(world: FakeInstallation) -> None:
        one = await added(world, tasks=40, tasks_open_max=7)
        for _ in range(kills):
            await asyncio.sleep(chance.random() * 20.0)
            await world.kill()
            await asyncio.sleep(chance.random() * 5.0)
            await world.start()
        view = await until(world, one, is_in(S.COMPLETED))

        assert view.tasks == {TaskState.DONE: 40}

    story(tell, script=lambda _: Script(duration_s=chance.random() * 20.0))


Tell = Callable[[FakeInstallation], Awaitable[None]]


def test_one_over_quota_waits_says_so_and_goes_on_as_jobs_end_until_all_are_done() -> None:
    async def tell(world: FakeInstallation) -> None:
        quotas = world.central.services.quotas
        change = QuotaChange(kind="community", community="ctao", jobs=2)
        await quotas.change(world.user(), change)
        one = await added(world, tasks=7)
        waits = await until(world, one, lambda view: view.reason.startswith("waits: "))
        used: set[int] = set()
        while (view := await shown(world, one)).state is not S.COMPLETED:
            used.add((await quotas.usage(world.user())).rows[0].jobs)
            await asyncio.sleep(1.0)

        assert waits.state is S.ACTIVE
        assert "community 'ctao' has 2 of 2 unended jobs" in waits.reason
        assert view.tasks == {TaskState.DONE: 7}
        assert view.reason == ""
        assert max(used) == 2
        assert len(started(world)) == 7

    story(tell, script=lasts(30.0))


def test_one_whose_quota_has_no_room_at_all_goes_on_when_it_is_larger() -> None:
    async def tell(world: FakeInstallation) -> None:
        quotas = world.central.services.quotas
        none = QuotaChange(kind="owner", community="ctao", name="admin", jobs=0)
        await quotas.change(world.user(), none)
        one = await added(world, tasks=3)
        await until(world, one, lambda view: view.reason.startswith("waits: "))
        await asyncio.sleep(600.0)
        still = await shown(world, one)
        await quotas.change(world.user(), msgspec.structs.replace(none, jobs=None))
        view = await until(world, one, is_in(S.COMPLETED))

        assert (still.state, still.tasks_made) == (S.ACTIVE, 0)
        assert view.tasks == {TaskState.DONE: 3}

    story(tell, script=lasts(30.0))
