"""Logs of pilots at the central, on fakes: taken from whose they are, read by whom they concern."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.callers import PilotCaller, User
from pilotage.central.pilots import record_logs as log_records
from pilotage.central.pilots.logs import BURST_BYTES, LOOK_EVERY, NAMES_MAX, RATE_BYTES_S
from pilotage.central.settings import RetentionSettings
from pilotage.proto.api.pilots import PilotLogFilter, PilotLogPage, SecretRequest
from pilotage.proto.claims import Role
from pilotage.proto.messages import (
    Ask,
    Assignment,
    Beat,
    Node,
    Offer,
    PilotLine,
    PilotLog,
    Register,
    Turn,
)
from pilotage.proto.problems import Code
from tests import virtual
from tests.fakes import FakeInstallation

from .test_on_fakes import submission, submit

OFFER = Offer(cores=4, cores_free=4, memory_mb=8_000, memory_free_mb=8_000, wall_left_s=90_000)


def line(n: int, event: str = "ended", **fields: object) -> PilotLine:
    return PilotLine(n=n, ago_s=0.0, event=event, **fields)  # type: ignore[arg-type]


class Talker:
    """A pilot that says what a test lets it say."""

    def __init__(self, world: FakeInstallation) -> None:
        self.world, self.asked = world, 0

    async def join(self, site: str = "PIC", batch_id: str = "") -> "Talker":
        pilots = self.world.central.services.pilots
        made = await pilots.make_secrets(self.world.user(), SecretRequest(site=site))
        node = Node(host=f"wn.{site.lower()}", batch_id=batch_id)
        self.me = await pilots.register(Register(made.secrets[0].secret, "n", node=node))
        self.caller = PilotCaller(
            pilot=self.me.pilot, community=self.me.community, site=site, element=self.me.element
        )
        return self

    async def say(self, *lines: PilotLine, gen: str = "", session: int = 0) -> int:
        said = PilotLog(gen or self.me.gen, session or self.me.session, lines)
        return (await self.world.central.services.pilot_logs.keep(self.caller, said)).n

    async def take(self) -> Assignment:
        """Take a job."""
        self.asked += 1
        turn = Turn(self.me.gen, self.me.session, ask=Ask(n=self.asked, offer=OFFER))
        reply = await self.world.central.services.dispatch.turn(self.caller, turn)
        assert reply.ask is not None
        return reply.ask.assignments[0]

    async def leave(self) -> None:
        beat = Beat(self.me.gen, self.me.session, n=1, goodbye=True)
        await self.world.central.services.dispatch.beat(self.caller, beat)


async def read(
    world: FakeInstallation,
    *,
    by: User | None = None,
    after: int | None = None,
    limit: int = 100,
    **wanted: object,
) -> PilotLogPage:
    asked = PilotLogFilter(**wanted)  # type: ignore[arg-type]
    return await world.central.services.pilot_logs.read(by or world.user(), asked, after, limit)


async def said(world: FakeInstallation, **how: object) -> list[str]:
    page = await read(world, **how)  # type: ignore[arg-type]
    return [f"{one.event} {one.text}".strip() for one in page.lines]


def tell(
    story: Callable[[FakeInstallation], Awaitable[None]], settings: RetentionSettings | None = None
) -> None:
    async def whole() -> None:
        world = FakeInstallation()
        if settings is not None:
            world.settings = msgspec.structs.replace(world.settings, retention=settings)
        await world.start()
        try:
            await story(world)
        finally:
            await world.kill()

    virtual.run(whole(), limit_s=1_000_000.0)


def a_user(world: FakeInstallation, role: Role, subject: str, **fields: object) -> User:
    return msgspec.structs.replace(world.user(), role=role, subject=subject, **fields)


def test_lines_are_found_by_pilot_site_host_batch_id_job_word_and_warning() -> None:
    async def story(world: FakeInstallation) -> None:
        await submit(world, submission(1))
        one = await Talker(world).join("PIC", batch_id="4711")
        other = await Talker(world).join("CSCS")
        got = await one.take()
        await one.say(
            line(1, "pilot_started"),
            line(2, "assigned", attempt_id=got.attempt_id),
            line(3, "work_failed", text="No space left", warning=True),
        )
        await other.say(line(1, "bus_down"))

        everything = ["pilot_started", "assigned", "work_failed No space left", "bus_down"]
        assert await said(world) == everything
        assert await said(world, pilot=one.me.pilot) == everything[:3]
        assert await said(world, site="CSCS") == everything[3:]
        assert await said(world, host="wn.cscs") == everything[3:]
        assert await said(world, batch_id="4711") == everything[:3]
        assert await said(world, job=got.job) == ["assigned"]
        assert await said(world, grep="SPACE") == ["work_failed No space left"]
        assert await said(world, grep="bus_") == ["bus_down"]
        assert await said(world, warnings=True) == ["work_failed No space left"]
        assert await said(world, pilot="nobody") == []

    tell(story)


def test_pages_go_on_line_by_line_and_a_follower_misses_and_repeats_nothing() -> None:
    async def story(world: FakeInstallation) -> None:
        pilot = await Talker(world).join()
        for first in range(1, 60, 4):
            await pilot.say(*(line(n, text=str(n)) for n in range(first, first + 4)))
        found, after, more = list[str](), 0, True
        while more:
            page = await read(world, after=after, limit=7)
            found += [one.text for one in page.lines]
            after, more = page.after, page.more
        assert found == [str(n) for n in range(1, 61)]

        newest = await read(world, limit=5)
        assert [one.text for one in newest.lines] == ["56", "57", "58", "59", "60"]
        assert (await read(world, after=newest.after)).lines == []
        await pilot.say(line(61, text="61"))
        page = await read(world, after=newest.after)
        assert [one.text for one in page.lines] == ["61"]
        assert (await read(world, after=page.after)).lines == []

    tell(story)


def test_since_shows_what_was_written_then_or_later() -> None:
    async def story(world: FakeInstallation) -> None:
        pilot = await Talker(world).join()
        await pilot.say(line(1, text="old"))
        await asyncio.sleep(100.0)
        since = world.clock.wall()
        await asyncio.sleep(10.0)
        late = PilotLine(n=2, ago_s=60.0, event="ended", text="told late")
        await pilot.say(late, line(3, text="new"))

        assert await said(world, since=since) == ["ended new"]
        assert len(await said(world, since=0.0)) == 3

    tell(story)


def test_what_comes_again_is_kept_once_also_after_a_restart_of_the_central() -> None:
    async def story(world: FakeInstallation) -> None:
        pilot = await Talker(world).join()
        assert await pilot.say(line(1), line(2)) == 2
        assert await pilot.say(line(1), line(2)) == 2
        await world.kill()
        await world.start()
        assert await pilot.say(line(2), line(3)) == 3

        assert len(await said(world)) == 3

    tell(story)


def test_a_pilot_writes_nothing_into_the_log_of_a_job_that_was_never_its_own() -> None:
    async def story(world: FakeInstallation) -> None:
        await submit(world, submission(1))
        honest, hostile = await Talker(world).join(), await Talker(world).join()
        got = await honest.take()
        await hostile.say(line(1, text="forged", attempt_id=got.attempt_id))
        await honest.say(line(1, text="true", attempt_id=got.attempt_id))

        page = await read(world, job=got.job)
        assert [(one.pilot, one.text) for one in page.lines] == [(honest.me.pilot, "true")]
        assert await said(world, pilot=hostile.me.pilot) == ["ended forged"]
        assert (await read(world, pilot=hostile.me.pilot)).lines[0].job is None

    tell(story)


def test_the_last_lines_come_after_the_good_bye_and_those_of_another_life_are_refused() -> None:
    async def story(world: FakeInstallation) -> None:
        pilot = await Talker(world).join()
        await pilot.leave()
        assert await pilot.say(line(1, "pilot_ended")) == 1
        for gen, session, code in (("", 7, Code.OLD_SESSION), ("another", 0, Code.OTHER_STORE)):
            with pytest.raises(Refused) as refused:
                await pilot.say(line(2), gen=gen, session=session)
            assert refused.value.code is code

        assert await said(world) == ["pilot_ended"]

    tell(story)


def test_events_are_counted_by_name_and_names_have_an_end() -> None:
    async def story(world: FakeInstallation) -> None:
        pilot = await Talker(world).join()
        await pilot.say(line(1, "bus_down"), line(2, "bus_down"))
        for first in range(3, 1_000, 100):
            await pilot.say(*(line(n, f"event {n}") for n in range(first, first + 100)))
        page = await world.central.services.metrics.page({})

        assert 'pilotage_pilot_events_total{event="bus_down"} 2' in page
        assert len(world.central.memory.told) == NAMES_MAX + 1
        assert (
            f"pilotage_pilot_log_bytes {await world.store.read(log_records.pilot_log_bytes)}"
            in page
        )

    tell(story)


def test_lines_whose_numbers_do_not_grow_are_refused_by_name() -> None:
    async def story(world: FakeInstallation) -> None:
        pilot = await Talker(world).join()
        with pytest.raises(Refused) as refused:
            await pilot.say(line(2), line(2))

        assert refused.value.field == "$.lines[1].n"

    tell(story)


def test_who_may_read_what() -> None:
    async def story(world: FakeInstallation) -> None:
        await submit(world, submission(1))
        pilot = await Talker(world).join()
        got = await pilot.take()
        await pilot.say(line(1, text="of all"), line(2, text="own", attempt_id=got.attempt_id))
        owner = a_user(world, Role.USER, world.user().subject)
        eve = a_user(world, Role.USER, "eve")
        manager = a_user(world, Role.MANAGER, "mia", groups=("dpps",))
        stranger = a_user(world, Role.MANAGER, "max", groups=("other",))
        foreign = a_user(world, Role.OPERATOR, "otto", community="lhcb")
        operator = a_user(world, Role.OPERATOR, "olga", community="")

        for one in (owner, manager):
            assert await said(world, by=one, job=got.job) == ["ended own"]
        for one, job, code in (
            (owner, None, Code.FORBIDDEN),
            (manager, None, Code.FORBIDDEN),
            (eve, got.job, Code.NOT_FOUND),
            (stranger, got.job, Code.NOT_FOUND),
        ):
            with pytest.raises(Refused) as refused:
                await read(world, by=one, job=job, pilot=pilot.me.pilot)
            assert refused.value.code is code
        assert await said(world, by=foreign) == await said(world, by=foreign, job=got.job) == []
        assert await said(world, by=operator) == ["ended of all", "ended own"]

    tell(story)


def test_a_pilot_that_says_too_much_is_held_back_and_its_oldest_lines_make_room() -> None:
    settings = RetentionSettings(pilot_log_mb_a_pilot=0.01)

    async def story(world: FakeInstallation) -> None:
        pilot = await Talker(world).join()
        other = await Talker(world).join()
        await other.say(line(1, text="other"))
        n = 0
        with pytest.raises(Refused) as refused:
            while True:
                n += 1
                await pilot.say(line(n, text=f"{n} " + "x" * 4_000))
        assert refused.value.code is Code.TOO_MANY
        assert n == pytest.approx(BURST_BYTES / 4_550, rel=0.05)
        assert await world.store.read(log_records.pilot_log_bytes) < 12_000
        assert (await said(world, limit=1000))[-1].startswith(f"ended {n - 1} ")
        assert await said(world, pilot=other.me.pilot) == ["ended other"]
        await asyncio.sleep(5_000 / RATE_BYTES_S)
        assert await pilot.say(line(n, text="again")) == n
        await other.say(line(2, text="was never held back"))

    tell(story, settings)


def test_all_logs_together_are_bounded_and_old_ones_go() -> None:
    settings = RetentionSettings(pilot_log_mb=0.3, pilot_log_days=0.01, round_s=300.0)

    async def story(world: FakeInstallation) -> None:
        pilots = [await Talker(world).join() for _ in range(6)]
        for pilot in pilots:
            for n in range(1, LOOK_EVERY + 1):
                await pilot.say(line(n, text="x" * 800))
        assert await world.store.read(log_records.pilot_log_bytes) <= 300_000
        assert await said(world, pilot=pilots[-1].me.pilot, limit=1) != []
        await asyncio.sleep(2_000.0)

        assert await world.store.read(log_records.pilot_log_bytes) == 0

    tell(story, settings)
