"""Needs of waiting, held and failed jobs change, and what runs is what was asked for last."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.actions import Keep
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.record_types import JobMove
from pilotage.proto.api.jobs import Action, ActionName, ActionReply, JobDetail, JobFilter
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Assignment
from tests import virtual
from tests.fake_pilot import FakeProbe, Script
from tests.fakes import FakeInstallation
from tests.integration.line.test_on_fakes import (
    lasts,
    story,
    submission,
    submit,
    until_all_end,
)

NODE = FakeProbe(cores_all=2, memory_all_mb=4_000)
BIG = (Need(wall_s=3_600, memory_mb=9_000),)  # more than the node has


async def act(world: FakeInstallation, name: ActionName, *jobs: int, **fields: Any) -> ActionReply:
    action = Action(action=name, ids=jobs, **fields)
    return await world.central.services.control.act(world.user(), action)


async def change(world: FakeInstallation, *jobs: int, **fields: Any) -> ActionReply:
    return await act(world, ActionName.SET, *jobs, **fields)


async def detail(world: FakeInstallation, job: int) -> JobDetail:
    return await world.central.services.queries.job(world.user(), job)


async def needs_of(world: FakeInstallation, job: int) -> Need:
    found = (await detail(world, job)).job
    assert found is not None
    return found.needs[0]


def test_a_job_that_fits_nowhere_runs_once_its_memory_is_less() -> None:
    async def tell(world: FakeInstallation) -> None:
        first, second = await submit(world, submission(2, needs=BIG))
        await asyncio.sleep(100.0)
        reply = await change(world, first, needs={"memory_mb": 1_000})

        assert (reply.done, reply.refused) == (1, [])
        assert (await needs_of(world, first)).memory_mb == 1_000
        assert (await needs_of(world, second)).memory_mb == 9_000
        explained = await world.central.services.explainer.job(world.user(), first)
        assert explained.fitting == 1
        await asyncio.sleep(100.0)
        (attempt,) = (await detail(world, first)).attempts
        assert attempt.memory_mb == 1_000
        assert (await detail(world, second)).view.state is JobState.WAITING
        again = await act(world, ActionName.RESCHEDULE, first)
        assert again.done == 1
        assert (await needs_of(world, first)).memory_mb == 1_000, "it keeps what was changed"
        await world.kill()
        await world.start()
        assert (await change(world, second, times={"memory_mb": 0.1})).done == 1
        assert await until_all_end(world) == {JobState.DONE: 2}

    story(tell, script=lasts(30.0), node=NODE)


def test_jobs_that_have_begun_or_ended_are_refused_by_name_and_a_dry_run_does_nothing() -> None:
    async def tell(world: FakeInstallation) -> None:
        running, killed, held = await submit(world, submission(3))
        await act(world, ActionName.HOLD, held, reason="wrong seed")
        await act(world, ActionName.KILL, killed)
        (waiting,) = await submit(world, submission(1, needs=BIG))
        await asyncio.sleep(100.0)
        jobs, new = (running, killed, held, waiting), {"memory_mb": 20}
        would = await change(world, *jobs, needs=new, priority=7, dry_run=True)

        assert (await needs_of(world, held)).memory_mb == 0
        did = await change(world, *jobs, needs=new, priority=7)
        assert would == did
        assert (did.done, did.unchanged) == (2, 0)
        assert [one.message for one in did.refused] == [
            f"job {running}: a job that is Running cannot be changed",
            f"job {killed}: a job that is Killed cannot be changed",
        ]
        view = (await detail(world, held)).view
        assert (view.state, view.priority, view.reason) == (JobState.HELD, 7, "wrong seed")
        assert (await change(world, held, needs=new, priority=7)).unchanged == 1
        last = (await world.central.services.queries.history(world.user(), held)).occurrences[-1]
        assert (last.event, last.detail) == ("set", "memory_mb=20, priority=7")
        await act(world, ActionName.RELEASE, held)
        assert await until_all_end(world) == {JobState.DONE: 3, JobState.KILLED: 1}

    story(tell, script=lasts(300.0), node=NODE)


def test_failed_jobs_run_again_with_more_and_a_repeated_request_does_not_grow_them_twice() -> None:
    def script(assignment: Assignment) -> Script:
        is_enough = assignment.grant.memory_mb >= 2_000
        return Script(duration_s=10.0, exit_code=0 if is_enough else 1)

    async def tell(world: FakeInstallation) -> None:
        need = (Need(wall_s=3_600, memory_mb=1_000),)
        (failed,) = await submit(world, submission(1, needs=need))
        (done,) = await submit(world, submission(1, needs=(Need(wall_s=60, memory_mb=3_000),)))
        await until_all_end(world)
        action = {"times": {"memory_mb": 2}, "key": "twice as much"}
        reply = await act(world, ActionName.RETRY, failed, done, **action)

        assert await act(world, ActionName.RETRY, failed, done, **action) == reply
        assert (reply.done, len(reply.refused)) == (1, 1)
        assert reply.refused[0].message == f"job {done}: a job that is Done cannot be retried"
        assert (await needs_of(world, failed)).memory_mb == 2_000
        assert await until_all_end(world) == {JobState.DONE: 2}
        assert (await detail(world, failed)).view.round == 2

    story(tell, script=script, node=NODE)


def test_a_filter_changes_many_jobs_and_keeps_their_order() -> None:
    async def tell(world: FakeInstallation) -> None:
        await submit(world, submission(2))
        await asyncio.sleep(100.0)
        jobs = await submit(world, submission(2_500))
        some = JobFilter(states=(JobState.WAITING,))
        action = Action(
            action=ActionName.SET, filter=some, expected=2_500, needs={"cores_min": 2}, key="k"
        )
        reply = await world.central.services.control.act(world.user(), action)

        assert reply.done == 2_500
        queue = world.central.memory.queue
        (class_id,) = {
            one.class_id
            for one in (await world.store.write(job_records.standing, jobs[:1_000])).values()
        }
        assert queue.classes[class_id].spec.needs[0].cores_min == 2
        last = await world.central.services.explainer.job(world.user(), jobs[-1])
        assert last.ahead == 2_499
        await change(world, jobs[0], needs={"memory_mb": 1_000})
        await change(world, jobs[0], needs={"memory_mb": 0})
        first = await world.central.services.explainer.job(world.user(), jobs[0])
        assert first.ahead == 0, "it is back at its old place"

    story(tell, script=lasts(10_000.0), node=NODE)


def test_a_match_that_is_written_meanwhile_never_runs_with_the_old_needs() -> None:
    async def tell(world: FakeInstallation) -> None:
        from pilotage.central.dispatch import record as turn_records

        changed: list[int] = []

        async def turn(plain: Any, changes: Any, attempts: Any, *room: Any) -> Any:
            if attempts and not changed:
                changed.append(attempts[0].job_id)
                assert (await change(world, changed[0], needs={"memory_mb": 700})).done == 1
            return await plain(changes, attempts, *room)

        world.store.ways[turn_records.turn] = turn
        await submit(world, submission(1))
        assert await until_all_end(world) == {JobState.DONE: 1}
        (attempt,) = (await detail(world, changed[0])).attempts
        assert attempt.memory_mb == 700

    story(tell, script=lasts(30.0), node=NODE)


@pytest.mark.parametrize("before", [True, False])
def test_a_class_that_is_set_while_a_held_job_is_released_holds(before: bool) -> None:
    async def whole() -> None:
        world = FakeInstallation()
        await world.start()
        (job,) = await submit(world, submission(1))
        await act(world, ActionName.HOLD, job)
        told: list[bool] = []

        async def move(plain: Any, moves: Sequence[JobMove], keep: Keep | None = None) -> Any:
            if told:
                return await plain(moves, keep=keep)
            told.append(True)
            if before:
                await change(world, job, needs={"memory_mb": 700})
            done = await plain(moves, keep=keep)
            if not before:
                await change(world, job, needs={"memory_mb": 700})
            return done

        world.store.ways[job_records.move] = move
        await act(world, ActionName.RELEASE, job)

        standing = (await world.store.write(job_records.standing, [job]))[job]
        queue = world.central.memory.queue
        assert queue.classes[standing.class_id].spec.needs[0].memory_mb == 700
        assert queue.matcher.backlog.class_of(job).spec.class_id == standing.class_id
        await world.kill()

    virtual.run(whole(), limit_s=1_000)


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        (ActionName.SET, {}, "give new needs or a new priority"),
        (ActionName.KILL, {"needs": {"memory_mb": 8}}, "only 'set' and 'retry' change needs"),
        (ActionName.SET, {"needs": {"memory_mb": "8GB"}}, "needs.memory_mb"),
        (ActionName.RETRY, {"times": {"cores_min": 2}}, "times.cores_min"),
    ],
)
def test_a_wrong_request_is_refused_as_a_whole(
    name: ActionName, fields: dict[str, Any], said: str
) -> None:
    async def tell(world: FakeInstallation) -> None:
        (job,) = await submit(world, submission(1, needs=BIG))

        with pytest.raises(Refused, match=said):
            await act(world, name, job, **fields)
        await act(world, ActionName.KILL, job)

    story(tell, script=lasts(30.0), node=NODE)


def test_what_a_job_cannot_have_is_refused_for_this_job() -> None:
    async def tell(world: FakeInstallation) -> None:
        job = Job(command=("run",), needs=(Need(wall_s=60, cores_min=4),))
        (one,) = await submit(world, submission(1, needs=job.needs))
        reply = await change(world, one, needs={"cores_max": 2})

        assert (reply.done, len(reply.refused)) == (0, 1)
        assert reply.refused[0].message.startswith(f"job {one}: needs[0].cores_max: 2 must not be")
        await act(world, ActionName.KILL, one)

    story(tell, script=lasts(30.0), node=NODE)
