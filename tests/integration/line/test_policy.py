"""Shares and limits of the settings, from the asks of pilots to the ends of attempts."""

import asyncio

import msgspec
import pytest

from pilotage.central.dispatch.limits import LimitService, Policy
from pilotage.central.errors import Refused
from pilotage.central.settings import BadSetting, MatcherSettings
from pilotage.matcher.rules import RunningLimit
from pilotage.proto.claims import Role
from tests import virtual
from tests.fakes import FakeInstallation

from .test_on_fakes import lasts, submission, submit, until_all_end

LIMIT = MatcherSettings(running=(RunningLimit(where="PIC", by="type", value="User", most=2),))


async def world_of(settings: MatcherSettings) -> FakeInstallation:
    world = FakeInstallation()
    world.settings = msgspec.structs.replace(world.settings, matcher=settings)
    await world.start()
    return world


def most_at_once(world: FakeInstallation) -> int:
    """Return how many payloads ran at once, by what the guards saw."""
    steps = sorted(
        (at, step)
        for pilot in world.pilots
        for _, begin, end in pilot.guard.runs
        for at, step in ((begin, 1), (end, -1))
    )
    running = most = 0
    for _, step in steps:
        running += step
        most = max(most, running)
    return most


def test_no_more_jobs_run_at_a_site_than_its_limit_lets_also_after_a_restart() -> None:
    async def whole() -> int:
        world = await world_of(LIMIT)
        lives: list[asyncio.Task[int]] = []
        for _ in range(3):
            pilot = await world.pilot("PIC", script=lasts(100.0))
            lives.append(asyncio.get_running_loop().create_task(pilot.agent().run()))
        await submit(world, submission(8))
        await asyncio.sleep(150.0)
        await world.kill()
        await world.start()
        await until_all_end(world)
        for life in lives:
            life.cancel()
        await asyncio.wait(lives)
        most = most_at_once(world)
        matcher = world.central.memory.queue.matcher
        assert not matcher.attempts.by_job
        assert [limit.room for limit in matcher.limits.all()] == [2.0]
        await world.kill()
        return most

    most = virtual.run(whole(), limit_s=20_000.0)

    assert most == 2


@pytest.mark.parametrize("duration_s", [10.0, 500.0])
def test_an_owner_pays_what_an_attempt_used_and_not_what_it_asked_for(duration_s: float) -> None:
    async def whole() -> float:
        world = await world_of(MatcherSettings())
        pilot = await world.pilot("PIC", script=lasts(duration_s))
        life = asyncio.get_running_loop().create_task(pilot.agent().run())
        await submit(world, submission(1))
        await until_all_end(world)
        life.cancel()
        await asyncio.wait([life])
        matcher = world.central.memory.queue.matcher
        (level,) = [
            level
            for path, level in matcher.levels(world.clock.monotonic()).items()
            if path.count("/") == 2
        ]
        await world.kill()
        return level

    level = virtual.run(whole(), limit_s=20_000.0)

    assert level == pytest.approx(duration_s, rel=0.05, abs=2.0)


class Read:
    """What a file of settings says, and what was logged when it was read."""

    def __init__(self) -> None:
        self.says: MatcherSettings | BadSetting = LIMIT
        self.events: list[tuple[str, dict[str, object]]] = []

    async def __call__(self) -> MatcherSettings:
        if isinstance(self.says, BadSetting):
            raise self.says
        return self.says

    def log(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))


def running_now(world: FakeInstallation) -> int:
    return len(world.central.memory.queue.matcher.attempts.by_job)


def test_a_limit_changes_without_a_restart_and_a_bad_file_leaves_it_as_it_is() -> None:
    async def whole() -> None:
        world, read = await world_of(LIMIT), Read()
        policy = Policy(LIMIT, read, read.log)
        policy.lead(world.central.memory.queue)
        lives: list[asyncio.Task[int]] = []
        for _ in range(3):
            pilot = await world.pilot("PIC", script=lasts(100.0))
            lives.append(asyncio.get_running_loop().create_task(pilot.agent().run()))
        await submit(world, submission(8))
        await asyncio.sleep(50.0)
        assert running_now(world) == 2
        read.says = BadSetting("pilotage.yaml:3", "most: no number")
        assert await policy.read_again("SIGHUP") == "pilotage.yaml:3: most: no number"
        await asyncio.sleep(10.0)
        assert running_now(world) == 2
        read.says = MatcherSettings(shares={"ctao/sim": 3.0})
        assert await policy.read_again("SIGHUP") == ""
        await asyncio.sleep(10.0)
        assert running_now(world) > 2
        read.says = LIMIT
        assert await policy.read_again("SIGHUP") == ""
        await until_all_end(world)
        for life in lives:
            life.cancel()
        await asyncio.wait(lives)
        assert [limit.room for limit in world.central.memory.queue.matcher.limits.all()] == [2.0]
        await world.kill()
        assert [(event, fields.get("changed")) for event, fields in read.events] == [
            ("limits_refused", None),
            ("limits_read", ["shares", "running"]),
            ("limits_read", ["shares", "running"]),
        ]

    virtual.run(whole(), limit_s=20_000.0)


