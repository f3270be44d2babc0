"""Transformations that ask for failover, on fakes: what failed is tried again by the rules."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from pilotage.central.catalogue import record_read as catalogue_read
from pilotage.proto.failures import FailureClass
from pilotage.proto.messages import Assignment
from pilotage.proto.transformation_states import (
    InputState as I,
    TaskState as T,
    TransformationState as S,
)
from tests.fake_pilot import Script
from tests.fakes import FakeInstallation

from .tasks import all_tasks
from .test_data_transformations import EVENTS, registered, rows, story, times_done
from .test_transformations import added, is_in, said, shown, until

GIVEN: dict[str, Any] = {**EVENTS, "failover": True, "pause_when_failed": 1.0}
GOOD = Script(duration_s=5.0)
BAD = Script(duration_s=200.0, exit_code=3, stderr=b"event 7 of 9 does not read\n")


class Stage:
    """What payloads do: by the files that the task of their job has."""

    def __init__(self) -> None:
        self.world: FakeInstallation | None = None
        self.tried: list[tuple[int, ...]] = []  # groups that have failed
        self.memory_mb: list[int] = []  # that the jobs were given

    def files(self, assignment: Assignment) -> tuple[int, ...]:
        assert self.world is not None
        tasks = all_tasks(self.world.store)
        return next(task.files for task in tasks if task.job_id == assignment.job)

    async def names(self, files: Sequence[int]) -> list[str]:
        assert self.world is not None
        return [
            row.did.name
            for row in (await self.world.store.read(catalogue_read.files_by_id, files)).values()
        ]


def test_one_bad_file_is_found_and_the_others_are_each_processed_once() -> None:
    stage = Stage()

    def script(assignment: Assignment) -> Script:
        files = stage.files(assignment)
        if bad[0] not in files:
            return GOOD
        stage.tried.append(files)
        return BAD

    bad = [0]

    async def tell(world: FakeInstallation) -> None:
        stage.world = world
        await registered(world, range(1, 17))
        bad[0] = 9  # of those that were registered one is bad
        one = await added(world, **GIVEN, grouping={"size": 8})
        await said(world, one, "complete")
        await until(world, one, is_in(S.COMPLETED))
        states = {name: row.state for name, row in (await rows(world, one)).items()}
        (name,) = await stage.names([9])

        assert states.pop(name) is I.PROBLEMATIC
        assert set(states.values()) == {I.PROCESSED}
        assert dict(await times_done(world, one)) == dict.fromkeys(states, 1)
        assert [len(group) for group in stage.tried][-1] == 1
        assert len(stage.tried) <= 7

    story(tell, script=script)


def test_the_search_for_one_bad_file_does_not_pause_a_small_transformation() -> None:
    stage = Stage()

    async def tell(world: FakeInstallation) -> None:
        stage.world = world
        await registered(world, range(1, 161))
        given = {**GIVEN, "pause_when_failed": 0.3}
        one = await added(world, **given, grouping={"size": 16})
        await said(world, one, "complete")
        view = await until(world, one, lambda one: one.state in (S.COMPLETED, S.PAUSED))

        assert (view.state, view.tasks) == (S.COMPLETED, {T.DONE: 13, T.FAILED: 6})

    story(tell, script=lambda assignment: BAD if 9 in stage.files(assignment) else GOOD)


@pytest.mark.parametrize(
    ("scouts", "bad", "sites"),
    [(0, 4, ["PIC"]), (0, 23, ["PIC", "CSCS"]), (1, 1, ["PIC"]), (2, 9, ["PIC", "CSCS"])],
)
def test_a_step_of_23_files_with_a_bad_one_ends_by_itself(
    scouts: int, bad: int, sites: list[str]
) -> None:
    stage = Stage()

    async def tell(world: FakeInstallation) -> None:
        stage.world = world
        await registered(world, range(1, 24))
        one = await added(world, **EVENTS, failover=True, grouping={"size": 5}, scouts=scouts)
        view = await until(world, one, lambda one: one.state in (S.COMPLETED, S.PAUSED))

        assert (view.state, view.reason) == (S.COMPLETED, "")
        assert view.inputs == {"events": {I.PROCESSED: 22, I.PROBLEMATIC: 1}}

    # the first file of the catalogue is that of `ready`
    script = lambda assignment: BAD if bad + 1 in stage.files(assignment) else GOOD  # noqa: E731
    story(tell, script=script, sites=sites)


def test_memory_grows_until_it_is_enough_and_no_further() -> None:
    stage = Stage()

    def script(assignment: Assignment) -> Script:
        stage.memory_mb.append(assignment.grant.memory_mb)
        if assignment.grant.memory_mb < 2_500:
            return Script(duration_s=100.0, exit_code=1, stderr=b"numpy: MemoryError\n")
        return GOOD

    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 4))
        job = {"command": ["run"], "needs": [{"memory_mb": 1_000}]}
        one = await added(world, **GIVEN, job=job, grouping={"size": 3})
        view = await until(world, one, lambda v: bool(v.tasks.get(T.DONE)))
        jobs = [task.job_id for task in all_tasks(world.store)]
        shown = [await world.central.services.queries.job(world.user(), job) for job in jobs]
        await asyncio.sleep(60.0)  # failures are counted some seconds later
        counted = await world.central.services.series.failures(
            world.user(), site="", group="", owner="", transformation=one, since=None
        )

        assert view.tasks == {T.FAILED: 2, T.DONE: 1}
        assert [job.attempts[-1].failure for job in shown] == ["limit.memory", "limit.memory", ""]
        assert {line.failure for line in counted.lines} == {FailureClass.MEMORY}
        assert stage.memory_mb == [1_000, 2_000, 3_000]

    story(tell, script=script)


def test_memory_that_no_pilot_has_is_not_asked_for_and_halves_of_the_inputs_do() -> None:
    """The pilots have 4 GB, and the ladder of the rule would go on to 6."""
    stage = Stage()

    def script(assignment: Assignment) -> Script:
        stage.memory_mb.append(assignment.grant.memory_mb)
        if len(stage.files(assignment)) > 2:
            return Script(duration_s=100.0, exit_code=1, stderr=b"numpy: MemoryError\n")
        return GOOD

    async def tell(world: FakeInstallation) -> None:
        stage.world = world
        await registered(world, range(1, 5))
        job = {"command": ["run"], "needs": [{"memory_mb": 3_000}]}
        one = await added(world, **GIVEN, job=job, grouping={"size": 4})
        view = await until(world, one, lambda v: v.tasks.get(T.DONE) == 2)

        assert view.tasks == {T.FAILED: 2, T.DONE: 2}
        assert stage.memory_mb == [3_000, 4_000, 4_000, 4_000]

    story(tell, script=script)


@pytest.mark.parametrize("size", [1, 3])
def test_a_wrong_command_pauses_a_small_step_and_resume_continues_it(size: int) -> None:
    broken = [True]

    def script(assignment: Assignment) -> Script:
        return Script(duration_s=1.0, exit_code=127) if broken[0] else GOOD

    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 4))
        one = await added(world, **GIVEN, grouping={"size": size})
        view = await until(world, one, is_in(S.PAUSED))
        await asyncio.sleep(60.0)  # running jobs end
        stays = await shown(world, one)

        assert view.reason == "failover: no such command: exit code 127"
        assert (stays.state, stays.inputs) == (S.PAUSED, {"events": {I.UNUSED: 3}})
        broken[0] = False
        await said(world, one, "resume")
        view = await until(world, one, lambda v: v.inputs == {"events": {I.PROCESSED: 3}})
        assert view.state is S.ACTIVE

    story(tell, script=script)


def test_a_host_without_the_command_stops_no_step() -> None:
    stage, hole = Stage(), list[int]()

    def script(assignment: Assignment) -> Script:
        assert stage.world is not None
        rows = stage.world.store.by_hand("SELECT job_id, site_id FROM attempt WHERE live = 1")
        row = next(one for one in rows if one["job_id"] == assignment.job)
        hole.append(row["site_id"])  # the host of the first site lacks the command
        return Script(duration_s=1.0, exit_code=127) if hole[0] == hole[-1] else GOOD

    async def tell(world: FakeInstallation) -> None:
        stage.world = world
        await registered(world, range(1, 13))
        one = await added(world, **GIVEN, grouping={"size": 2})
        await said(world, one, "complete")
        view = await until(world, one, lambda v: v.state in (S.PAUSED, S.COMPLETED))

        assert (view.state, view.inputs) == (S.COMPLETED, {"events": {I.PROCESSED: 12}})

    story(tell, script=script)


def test_it_is_not_completed_while_something_waits_to_be_tried_again() -> None:
    times: list[int] = []

    def script(assignment: Assignment) -> Script:
        times.append(assignment.job)
        return Script(duration_s=100.0, exit_code=137) if len(times) < 3 else GOOD

    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 4))
        one = await added(world, **GIVEN, grouping={"size": 3})
        await said(world, one, "complete")
        view = await until(world, one, is_in(S.COMPLETED))

        assert view.tasks == {T.FAILED: 2, T.DONE: 1}
        tasks = await world.central.services.transformations.tasks(
            world.user(), str(one), states=(), after=0, limit=10
        )
        made = [task.made_at for task in tasks.tasks]
        assert made == sorted(made) and len(made) == 3

    story(tell, script=script)


@pytest.mark.parametrize("failover", [True, False])
def test_without_it_a_bad_file_is_tried_until_its_errors_are_too_many(failover: bool) -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1])
        one = await added(world, **{**GIVEN, "failover": failover, "errors_max": 5})
        over = {I.STUCK, I.PROBLEMATIC}
        view = await until(world, one, lambda v: bool(over & set(v.inputs["events"])))

        if failover:
            assert view.tasks[T.FAILED] <= 3
        else:
            assert (view.tasks[T.FAILED], view.inputs["events"]) == (5, {I.STUCK: 1})

    story(tell, script=lambda _: BAD)


def test_all_files_as_one_group_are_tried_as_often_as_the_budget_says_and_no_more() -> None:
    stage = Stage()

    def script(assignment: Assignment) -> Script:
        stage.tried.append(stage.files(assignment))
        return BAD

    async def tell(world: FakeInstallation) -> None:
        stage.world = world
        await registered(world, range(1, 4))
        one = await added(world, **GIVEN, grouping={"rule": "all"})
        await said(world, one, "complete")
        view = await until(world, one, lambda v: I.STUCK in v.inputs["events"])

        assert view.inputs == {"events": {I.STUCK: 3}}
        assert 2 <= len(stage.tried) <= 3
        assert set(map(len, stage.tried)) == {3}, "it is never halved"

    story(tell, script=script)
