"""Bans, drains and kills: what operators say holds at once, also for pilots that come later."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.jobs import record as job_records
from pilotage.central.pilots import record as pilot_records, record_slots as slot_records
from pilotage.central.pilots.record_slots import NewSlot, SlotOutput
from pilotage.central.pilots.record_types import NewSecret
from pilotage.central.settings import MatcherSettings
from pilotage.central.store.errors import StoreFull
from pilotage.proto.api.jobs import JobFilter, JobView
from pilotage.proto.api.pilots import PilotEnd, PilotView
from pilotage.proto.api.sites import SiteAction, SiteActionName, SiteDetail
from pilotage.proto.claims import Role
from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.problems import Code
from tests import virtual
from tests.fake_pilot import FakePilot
from tests.fakes import FakeInstallation

from .test_on_fakes import lasts, submission, submit

BAN, DRAIN, ENABLE = SiteActionName.BAN, SiteActionName.DRAIN, SiteActionName.ENABLE


@dataclass
class Operator:
    """A central with pilots, and who speaks to it."""

    world: FakeInstallation
    lives: dict[str, asyncio.Task[int]] = field(default_factory=dict[str, asyncio.Task[int]])
    pilots: dict[str, FakePilot] = field(default_factory=dict[str, FakePilot])

    async def begin(self, site: str, *, job_s: float = 10.0) -> str:
        """Start a pilot and return its name."""
        before = {one.id for one in await self.all()}
        pilot = await self.world.pilot(site, script=lasts(job_s))
        life = asyncio.get_running_loop().create_task(pilot.agent().run())
        await asyncio.sleep(1.0)
        (name,) = {one.id for one in await self.all()} - before
        self.lives[name], self.pilots[name] = life, pilot
        return name

    async def all(self) -> list[PilotView]:
        page = await self.world.central.services.pilots.list(
            self.world.user(), states=(), site="", after="", limit=100
        )
        return page.pilots

    async def pilot(self, name: str) -> PilotView:
        return await self.world.central.services.pilots.get(self.world.user(), name)

    async def say(self, site: str, what: SiteActionName, *, element: str = "") -> SiteDetail:
        action = SiteAction(action=what, element=element, reason="broken disks")
        return await self.world.central.services.sites.act(self.world.user(), site, action)

    async def kill(self, name: str) -> None:
        order = PilotEnd(reason="test")
        await self.world.central.services.pilots.kill(self.world.user(), name, order)

    async def jobs(self) -> list[JobView]:
        page = await self.world.central.services.queries.search(
            self.world.user(), JobFilter(), 0, 1_000
        )
        return page.jobs

    async def restart(self) -> None:
        await self.world.kill()
        await self.world.start()


def story(
    tell: Callable[[Operator], Awaitable[None]], settings: MatcherSettings | None = None
) -> None:
    async def whole() -> None:
        world = FakeInstallation()
        if settings is not None:
            world.settings = msgspec.structs.replace(world.settings, matcher=settings)
        await world.start()
        operator = Operator(world)
        await tell(operator)
        for life in operator.lives.values():
            life.cancel()
        if operator.lives:
            await asyncio.wait(operator.lives.values())
        await world.kill()

    virtual.run(whole(), limit_s=20_000.0)


async def until(there: Callable[[], Awaitable[bool]], *, within_s: float = 600.0) -> None:
    for _ in range(int(within_s)):
        if await there():
            return
        await asyncio.sleep(1.0)
    raise AssertionError(f"not within {within_s:g} s")


def test_a_banned_site_runs_tests_alone_until_it_is_enabled_also_after_a_restart() -> None:
    async def tell(operator: Operator) -> None:
        await operator.begin("PIC")
        said = await operator.say("PIC", BAN)
        users = await submit(operator.world, submission(3))
        tests = await submit(operator.world, submission(2, type="Test"))

        async def tests_have_run() -> bool:
            states = {one.id: one.state for one in await operator.jobs()}
            return all(states[job] is JobState.DONE for job in tests)

        await until(tests_have_run)
        await operator.restart()
        await operator.begin("PIC")
        await asyncio.sleep(350.0)  # longer than a pilot waits before it asks again
        waiting = [one.state for one in await operator.jobs() if one.id in users]
        enabled = await operator.say("PIC", ENABLE)

        async def all_have_run() -> bool:
            return all(one.state is JobState.DONE for one in await operator.jobs())

        await until(all_have_run, within_s=120.0)  # nobody waits for the next look of a pilot

        assert said.view.banned
        assert [(one.place, one.mark, one.reason) for one in said.marks] == [
            ("PIC", "banned", "broken disks")
        ]
        assert waiting == [JobState.WAITING] * 3
        assert not enabled.view.banned
        assert enabled.marks == []

    story(tell)


def test_pilots_of_a_draining_site_finish_and_end_and_new_ones_get_nothing() -> None:
    async def tell(operator: Operator) -> None:
        busy = await operator.begin("PIC", job_s=300.0)
        (job,) = await submit(operator.world, submission(1))
        await asyncio.sleep(30.0)
        said = await operator.say("PIC", DRAIN, element="local")
        await submit(operator.world, submission(2))
        state = (await operator.pilot(busy)).state
        late = await operator.begin("PIC")

        async def both_have_ended() -> bool:
            states = [(await operator.pilot(one)).state for one in (busy, late)]
            return states == [PilotState.DONE] * 2

        await until(both_have_ended)
        states = {one.id: one.state for one in await operator.jobs()}

        assert said.told == 1
        assert said.view.draining_elements == ("local",)
        assert state is PilotState.DRAINING
        assert states.pop(job) is JobState.DONE
        assert set(states.values()) == {JobState.WAITING}

    story(tell)


def test_a_drain_that_the_store_failed_in_the_middle_of_is_mended_by_the_next() -> None:
    async def tell(operator: Operator) -> None:
        names = [await operator.begin("PIC") for _ in range(3)]
        store, moved = operator.world.store, list[str]()

        async def second_fails(
            move_pilot: Any, pilot: str, old: PilotState, new: PilotState, at: float, reason: str
        ) -> Any:
            moved.append(pilot)
            if len(moved) == 2:
                raise StoreFull("no room")
            return await move_pilot(pilot, old, new, at, reason)

        store.ways[pilot_records.move_pilot] = second_fails
        with pytest.raises(StoreFull):
            await operator.say("PIC", DRAIN)
        halfway = await operator.say("PIC", DRAIN)

        async def all_have_ended() -> bool:
            return {(await operator.pilot(one)).state for one in names} == {PilotState.DONE}

        await until(all_have_ended)

        assert halfway.told == 2
        assert sorted(moved[:2] + moved[2:4]) == sorted([*names, moved[1]])

    story(tell)


def test_a_killed_pilot_ends_at_once_and_its_job_runs_elsewhere_without_a_retry() -> None:
    async def tell(operator: Operator) -> None:
        first = await operator.begin("PIC", job_s=50_000.0)
        await submit(operator.world, submission(1))
        await asyncio.sleep(30.0)
        await operator.begin("CSCS", job_s=5.0)
        await operator.kill(first)
        view = await operator.pilot(first)

        async def has_run() -> bool:
            return all(one.state is JobState.DONE for one in await operator.jobs())

        await until(has_run, within_s=100.0)  # less than a lease
        ended = await operator.pilot(first)

        assert view.state is PilotState.DRAINING
        assert "killed by" in view.reason
        assert view.reason.endswith("test")
        assert ended.state is PilotState.DONE
        assert "killed by" in ended.reason
        (job,) = await operator.jobs()
        stopped, *_ = await operator.world.store.read(job_records.attempts, job.id)
        assert stopped.detail == view.reason  # by whom, and why
        assert operator.lives[first].result() == 0

    story(tell)


def test_a_pilot_that_has_not_begun_is_aborted_and_may_never_begin() -> None:
    async def tell(operator: Operator) -> None:
        pilot = await operator.world.pilot("PIC", script=lasts(1.0))
        (view,) = await operator.all()
        await operator.kill(view.id)
        code = await pilot.agent().run()
        killed = await operator.pilot(view.id)
        with pytest.raises(Refused) as again:
            await operator.kill(view.id)

        assert (killed.state, killed.registered_at) == (PilotState.ABORTED, "")
        assert killed.ended_at
        assert code != 0
        assert again.value.code is Code.ILLEGAL_STATE

    story(tell)


def test_a_pilot_that_its_site_ends_is_shown_draining_while_it_finishes() -> None:
    async def tell(operator: Operator) -> None:
        pilot = await operator.world.pilot("PIC", script=lasts(400.0))
        agent = pilot.agent()
        (view,) = await operator.all()
        operator.lives[view.id] = asyncio.get_running_loop().create_task(agent.run())
        await submit(operator.world, submission(1))
        await asyncio.sleep(30.0)
        agent.drain("SIGTERM")

        async def is_draining() -> bool:
            return (await operator.pilot(view.id)).state is PilotState.DRAINING

        await until(is_draining, within_s=100.0)
        reason = (await operator.pilot(view.id)).reason

        async def has_ended() -> bool:
            return (await operator.pilot(view.id)).state is PilotState.DONE

        await until(has_ended)
        (job,) = await operator.jobs()

        assert reason == "ordered to drain at its site"
        assert job.state is JobState.DONE

    story(tell)


def test_what_the_settings_ban_is_not_lifted_by_a_word() -> None:
    async def tell(operator: Operator) -> None:
        with pytest.raises(Refused, match=r"matcher\.banned"):
            await operator.say("LAPP", ENABLE)
        with pytest.raises(Refused, match="did you mean LAPP"):
            await operator.say("LAP", BAN)
        await operator.begin("PIC")
        await operator.say("PIC", DRAIN)
        with pytest.raises(Refused, match="enable the site first"):
            await operator.say("PIC", ENABLE, element="local")
        shown = await operator.world.central.services.sites.show(operator.world.user(), "LAPP")

        assert shown.view.banned
        assert [(one.place, one.who) for one in shown.marks] == [("LAPP", "settings")]

    story(tell, MatcherSettings(banned=("LAPP",)))


def test_operators_see_what_the_script_of_a_pilot_printed_and_others_do_not() -> None:
    async def tell(operator: Operator) -> None:
        world = operator.world
        secret = NewSecret(
            secret_hash="h",
            pilot="pic-1",
            community="ctao",
            site="PIC",
            element="slurm",
            expires_at=2_000_000_000.0,
            made_by="factory",
            at=1.0,
        )
        await world.store.write(slot_records.add_slots, [NewSlot(secret=secret, shape="shape 0")])
        await world.store.write(slot_records.place_slots, {"pic-1": "77"})
        output = SlotOutput(exit_code=23, stdout=b"one\n", stderr=b"no python\xff\n")
        await world.store.write(slot_records.keep_output, "pic-1", output)
        reader = msgspec.structs.replace(world.user(), role=Role.READER)
        seen = await operator.pilot("pic-1")
        hidden = await world.central.services.pilots.get(reader, "pic-1")

        assert (seen.slot, seen.exit_code, seen.stdout) == ("77", 23, "one\n")
        assert seen.stderr == "no python\N{REPLACEMENT CHARACTER}\n"
        assert (hidden.slot, hidden.exit_code) == ("77", 23)
        assert (hidden.stdout, hidden.stderr) == ("", "")

    story(tell)
