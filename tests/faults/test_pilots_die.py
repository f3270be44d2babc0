"""kill -9 and SIGSTOP of pilots, of their guards and of both while they report.

The pilots are real processes with real guards; each that dies comes back on its own state folder.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pilotage.central.operate.local_pilots import PilotPlan, start
from pilotage.proto.job_states import FINAL, JobState
from tests.acceptance.beacons import Beacons
from tests.acceptance.running import (
    SOON_S,
    RunningCentral,
    RunningPilot,
    eventually,
    guard_of,
    running_central,
)

from .campaign import unforeseen

LEASE_S = 3.0
GUARD_GONE = 13  # the exit code of a pilot whose guard has died
VICTIMS = ("pilot", "guard", "both")


class Phoenix:
    """A pilot that comes back after each death: on its own state, with identity and journal.

    Where only its guard has died it has said good-bye, and another pilot takes its place.
    """

    def __init__(self, central: RunningCentral, site: str) -> None:
        self._plan = PilotPlan(
            central=central.url, told={"cores": 2, "memory_mb": 4_000, "isolation": "session"}
        )
        self._central, self._site = central, site
        self.pilot: RunningPilot = self._another()

    def _another(self) -> RunningPilot:
        return self._central.pilot(self._site, cores=2, isolation="session")

    def kill(self, whom: str) -> None:
        guard = guard_of(self.pilot.process.pid)
        if whom in ("guard", "both") and guard:
            os.kill(guard, signal.SIGKILL)
        if whom in ("pilot", "both"):
            self.pilot.process.kill()
        self.pilot.process.wait(SOON_S)

    def rise(self) -> None:
        """Start its next life."""
        if self.pilot.process.returncode == GUARD_GONE:
            self.pilot = self._another()
            return
        process = start(replace(self._plan, state=self.pilot.state))
        guard = eventually(lambda: guard_of(process.pid), what="a guard")
        self.pilot = replace(self.pilot, process=process, guard_pid=guard)

    def end(self) -> None:
        if self.pilot.process.poll() is None:
            self.kill("both")


@contextmanager
def phoenixes(central: RunningCentral) -> Generator[list[Phoenix]]:
    birds = [Phoenix(central, site) for site in ("PIC", "CSCS")]
    try:
        yield birds
    finally:
        for bird in birds:
            bird.end()


def deaths(folder: Path, times: int, seed: int) -> Counter[str]:
    """Let pilots, guards and both die so often under short jobs; return how attempts ended."""
    chance = random.Random(seed)
    with (
        running_central(
            folder, {"lease.lease_s": f"{LEASE_S}", "lease.lost_max": "1000"}
        ) as central,
        phoenixes(central) as birds,
    ):
        beacons, ids = Beacons(folder / "beacons"), list[int]()
        for number in range(times):
            ids += central.client.submit([beacons.job(0.05)] * 25).ids()
            time.sleep(chance.uniform(0.1, 0.6))
            bird = birds[number % 2]
            bird.kill(VICTIMS[number % 3])
            bird.rise()
        eventually(
            lambda: all(view.state in FINAL for view in central.client.search()), what="the end"
        )
        views = list(central.client.search())

        assert [view.id for view in views] == ids
        assert {view.state for view in views} == {JobState.DONE}
        assert beacons.overlaps() == []
        events = {job: Counter(_events(central, job)) for job in ids}
        assert {job for job, seen in events.items() if seen["exited"] != 1} == set()
        assert unforeseen(central.log) == []
        assert sum(seen["matched"] for seen in events.values()) > len(ids), "none was hit at work"
        return Counter(event for seen in events.values() for event in seen.elements())


def _events(central: RunningCentral, job: int) -> list[str]:
    return [one.event for one in central.client.history(job).occurrences]


def test_pilots_and_guards_die_while_they_report_and_every_job_ends_once(tmp_path: Path) -> None:
    print(deaths(tmp_path, 6, seed=1))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_pilots_and_guards_die_three_hundred_times(tmp_path: Path, seed: int) -> None:
    print(deaths(tmp_path, 30, seed=seed + 100))


@pytest.mark.parametrize("victim", ["pilot", "both", pytest.param("guard", marks=pytest.mark.long)])
def test_a_pilot_that_stands_still_runs_nothing_twice(tmp_path: Path, victim: str) -> None:
    """Grey failure of the node: for longer than a lease, with another pilot that takes over."""
    with running_central(tmp_path, {"lease.lease_s": f"{LEASE_S}"}) as central:
        beacons = Beacons(tmp_path / "beacons")
        frozen = central.pilot("PIC", cores=1, isolation="session")
        (job,) = central.client.submit(beacons.job(2.5 * LEASE_S, 0.2)).ids()
        eventually(lambda: beacons.running(job), what="the start")
        central.pilot("CSCS", cores=1, isolation="session")
        pids = {"pilot": [frozen.process.pid], "guard": [frozen.guard_pid]}
        pids["both"] = pids["pilot"] + pids["guard"]
        for pid in pids[victim]:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(1.5 * LEASE_S)
        for pid in pids[victim]:
            os.kill(pid, signal.SIGCONT)
        view = central.client.job(job).wait(SOON_S)

        assert view.state is JobState.DONE
        assert [one.event for one in central.client.history(job).occurrences].count("exited") == 1
        if victim != "both":  # P3 holds as long as the guard lives
            assert beacons.overlaps() == []
        print(victim, view.epoch, beacons.of(job))
