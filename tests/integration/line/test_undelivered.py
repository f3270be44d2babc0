"""A result that its pilot cannot deliver is seen by people within a minute, and why."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from pilotage.central.app.central import Central
from pilotage.central.app.route_assembly import face
from pilotage.central.errors import Refused
from pilotage.central.http.answers import problem
from pilotage.central.http.app import HttpApp
from pilotage.central.http.asgi import AsgiReceive, AsgiScope, AsgiSend
from pilotage.central.jobs.undelivered_results import OVER_WALL_S
from pilotage.central.operate.doctor.examination import results
from pilotage.central.operate.doctor.findings import Severity
from pilotage.proto.documents.job import Need
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Assignment, Beat, Undelivered
from pilotage.proto.problems import Code
from tests import virtual
from tests.fake_pilot import Script
from tests.fakes import FakeInstallation

from .test_on_fakes import submission, submit, until_all_end
from .test_protocol import Scene, of, scene, started

WITHIN_S = 60.0
RUNS_S = 100.0
WHY = "503 unavailable the way is blocked"


@dataclass
class Blocked(FakeInstallation):
    """Some requests of pilots are refused, as by a proxy in between; beats are not."""

    paths: tuple[str, ...] = ()
    logged: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, Any]])

    def __post_init__(self) -> None:
        super().__init__()

    def face(self, central: Central) -> HttpApp:
        front = face(central.services)

        async def answer(scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
            if any(scope["path"].startswith(one) for one in self.paths):
                refused = Refused(Code.UNAVAILABLE, "the way is blocked")
                await problem(refused)(scope, receive, send)
            else:
                await front(scope, receive, send)

        return cast(HttpApp, answer)

    async def metric(self, name: str) -> float:
        page = await self.central.services.metrics.page({})
        return next(
            float(one.split()[1]) for one in page.splitlines() if one.startswith(f"{name} ")
        )

    async def notes(self, job: int) -> str:
        return "; ".join((await self.central.services.explainer.job(self.user(), job)).notes)


def story(tell: Callable[[Blocked], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = Blocked()
        await world.start()
        script = Script(duration_s=RUNS_S, stdout=b"some output")
        pilot = await world.pilot("PIC", script=lambda _: script)
        life = asyncio.get_running_loop().create_task(pilot.agent().run())
        await tell(world)
        life.cancel()
        await asyncio.wait([life])
        await world.kill()

    virtual.run(whole(), limit_s=20_000.0)


async def _shown_within_a_minute(world: Blocked, job: int, why: str, since_s: float = 0.0) -> None:
    await asyncio.sleep(RUNS_S + WITHIN_S - since_s)
    oldest_s = await world.metric("pilotage_results_undelivered_oldest_seconds")
    health = world.central.services.health.health()
    notes = await world.notes(job)

    assert await world.metric("pilotage_results_undelivered") == health.undelivered == 1
    assert WITHIN_S - 5.0 < oldest_s < WITHIN_S + 5.0
    assert abs(health.undelivered_s - oldest_s) < 1.0
    assert results(health).level is Severity.WARNING
    assert f"and the pilot cannot deliver the result yet: {why}" in notes, notes


async def _gone_again(world: Blocked, job: int) -> None:
    world.paths = ()
    assert await until_all_end(world) == {JobState.DONE: 1}
    await asyncio.sleep(60.0)

    assert await world.metric("pilotage_results_undelivered") == 0
    assert results(world.central.services.health.health()).level is Severity.OK
    assert "deliver" not in await world.notes(job)


def test_a_file_that_cannot_be_uploaded_is_shown_within_a_minute_and_no_longer_than_it_lasts() -> (
    None
):
    async def tell(world: Blocked) -> None:
        world.paths = ("/v1/blobs/",)
        (job,) = await submit(world, submission(1))
        await _shown_within_a_minute(world, job, WHY)
        await _gone_again(world, job)

    story(tell)


def test_a_report_that_cannot_be_sent_is_shown_within_a_minute() -> None:
    async def tell(world: Blocked) -> None:
        (job,) = await submit(world, submission(1))
        await asyncio.sleep(5.0)  # it runs
        world.paths = ("/v1/report", "/v1/turn", "/v1/ask")
        await _shown_within_a_minute(world, job, WHY, since_s=5.0)
        await _gone_again(world, job)

    story(tell)


def test_outputs_that_take_long_are_shown_and_are_no_failure() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        held = await one.ask()
        late = Undelivered(held.job, held.epoch, 40.0)
        await _beat(one, held, late)
        await asyncio.sleep(5.0)
        services = one.world.central.services
        explained = await services.explainer.job(one.world.user(), job)

        assert "its payload ended 45 s ago; the pilot is bringing its outputs" in explained.notes
        assert services.health.health().undelivered == 0

    scene(tell)


def test_only_the_pilot_that_holds_an_attempt_is_heard_about_its_result() -> None:
    async def tell(one: Scene) -> None:
        await one.submit()
        held = await one.ask()
        strange = Undelivered(held.job, held.epoch + 1, 40.0, "not mine")
        await _beat(one, held, strange)

        assert one.world.central.services.health.health().undelivered == 0

    scene(tell)


def test_an_attempt_of_a_pilot_that_says_nothing_shows_once_its_wall_limit_is_long_over() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit(needs=(Need(wall_s=100),))
        held = await one.ask()
        await one.turn(started(held))
        shown = list[str]()
        for _ in range(2):
            for _ in range(13):  # within a lease each
                await asyncio.sleep(OVER_WALL_S / 20)
                await one.beat(of(held))
            shown.append("\n".join(await _notes(one, job)))

        assert "the pilot cannot deliver the result" not in shown[0]
        assert "its wall limit of 100 s passed long ago" in shown[1]

    scene(tell)


async def _notes(one: Scene, job: int) -> list[str]:
    return (await one.world.central.services.explainer.job(one.world.user(), job)).notes


async def _beat(one: Scene, held: Assignment, *late: Undelivered) -> None:
    one.beat_n += 1
    await one.world.central.services.dispatch.beat(
        one.caller,
        Beat(
            gen=one.gen,
            session=one.session,
            n=one.beat_n,
            closed=one.ask_n,
            holding=(of(held),),
            undelivered=late,
        ),
    )
