"""The agent of failover on fakes: it flushes, completes, pauses, reassigns and reports."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from pilotage.central.catalogue import record_files as file_records, record_read as catalogue_read
from pilotage.central.catalogue.record_types import ReplicaChange
from pilotage.central.failover import record as failover_records
from pilotage.central.failover.mails import NotMailed
from pilotage.central.failover.record import REASSIGNED
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.record_types import JobMove
from pilotage.proto.api.failures import ReportDetail
from pilotage.proto.catalogue import FileState, ReplicaState
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Assignment
from pilotage.proto.transformation_states import (
    InputState as I,
    TaskState as T,
    TransformationState as S,
)
from tests import virtual
from tests.fake_pilot import Script
from tests.fakes import FakeInstallation
from tests.memory_store import MemoryStore

from .tasks import all_tasks, waiting_jobs
from .test_data_transformations import EVENTS, did, ready, registered, rows, story
from .test_on_fakes import lasts
from .test_transformations import added, is_in, said, shown, until
from .test_transformations_at_random import World

GIVEN: dict[str, Any] = {**EVENTS, "failover": True, "pause_when_failed": 1.0}
CYCLE_S = 120.0


async def reported(world: FakeInstallation) -> list[ReportDetail]:
    """Return all reports, the oldest first."""
    service = world.central.services.reports
    page = await service.reports(
        world.user(), transformation=None, since=None, before=None, limit=1_000
    )
    return [await service.report(world.user(), one.id) for one in reversed(page.reports)]


def test_a_last_small_group_is_flushed_then_all_is_completed_and_it_is_told() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 7))
        one = await added(world, **GIVEN, grouping={"size": 4})
        view = await until(world, one, is_in(S.COMPLETED))

        assert view.tasks == {T.DONE: 2}
        assert view.inputs == {"events": {I.PROCESSED: 6}}
        (flush,) = await reported(world)
        assert (flush.view.cause, flush.view.saved, flush.view.stuck) == ("flush", 1, 0)
        assert flush.text.splitlines()[0] == "t: flushed (rule: flush a last small group)"
        await registered(world, range(7, 9))
        await said(world, one, "extend")
        view = await until(world, one, lambda v: v.tasks == {T.DONE: 3})
        await until(world, one, is_in(S.COMPLETED))

    story(tell, script=lasts(5.0))


def test_who_lets_no_group_go_that_is_not_full_is_not_flushed() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 7))
        one = await added(world, **GIVEN, grouping={"size": 4, "partial": "never"})
        await asyncio.sleep(10 * CYCLE_S)

        assert (await shown(world, one)).inputs == {"events": {I.PROCESSED: 4, I.UNUSED: 2}}
        assert await reported(world) == []

    story(tell, script=lasts(5.0))


def test_one_that_somebody_has_just_resumed_is_not_flushed() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 3))
        one = await added(world, **{**GIVEN, "grouping": {"size": 2}})
        await until(world, one, lambda view: view.tasks == {T.DONE: 1})
        await said(world, one, "pause")
        await registered(world, range(3, 6))
        await asyncio.sleep(3 * CYCLE_S)
        await said(world, one, "resume")
        await world.central.failover.cycle.once()  # before there is a task

        assert await reported(world) == []
        await until(world, one, lambda view: view.tasks == {T.DONE: 3})

    story(tell, script=lasts(5.0))


def test_a_wrong_description_pauses_and_who_lets_it_go_on_is_not_paused_again() -> None:
    broken = [True]

    def script(assignment: Assignment) -> Script:
        wrong = "its data have 9 MB, and scratch_mb is 3" if broken[0] else ""
        return Script(duration_s=1.0, does_not_start=wrong)

    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 41))
        one = await added(world, **GIVEN, tasks_open_max=2)
        view = await until(world, one, is_in(S.PAUSED))

        assert view.reason == "failover: wrong from the first tasks on: config"
        (report,) = await reported(world)
        assert report.view.cause == "config"
        assert "transformation paused (rule: wrong from the first tasks on)" in report.text
        assert report.view.saved + report.view.stuck == report.report["attempts"] + 1
        broken[0] = False
        await said(world, one, "reset", all=True)
        await said(world, one, "resume")
        view = await until(world, one, is_in(S.COMPLETED))
        assert view.inputs == {"events": {I.PROCESSED: 40}}

    story(tell, script=script)


def test_nothing_is_told_while_all_is_quiet_and_each_failure_is_told_once() -> None:
    failing = {3, 5}

    def script(assignment: Assignment) -> Script:
        fails = assignment.job in failing
        wrote = b"line one\nno such run:\t17\n\n" if fails else b""
        return Script(duration_s=70.0, exit_code=2 if fails else 0, stderr=wrote)

    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 9))
        one = await added(world, **GIVEN)
        await until(world, one, is_in(S.COMPLETED))
        reports = await reported(world)

        assert sum(one.report["attempts"] for one in reports) == 2
        assert {one.view.cause for one in reports} == {"payload"}
        assert sum(one.view.saved for one in reports) == 2
        assert all("run again (rule: fails by itself)" in one.text for one in reports)
        for told in reports:
            job = told.report["examples"][0]
            look = f"Look    pilotage logs {job} --stream stderr\n        no such run: 17\n"
            assert look in told.text
        await asyncio.sleep(20 * CYCLE_S)
        assert len(await reported(world)) == len(reports)

    story(tell, script=script)


class Held(World):
    """A world without pilots, in which jobs of tasks are lost too often."""

    async def hold(self) -> int:
        """Hold what waits, as the central does; return how many."""
        jobs = waiting_jobs(self.store)
        moves = [
            JobMove(
                job_id=job, old=JobState.WAITING, new=JobState.HELD, at=self.clock.wall(),
                event="lost_too_often", who="central", reason="lost_too_often: 5 attempts",
            )
            for job in jobs
        ]  # fmt: skip
        await self.store.write(job_records.move, moves)
        return len(moves)


def test_inputs_of_jobs_that_were_lost_too_often_go_to_another_task_twice() -> None:
    async def whole() -> None:
        world = Held(1)
        await world.start()
        await ready(world)
        await registered(world, range(1, 3))
        one = await added(world, **GIVEN, grouping={"size": 2})
        for _ in range(3):
            await until(world, one, lambda v: v.tasks.get(T.CREATED) == 1)
            await asyncio.sleep(5.0)
            assert await world.hold() == 1
            await asyncio.sleep(2 * CYCLE_S)
        await asyncio.sleep(5 * CYCLE_S)
        view = await shown(world, one)

        assert view.tasks == {T.KILLED: 2, T.CREATED: 1}
        assert view.inputs == {"events": {I.ASSIGNED: 2}}
        tasks = await world.central.services.transformations.tasks(
            world.user(), str(one), states=(T.KILLED,), after=0, limit=10
        )
        assert {task.reason for task in tasks.tasks} == {REASSIGNED}
        causes = [(r.view.cause, r.view.saved, r.view.stuck) for r in await reported(world)]
        assert causes[-1] == ("give_up", 0, 1), "the third time it is stuck"
        assert len(causes) == 3
        await world.kill()

    virtual.run(whole(), limit_s=50_000.0)


SWEEP_S = 3_600.0


async def publish(world: FakeInstallation, one: int, *numbers: int) -> None:
    """Let the first task of a transformation have made files, which are no inputs of it."""
    service = world.central.services.transformations
    page = await service.tasks(world.user(), str(one), states=(), after=0, limit=1)
    await registered(world, numbers, level=1)
    for number in numbers:
        made_by(world, number, page.tasks[0].job)


def made_by(world: FakeInstallation, number: int, job: int) -> None:
    """Let a job have made a file."""
    made = "UPDATE file SET job_id = ?, epoch = 1 WHERE name = ?"
    world.store.by_hand(made, job, did(number).name)


async def lose(world: FakeInstallation, number: int) -> None:
    """Let the only copy of a file be bad."""
    bad = ReplicaChange(did=did(number), storage="disk", state=ReplicaState.BAD)
    await world.store.write(file_records.change_replicas, "ctao", [bad], at=world.clock.wall())


async def state_of(world: FakeInstallation, number: int) -> FileState:
    (file,) = await world.store.read(catalogue_read.files_by_did, "ctao", [did(number)])
    assert file is not None
    return file.state


def test_what_is_lost_before_anybody_has_read_it_is_made_anew_and_told_once() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 3))
        one = await added(world, **GIVEN, grouping={"size": 2})
        await until(world, one, is_in(S.COMPLETED))
        await publish(world, one, 90, 91)
        await lose(world, 90)
        await asyncio.sleep(SWEEP_S)
        view = await until(world, one, is_in(S.COMPLETED))

        assert view.tasks == {T.FAILED: 1, T.DONE: 1}
        assert view.inputs == {"events": {I.PROCESSED: 2}}
        assert [await state_of(world, n) for n in (90, 91)] == [FileState.LOST, FileState.REMOVED]
        (report,) = await reported(world)
        assert (report.view.cause, report.view.saved, report.view.stuck) == ("recovery", 1, 0)
        for line in ("task set Failed: its outputs are missing", "inputs set Unused"):
            assert f"1 x {line} (rule: outputs are lost that nobody has read)" in report.text
        await asyncio.sleep(2 * SWEEP_S)
        assert (await shown(world, one)).tasks == {T.FAILED: 1, T.DONE: 1}
        assert len(await reported(world)) == 1

    story(tell, script=lasts(5.0))


def test_what_somebody_has_removed_or_read_is_told_and_left_alone() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 3))
        one = await added(world, **GIVEN)
        await until(world, one, is_in(S.COMPLETED))
        await publish(world, one, 90, 91)
        other = await added(
            world, **{**GIVEN, "inputs": [{"name": "events", "query": {"run": 91}}]}, name="reader"
        )
        await until(world, other, is_in(S.COMPLETED))
        await lose(world, 90)
        await asyncio.sleep(2 * SWEEP_S)

        (report,) = await reported(world)
        assert (report.view.cause, report.view.saved, report.view.stuck) == ("recovery", 0, 1)
        assert "that does not agree with its outputs reported only" in report.text
        assert (await shown(world, one)).tasks == {T.DONE: 2}
        assert await state_of(world, 91) is FileState.AVAILABLE
        await world.store.write(file_records.remove_files, "ctao", [did(91)], at=world.clock.wall())
        await asyncio.sleep(SWEEP_S)
        assert len(await reported(world)) == 1, "it is the same task"
        assert (await shown(world, one)).tasks == {T.DONE: 2}

    story(tell, script=lasts(5.0))


def test_what_is_lost_again_and_again_is_made_anew_twice() -> None:
    """Each time the last task's; a storage that loses all of it is a person's matter."""

    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 2))
        one = await added(world, **GIVEN)
        for number in range(90, 94):
            await until(world, one, is_in(S.COMPLETED))
            await publish(world, one, number)
            made_by(world, number, max(task.job_id for task in all_tasks(world.store)))
            await lose(world, number)
            await asyncio.sleep(SWEEP_S)

        assert (await shown(world, one)).tasks == {T.FAILED: 2, T.DONE: 1}
        assert [r.view.stuck for r in await reported(world)] == [0, 0, 1]

    story(tell, script=lasts(5.0))


def test_inputs_of_a_task_that_was_taken_for_failed_are_processed_when_its_outputs_are_there() -> (
    None
):
    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 2))
        one = await added(world, **GIVEN, errors_max=1)
        await until(world, one, lambda v: v.inputs == {"events": {I.STUCK: 1}})
        await publish(world, one, 90)
        await asyncio.sleep(SWEEP_S)

        view = await shown(world, one)
        assert (view.tasks, view.inputs) == ({T.DONE: 1}, {"events": {I.PROCESSED: 1}})

    story(tell, script=lambda _: Script(duration_s=5.0, exit_code=3))


def test_what_failover_does_and_that_it_looks_are_metrics() -> None:
    async def tell(world: FakeInstallation) -> None:
        async def metrics() -> dict[str, float]:
            page = await world.central.services.metrics.page({})
            lines = [line.rsplit(" ", 1) for line in page.splitlines() if "failover" in line]
            return {name: float(value) for name, value in lines if not name.startswith("#")}

        await asyncio.sleep(CYCLE_S - 10.0)
        assert (await metrics())["pilotage_failover_cycle_age_seconds"] > CYCLE_S - 20.0
        await registered(world, range(1, 7))
        one = await added(world, **GIVEN, grouping={"size": 4})
        await until(world, one, is_in(S.COMPLETED))

        found = await metrics()
        assert found["pilotage_failover_cycle_age_seconds"] < CYCLE_S + 10.0
        assert found['pilotage_failover_decisions_total{do="flush"}'] == 1
        assert found["pilotage_failover_mail_fails_seconds"] == 0

    story(tell, script=lasts(5.0))


def test_a_task_keeps_off_the_host_that_failed_after_a_restart_too() -> None:
    hosts: list[str] = []

    def script(assignment: Assignment) -> Script:
        return Script(duration_s=100.0, exit_code=4 if len(hosts) == 0 else 0)

    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 2))
        one = await added(world, **GIVEN)
        await until(world, one, lambda v: v.tasks.get(T.FAILED) == 1)
        (first, second) = [task.job_id for task in all_tasks(world.store)]
        (bad,) = await world.store.read(job_records.attempts, first)
        await world.kill()
        await world.start()

        aside = world.central.memory.hosts.aside(bad.site, bad.host, world.clock.monotonic())
        assert second in aside
        others = world.central.memory.hosts.aside("other", bad.host, world.clock.monotonic())
        assert second not in others

    story(tell, script=script)


class Postman:
    """A mail server that is away at first."""

    def __init__(self, away: int) -> None:
        self.away, self.mails, self.tries = away, list[tuple[str, str, str]](), 0

    async def send(self, *, subject: str, text: str, key: str, to: Sequence[str] = ()) -> None:
        self.tries += 1
        await asyncio.sleep(1.0)
        if self.away:
            self.away -= 1
            raise NotMailed("connection refused")
        self.mails.append((subject, text, key))


def test_each_report_is_mailed_once_however_long_the_server_is_away() -> None:
    postman = Postman(away=3)

    async def tell(world: FakeInstallation) -> None:
        world.mailer = postman
        await world.kill()
        await world.start()
        await ready(world)
        await registered(world, range(1, 7))
        one = await added(world, **GIVEN, grouping={"size": 4})
        await until(world, one, is_in(S.COMPLETED))
        await asyncio.sleep(3_600.0)

        ((subject, text, key),) = postman.mails
        assert subject == "[pilotage] t: flushed (rule: flush a last small group)"
        assert "Saved   1 intervention; none stuck" in text
        assert key.startswith("report-")
        assert postman.tries == 4
        page = await world.central.services.metrics.page({})
        assert "\npilotage_failover_mail_fails_seconds 0.0\n" in page
        (report,) = await reported(world)
        assert report.view.mail.startswith("20")
        await world.kill()
        await world.start()
        await asyncio.sleep(3_600.0)
        assert postman.tries == 4

    story(tell, script=lasts(5.0))


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_await_a_cycle_neither_repeats_nor_forgets(seed: int) -> None:
    campaign(seed)


@pytest.mark.long
@pytest.mark.parametrize("start", range(0, 1_000, 100))
def test_killed_at_any_await_in_many_worlds(start: int) -> None:
    for seed in range(start, start + 100):
        campaign(seed)


def campaign(seed: int) -> None:
    """One world: tasks fail, groups stay small, and the central is killed while it looks."""
    chance = random.Random(seed)

    class SlowStore(MemoryStore):
        async def synced(self) -> None:
            await super().synced()
            await asyncio.sleep(chance.random() * 2.0)

    def script(assignment: Assignment) -> Script:
        fails = assignment.job % 3 == 0
        return Script(duration_s=chance.random() * 60.0, exit_code=4 if fails else 0)

    async def tell(world: FakeInstallation) -> None:
        await world.kill()
        world.settings = msgspec.structs.replace(
            world.settings,
            failover=msgspec.structs.replace(world.settings.failover, cycle_s=10.0),
        )
        world.store.__class__ = SlowStore
        await world.start()
        await ready(world)
        await registered(world, range(1, 12))
        one = await added(world, **GIVEN, grouping={"size": 3})
        for _ in range(25):
            await asyncio.sleep(chance.random() * 15.0)
            await world.kill()
            await world.start()
        await until(world, one, is_in(S.COMPLETED))
        await asyncio.sleep(60.0)

        flushes = (await world.store.read(failover_records.failover_rows, [one]))[one].flushes
        reports = [one.report for one in await reported(world)]
        failed = [task for task in all_tasks(world.store) if task.state is T.FAILED]
        told = sum(one["attempts"] for one in reports)
        assert told == len(failed), f"{told} failures were told, and {len(failed)} were"
        assert flushes <= 2
        assert flushes == sum(one["cause"] == "flush" for one in reports)
        states = {row.state for row in (await rows(world, one)).values()}
        assert states <= {I.PROCESSED, I.PROBLEMATIC, I.STUCK}

    story(tell, script=script)
