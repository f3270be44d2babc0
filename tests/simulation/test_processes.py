"""The simulated machines themselves: clocks that drift and stand still, and sudden deaths."""

import asyncio
import random
from collections.abc import Iterator

import pytest

from pilotage.central.jobs import record as job_records
from pilotage.central.store.errors import StoreFull
from tests.virtual import START_S

from .network import Network, Weather
from .processes import Host, HostLoop, Process, Spins
from .store import Disk, Rows, opened
from .truth import Truth
from .violation import Violation


class Machines:
    """A loop that is run for some seconds of the world."""

    def __init__(self) -> None:
        self.loop = HostLoop(1e6)
        self.said: list[tuple[float, str]] = []
        self.processes: list[Process] = []

    def say(self, what: str) -> None:
        self.said.append((round(self.loop.now - START_S, 3), what))

    async def often(self, what: str, seconds: float) -> None:
        try:
            while True:
                await asyncio.sleep(seconds)
                self.say(what)
        finally:
            self.say(f"{what} is over")

    def process(self, host: Host) -> Process:
        self.processes.append(Process(self.loop, host, host.name))
        return self.processes[-1]

    def end(self) -> None:
        """Let all tasks end, also those of the dead."""
        self.loop.revive(self.processes)
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.run(1.0)
        self.loop.close()

    def run(self, seconds: float) -> list[tuple[float, str]]:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(asyncio.sleep(seconds))
            return [*self.said]
        finally:
            asyncio.set_event_loop(None)


@pytest.fixture
def machines() -> Iterator[Machines]:
    made = Machines()
    yield made
    made.end()


def test_a_fast_clock_is_early(machines: Machines) -> None:
    fast = machines.process(Host("fast", 1.25))
    fast.start(machines.often("tick", 10.0))

    assert machines.run(20.0) == [(8.0, "tick"), (16.0, "tick")]


def test_what_is_killed_does_nothing_more_not_even_at_its_end(machines: Machines) -> None:
    process = machines.process(Host("one"))
    process.start(machines.often("tick", 10.0))
    machines.loop.at(START_S + 15.0, None, process.kill)

    assert machines.run(100.0) == [(10.0, "tick")]


def test_what_is_stopped_does_it_later_and_its_clock_has_gone_on(machines: Machines) -> None:
    process = machines.process(Host("one"))
    process.start(machines.often("tick", 10.0))
    machines.loop.at(START_S + 15.0, None, process.stop)
    machines.loop.at(START_S + 27.0, None, process.go_on)

    assert machines.run(40.0) == [(10.0, "tick"), (27.0, "tick"), (37.0, "tick")]


def test_the_timers_of_a_suspended_host_stand_still(machines: Machines) -> None:
    host = Host("one")
    machines.process(host).start(machines.often("tick", 10.0))
    machines.loop.at(START_S + 15.0, None, machines.loop.suspend, host)
    machines.loop.at(START_S + 115.0, None, machines.loop.wake, host)

    assert machines.run(131.0) == [(10.0, "tick"), (120.0, "tick"), (130.0, "tick")]
    assert host.boottime(machines.loop.now) - host.monotonic(machines.loop.now) == 100.0


def test_a_fuse_kills_between_two_steps(machines: Machines) -> None:
    process = machines.process(Host("one"))
    process.start(machines.often("tick", 10.0))
    process.fuse = 5  # a start, then two steps for each tick: its timer, and its going on

    assert [when for when, _ in machines.run(100.0)] == [10.0, 20.0]
    assert process.dead


def test_who_spins_is_found(machines: Machines) -> None:

    process = machines.process(Host("one"))

    def spin() -> None:
        process.soon(spin)

    spin()
    with pytest.raises(Spins):
        machines.run(10.0)
    process.kill()


def test_a_cut_in_one_direction_lets_the_other_pass(machines: Machines) -> None:
    network = Network(machines.loop, random.Random(1), Weather())
    one, other = Host("one"), Host("other")
    network.cut("one", "other", 50.0, both=False)
    network.send(one, other, machines.say, "there")
    network.send(other, one, machines.say, "back")

    assert [what for _, what in machines.run(60.0)] == ["back"]
    assert network.passes("one", "other")


def test_a_power_cut_undoes_what_was_committed_and_not_synced(machines: Machines) -> None:
    host = Host("central")
    disk = Disk(machines.loop, Rows())
    process = machines.process(host)
    store = opened(disk, process)
    rows: list[int] = []

    async def reserve() -> None:
        rows.append(await store.write(job_records.reserve_attempts, 10))

    process.start(reserve())
    machines.run(1.0)
    disk.answers_early = True
    process.start(reserve())
    machines.run(0.5)
    assert rows == [1, 11]
    process.kill()

    assert disk.lose_unsynced() == 1
    again = opened(disk, other := machines.process(host))
    store = again
    other.start(reserve())
    machines.run(1.0)
    assert rows == [1, 11, 11]


def test_what_fails_is_undone_alone_and_what_is_not_synced_can_be_read(machines: Machines) -> None:
    disk = Disk(machines.loop, Rows())
    disk.write(job_records.reserve_attempts, (10,), {})
    with pytest.raises(OverflowError):
        disk.write(job_records.reserve_attempts, (2**64,), {})

    assert disk.read(job_records.ids_given, (), {})["attempt"] == 11
    assert (disk.unsynced, disk.lose_unsynced()) == (1, 1)
    assert disk.read(job_records.ids_given, (), {})["attempt"] == 1


def test_a_verb_that_is_taken_for_a_read_may_not_write(machines: Machines) -> None:
    with pytest.raises(AssertionError, match="reserve_attempts writes"):
        Disk(machines.loop, Rows()).read(job_records.reserve_attempts, (10,), {})


def test_a_full_disk_takes_nothing(machines: Machines) -> None:
    disk = Disk(machines.loop, Rows(), full=True)
    process = machines.process(Host("central"))
    store = opened(disk, process)

    async def reserve() -> None:
        with pytest.raises(StoreFull):
            await store.write(job_records.reserve_attempts, 10)
        machines.say("refused")

    process.start(reserve())

    assert [what for _, what in machines.run(1.0)] == ["refused"]
    assert not disk.rows.activity().operations


def test_two_payloads_of_a_job_are_seen_but_for_a_second_after_waking() -> None:
    truth = Truth()
    one, other = truth.begin(1, 1, "a", 0.0), truth.begin(1, 2, "b", 9.5)
    one.woken = True
    truth.look(10.4)
    with pytest.raises(Violation):
        truth.look(10.6)
    one.woken = False
    with pytest.raises(Violation):
        truth.end(other, 10.0)