def test_what_was_read_while_a_process_stood_by_counts_when_it_leads() -> None:
    async def whole() -> None:
        read = Read()
        policy = Policy(MatcherSettings(), read, read.log)
        await policy.read_again("SIGHUP")
        read.says = BadSetting("pilotage.yaml:3", "most: no number")
        await policy.read_again("take-over")
        world = await world_of(MatcherSettings())
        policy.lead(world.central.memory.queue)

        assert world.central.memory.queue.matcher.rules.running == LIMIT.running
        await world.kill()

    virtual.run(whole(), limit_s=20_000.0)


def test_a_reading_says_which_settings_count_for_nobody() -> None:
    async def whole() -> None:
        read, looked = Read(), list[MatcherSettings]()

        async def unknown_of(settings: MatcherSettings) -> list[tuple[str, str]]:
            looked.append(settings)
            return [(f"matcher.shares.{one}", "no group") for one in settings.shares]

        world = await world_of(MatcherSettings())
        policy = Policy(MatcherSettings(), read, read.log)
        policy.lead(world.central.memory.queue, unknown_of)
        read.says = MatcherSettings(shares={"ctao/dpsp": 3.0})
        await policy.read_again("SIGHUP")

        assert looked == [policy.settings], "it is asked of what is in force now"
        assert policy.unknown == ("matcher.shares.ctao/dpsp: no group",)
        assert read.events[1:] == [
            ("matcher_unknown", {"setting": "matcher.shares.ctao/dpsp", "why": "no group"})
        ]
        read.says = MatcherSettings()
        await policy.read_again("SIGHUP")
        assert not list(policy.unknown), "what was wrong is not said for ever"
        policy.unknown = ("matcher.shares.ctao/dpsp: no group",)
        ours = LimitService(policy, world.central.memory.queue, ["ctao"])
        shared = LimitService(policy, world.central.memory.queue, ["ctao", "lhcb"])
        admin = msgspec.structs.replace(world.user(), community="ctao")
        user = msgspec.structs.replace(admin, role=Role.USER)
        assert (await ours.show(admin)).unknown == policy.unknown, "its one community is ours"
        assert (await shared.show(admin)).unknown == (await ours.show(user)).unknown == ()
        await world.kill()

    virtual.run(whole(), limit_s=20_000.0)


def test_a_submission_runs_no_more_jobs_at_once_than_it_asked_for_also_after_a_restart() -> None:
    async def whole() -> tuple[int, int]:
        world = await world_of(MatcherSettings())
        lives: list[asyncio.Task[int]] = []
        for site in ("PIC", "CSCS", "LAPP"):
            pilot = await world.pilot(site, script=lasts(100.0))
            lives.append(asyncio.get_running_loop().create_task(pilot.agent().run()))
        await submit(world, msgspec.structs.replace(submission(8), running_max=2))
        await asyncio.sleep(150.0)
        before = running_now(world)
        assert (await world.central.services.queries.job(world.user(), 1)).running_max == 2
        await world.kill()
        await world.start()
        await until_all_end(world)
        for life in lives:
            life.cancel()
        await asyncio.wait(lives)
        await world.kill()
        return before, most_at_once(world)

    assert virtual.run(whole(), limit_s=20_000.0) == (2, 2)


def test_limits_are_shown_with_what_counts_for_them_and_are_read_when_an_operator_says_so() -> None:
    async def whole() -> None:
        world, read = FakeInstallation(), Read()
        world.settings = msgspec.structs.replace(world.settings, matcher=LIMIT)
        world.policy = Policy(LIMIT, read, read.log)
        await world.start()
        world.policy.lead(world.central.memory.queue)
        pilot = await world.pilot("PIC", script=lasts(100.0))
        life = asyncio.get_running_loop().create_task(pilot.agent().run())
        await submit(world, submission(1))
        await asyncio.sleep(20.0)
        service, caller = world.central.services.limits, world.user()

        shown = await service.show(caller)
        assert [(it.where, it.value, it.most, it.running) for it in shown.limits] == [
            ("PIC", "User", 2, 1)
        ]
        read.says = MatcherSettings(
            shares={f"{caller.community}/sim": 3.0, "other/sim": 2.0},
            running=(RunningLimit(by="owner", value="ada", most=7),),
        )
        shown = await service.read(caller)
        assert [(it.where, it.community, it.most) for it in shown.limits] == [
            ("", caller.community, 7)
        ]
        assert f"{caller.community}/sim" in shown.shares
        read.says = BadSetting("pilotage.yaml:3", "most: no number")
        with pytest.raises(Refused, match="most: no number; shares and limits stay unchanged"):
            await service.read(caller)
        shown = await service.show(caller)
        assert (shown.limits[0].most, shown.trouble) == (7, "pilotage.yaml:3: most: no number")
        assert read.events[-1][1]["by"] == caller.subject
        life.cancel()
        await asyncio.wait([life])
        await world.kill()

    virtual.run(whole(), limit_s=20_000.0)


def test_each_signal_has_the_file_read_again() -> None:
    async def whole() -> list[str]:
        read = Read()
        policy = Policy(MatcherSettings(), read, read.log)
        following = asyncio.get_running_loop().create_task(policy.follow())
        await asyncio.sleep(1.0)
        assert not read.events
        for says in (BadSetting("pilotage.yaml:3", "most: no number"), LIMIT):
            read.says = says
            policy.ask()
            await asyncio.sleep(1.0)
        following.cancel()
        await asyncio.wait([following])
        assert policy.settings.running == LIMIT.running
        return [event for event, _ in read.events]

    assert virtual.run(whole(), limit_s=100.0) == ["limits_refused", "limits_read"]
