"""A whole central on fakes: what has failed is counted by class, for whom it concerns."""

import asyncio
import dataclasses

import msgspec

from pilotage.central.identity.callers import User
from pilotage.proto.api.failures import FailureLine
from pilotage.proto.claims import Role
from pilotage.proto.messages import How, Usage
from tests.integration.line.test_protocol import Scene, ended, scene, started

KEPT_S = 11.0  # counts are kept every ten seconds


async def failures(one: Scene, caller: User | None = None, **asked: object) -> list[FailureLine]:
    given: dict[str, object] = {"site": "", "group": "", "owner": "", "since": None, **asked}
    found = await one.world.central.services.series.failures(
        caller or one.world.user(),
        transformation=None,
        **given,  # type: ignore[arg-type]
    )
    return found.lines


async def fail(one: Scene, how: How = How.EXITED, code: int | None = 3, detail: str = "") -> int:
    """Let an attempt of a job fail; return the job."""
    held = await one.ask()
    report = ended(held, how=how, exit_code=code)
    await one.turn(dataclasses.replace(report, detail=detail, usage=Usage(wall_s=1.0)))
    return held.job


def test_attempts_are_counted_by_class_and_the_jobs_that_failed_with_them() -> None:
    async def tell(one: Scene) -> None:
        (first,) = await one.submit(retries=1)
        await fail(one)
        await fail(one)
        (second,) = await one.submit()
        await fail(one, How.MEMORY, None)
        (third,) = await one.submit()
        await fail(one, How.INPUT, None, "a:b: eos: no answer within 30 s")
        held = await one.ask()
        await one.turn(ended(held))
        await asyncio.sleep(KEPT_S)

        lines = {line.failure.value: line for line in await failures(one)}
        shown = {
            name: (line.site, line.attempts, line.jobs, line.examples, line.said)
            for name, line in lines.items()
        }
        assert shown == {
            "payload": ("PIC", 2, 1, (first,), "exit code 3"),
            "limit.memory": ("PIC", 1, 1, (second,), "memory"),
            "infra.data": ("PIC", 1, 0, (third,), "a:b: eos: no answer within N s"),
        }

    scene(tell)


def test_a_pilot_that_falls_silent_and_one_that_had_to_go_cost_a_class_and_no_job() -> None:
    async def tell(one: Scene) -> None:
        await one.submit(2)
        await fail(one, How.DRAINED, None)
        held = await one.ask()
        await one.turn(started(held))
        await asyncio.sleep(600)

        (line,) = await failures(one)
        assert (line.failure.value, line.attempts, line.jobs) == ("preempted", 2, 0)

    scene(tell)


def test_what_somebody_killed_has_not_failed() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        held = await one.ask()
        await one.turn(started(held))
        await one.kill(job)
        await one.turn(ended(held, how=How.KILLED, exit_code=None))
        await asyncio.sleep(KEPT_S)

        assert await failures(one) == []

    scene(tell)


def test_the_class_stands_beside_each_failed_attempt() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit(retries=1)
        await fail(one, How.EXITED, 127)
        held = await one.ask()
        await one.turn(ended(held))
        queries = one.world.central.services.queries

        detail = await queries.job(one.world.user(), job)
        history = await queries.history(one.world.user(), job)
        assert [attempt.failure for attempt in detail.attempts] == ["config", ""]
        assert [(line.event, line.failure) for line in history.occurrences if line.failure] == [
            ("exited", "config")
        ]

    scene(tell)


def test_failures_are_for_whom_the_jobs_are() -> None:
    async def tell(one: Scene) -> None:
        await one.submit()
        await fail(one)
        await asyncio.sleep(KEPT_S)
        me = one.world.user()
        stranger = msgspec.structs.replace(me, subject="eve", role=Role.USER)
        elsewhere = msgspec.structs.replace(me, community="other", role=Role.MANAGER)
        reader = msgspec.structs.replace(me, subject="ann", role=Role.READER)

        assert len(await failures(one)) == 1
        assert await failures(one, stranger) == []
        assert await failures(one, elsewhere) == []
        assert len(await failures(one, reader)) == 1
        assert len(await failures(one, owner=me.subject, site="PIC")) == 1
        assert await failures(one, owner="nobody") == []
        assert await failures(one, site="CSCS") == []
        assert await failures(one, since=one.world.clock.wall() + 7_200) == []

    scene(tell)


def test_counts_of_failures_outlive_a_death_of_the_central() -> None:
    async def tell(one: Scene) -> None:
        await one.submit()
        await fail(one)
        await asyncio.sleep(KEPT_S)
        await one.world.kill()
        await one.start()
        await one.submit()
        await fail(one)
        await asyncio.sleep(KEPT_S)

        (line,) = await failures(one)
        assert (line.attempts, line.jobs, len(line.examples)) == (2, 2, 2)

    scene(tell)
