"""A pilot that is frozen past its lease, payloads that will not end, a reply that is lost."""

import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pilotage.central.client import JobHandle
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import JobState

from .beacons import Beacons
from .lossy_proxy import lossy_proxy
from .running import (
    SOON_S,
    RunningCentral,
    RunningPilot,
    eventually,
    processes_of,
    running_central,
)

LEASE_S = 6.0
STUBBORN = Path(__file__).with_name("payloads") / "stubborn.py"
RUNGS = ("session", "auto")


@dataclass(frozen=True)
class Wild:
    """A pilot on one rung of isolation, with payloads that will not end."""

    central: RunningCentral
    pilot: RunningPilot
    folder: Path  # outside of /tmp, which is private to a payload in namespaces

    def file(self, name: str) -> Path:
        """Return what the daemon of this payload writes to."""
        return self.folder / f"{self.pilot.site}-{name}"

    def submit(self, name: str, mode: str) -> JobHandle:
        words = (sys.executable, "-I", "-S", str(STUBBORN), str(self.file(name)), mode)
        need = Need(sites=(self.pilot.site,), wall_s=600)
        return self.central.client.submit(Job(command=words, needs=(need,))).handles()[0]


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningCentral]:
    options = {"lease.lease_s": f"{LEASE_S:.0f}"}
    with running_central(tmp_path_factory.mktemp("bad-days"), options) as central:
        yield central


@pytest.fixture(scope="module")
def wild(
    central: RunningCentral,
) -> Generator[list[tuple[Wild, JobHandle, JobHandle, JobHandle]]]:
    """Start a pilot on each rung and the payloads there; ask for the end of one.

    It has 10 s from the soft signal on, in which the first story is told.
    """
    begun: list[tuple[Wild, JobHandle, JobHandle, JobHandle]] = []
    with tempfile.TemporaryDirectory(prefix="bad-days-", dir=Path.home()) as name:
        for rung in RUNGS:
            pilot = central.pilot(f"WILD-{rung}", cores=3, isolation=rung)
            one = Wild(central, pilot, Path(name))
            left = one.submit("left", "leave")
            killed, orphaned = one.submit("killed", "stay"), one.submit("orphaned", "stay")
            begun.append((one, left, killed, orphaned))
        for one, _, killed, _ in begun:
            eventually(one.file("killed").exists, what="the daemon's first words")
            killed.kill()
        yield begun


@pytest.mark.usefixtures("wild")
def test_a_frozen_pilot_loses_its_job_and_its_payload_never_runs_on(
    central: RunningCentral,
) -> None:
    beacons, client = Beacons(central.folder / "frozen"), central.client
    frozen = central.pilot("PIC", cores=1)
    job = client.submit(beacons.job(600.0, 0.3, sites=("PIC", "CSCS"))).handles()[0]
    eventually(lambda: beacons.running(job.id), what="the start")

    frozen.freeze()
    central.pilot("CSCS", cores=1)
    view = job.wait(SOON_S)
    last_words = beacons.file.read_text()
    time.sleep(0.3)  # fifteen times as long as a beacon's pause

    assert (view.state, view.epoch, view.site) == (JobState.DONE, 2, "CSCS")
    assert beacons.overlaps() == []
    assert beacons.file.read_text() == last_words
    frozen.thaw()
    eventually(lambda: processes_of(beacons.file) == [], what="the end of the frozen payload")
    assert beacons.file.read_text() == last_words
    assert job.view().state is JobState.DONE
    after = client.submit(beacons.job(0.1, sites=("PIC",))).handles()[0].wait(SOON_S)
    assert after.state is JobState.DONE, "the pilot works on after it was thawed"


def test_payloads_that_will_not_end_leave_no_process(
    wild: list[tuple[Wild, JobHandle, JobHandle, JobHandle]],
) -> None:
    for one, left, killed, orphaned in wild:
        rung = one.pilot.site
        assert left.wait(SOON_S).state is JobState.DONE
        assert one.file("left").stat().st_size > 0
        assert processes_of(one.file("left")) == [], f"{rung}: a daemon outlives its payload"

        assert killed.wait(SOON_S).state is JobState.KILLED
        assert processes_of(one.file("killed")) == [], f"{rung}: a daemon outlives a kill"

        assert len(processes_of(one.file("orphaned"))) >= 2, "payload and daemon"
        orphaned.kill()  # so that it waits for no other pilot
        one.pilot.kill9()
        gone = f"{rung}: the end of the daemon of a dead pilot"
        eventually(lambda: processes_of(one.file("orphaned")) == [], what=gone)  # noqa: B023


def test_a_lost_reply_to_an_ask_gives_the_same_assignment_again(central: RunningCentral) -> None:
    beacons, client = Beacons(central.folder / "lost-reply"), central.client
    with lossy_proxy(central.port) as proxy:
        pilot = central.pilot("DESY-Zeuthen", cores=2, url=proxy.url)
        proxy.lose = b'"assignments":[{'
        runs = client.submit([beacons.job(0.2, sites=("DESY-Zeuthen",))] * 2)
        ended = runs.wait(SOON_S)
        pilot.kill9()

    assert ended == {JobState.DONE: 2}
    assert len(proxy.lost) == 1
    assert {view.epoch for view in runs.views()} == {1}
    assert sorted(beacons.attempts()) == [(job, 1) for job in runs.ids()]
