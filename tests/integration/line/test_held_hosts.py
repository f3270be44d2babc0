"""What is held against hosts outlives the central: the shipped one on fakes, killed and begun."""

import pytest

from pilotage.central.dispatch.excluded_places import KEEP_EVERY_S, ExcludedPlaces
from pilotage.central.sites import record as mark_records
from pilotage.central.sites.record import SuspendedPlace
from pilotage.central.sites.suspended_hosts import HostFailure, SuspendedHosts
from pilotage.central.store.errors import StoreFull
from pilotage.proto.api.sites import HostView
from pilotage.proto.messages import How
from tests.memory_store import MemoryStore

from .test_hosts import Scene, Voice, scene

AGO_S = 7_000.0


class MovedClock:
    """Two clocks that a test moves, which do not begin together."""

    def __init__(self, monotonic: float, wall: float) -> None:
        self.at, self.ahead_s = monotonic, wall - monotonic

    def monotonic(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


async def of_pic(one: Scene) -> list[HostView]:
    services = one.world.central.services
    return (await services.sites.show(one.world.user(), "PIC")).hosts


def test_a_host_that_is_held_gets_its_canary_after_a_restart_and_no_job_before() -> None:
    async def tell(one: Scene) -> None:
        await one.submit(20, "maria")
        await one.submit(20, "jorge")
        await one.swallow()
        (before,) = await of_pic(one)
        await one.world.clock.sleep(100)
        await one.world.kill()
        await one.world.clock.sleep(100)
        await one.world.start()
        (after,) = await of_pic(one)
        voice = await Voice(one.world, "wn0").start()
        at_once = await voice.ask()
        await one.world.clock.sleep(401)
        canary = await voice.ask(jobs_max=4)
        await voice.does_well(canary[0])
        well = await voice.ask(jobs_max=4)
        await one.world.clock.sleep(2 * KEEP_EVERY_S)
        await one.world.kill()
        await one.world.start()

        assert (after.host, after.state, after.reason) == ("wn0", "suspended", before.reason)
        assert (after.jobs, after.owners) == (before.jobs, before.owners)
        assert after.left_s == pytest.approx(before.left_s - 200, abs=2)
        assert after.since_s == pytest.approx(before.since_s + 200, abs=2)
        assert at_once == ()
        assert (len(canary), len(well)) == (1, 4)
        assert await of_pic(one) == []

    scene(tell)


def a_held(name: str, wall: float, **other: object) -> SuspendedPlace:
    usual: dict[str, object] = {
        "kind": "element",
        "site": "PIC",
        "name": name,
        "since": wall - AGO_S,
        "until": wall + 60.0,
        "pause_s": 600.0,
        "why": "exit code 127",
    }
    return SuspendedPlace(**{**usual, **other})  # type: ignore[arg-type]


async def test_times_follow_the_wall_clock_and_never_hold_for_longer_than_a_pause() -> None:
    clock, store, hosts = MovedClock(50.0, 1e9), MemoryStore(), SuspendedHosts()
    await store.write(
        mark_records.keep_held, [a_held("near", 1e9), a_held("far", 1e9, until=1e9 + 1e6)]
    )
    await ExcludedPlaces(store, hosts, clock).restore()
    _, shown = hosts.shown()

    assert {one.place[1]: one.until - 50.0 for one in shown} == {"near": 60.0, "far": 600.0}
    assert [one.since for one in shown] == [50.0 - AGO_S] * 2
    assert hosts.room_of_element("PIC", "near", 100.0) == 0
    assert hosts.room_of_element("PIC", "near", 111.0) == 1


async def test_a_relapse_after_a_restart_has_the_longer_pause_and_the_owners_that_tried() -> None:
    clock, store, hosts = MovedClock(50.0, 1e9), MemoryStore(), SuspendedHosts()
    kept = a_held("wn0", 1e9, kind="host", until=1e9 - 1.0, tried=["ada"])
    await store.write(mark_records.keep_held, [kept])
    keeper = ExcludedPlaces(store, hosts, clock)
    await keeper.restore()
    hosts.room("PIC", "slurm", "wn1", 50.0)
    assert hosts.room("PIC", "slurm", "wn0", 50.0) == 1
    hosts.went("PIC", "slurm", "wn0", [9], 50.0)
    bad = HostFailure(9, "bob", How.EXITED, ran_s=1.0, why="exit code 1")
    hosts.ended("PIC", "slurm", "wn0", bad, 51.0)
    await keeper.keep()
    (again,) = await store.read(mark_records.held)

    assert (again.pause_s, again.tried, again.why) == (1_200.0, ["ada", "bob"], "exit code 1")
    assert again.since == kept.since


async def test_nothing_is_written_while_nothing_changes_and_what_is_refused_comes_again() -> None:
    clock, store, hosts = MovedClock(50.0, 1e9), MemoryStore(), SuspendedHosts()
    await store.write(mark_records.keep_held, [a_held("slurm", 1e9)])
    keeper = ExcludedPlaces(store, hosts, clock)
    await keeper.restore()
    store.full = True
    await keeper.keep()  # it would be refused
    hosts.lift("PIC", element="slurm")
    with pytest.raises(StoreFull):
        await keeper.keep()
    store.full = False
    await keeper.keep()

    assert await store.read(mark_records.held) == []


async def test_what_was_not_seen_for_a_day_is_held_no_more() -> None:
    clock, store, hosts = MovedClock(50.0, 1e9), MemoryStore(), SuspendedHosts()
    await store.write(mark_records.keep_held, [a_held("gone", 1e9), a_held("there", 1e9)])
    keeper = ExcludedPlaces(store, hosts, clock)
    await keeper.restore()
    clock.at += 86_300.0
    hosts.room("PIC", "there", "wn0", clock.at)
    clock.at += 200.0
    await keeper.keep_if_due()

    assert [one.name for one in await store.read(mark_records.held)] == ["there"]
