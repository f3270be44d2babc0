"""kill -9 of the central in the middle of a campaign, again and again."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pilotage.central.client import Client, SubmissionHandle
from pilotage.proto.api.jobs import JobView
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import FINAL, JobState

from .beacons import Beacons
from .running import SOON_S, RunningPilot, eventually, running_central

SUBMISSIONS, JOBS_EACH = 6, 10
KILLS = 3


class Submitter(threading.Thread):
    """Somebody who submits in the middle of it all, and keeps what was acknowledged."""

    def __init__(self, client: Client, beacons: Beacons) -> None:
        super().__init__()
        self._client, self._beacons = client, beacons
        self.acknowledged: dict[str, list[int]] = {}

    def submit(self, key: str) -> SubmissionHandle:
        return self._client.submit([self._beacons.job(0.3)] * JOBS_EACH, key=key)

    def run(self) -> None:
        for number in range(SUBMISSIONS):
            key = f"campaign {number}"
            self.acknowledged[key] = list(self.submit(key).ids())
            time.sleep(0.5)


def test_a_central_that_is_killed_again_and_again_loses_no_job_and_counts_none_twice(
    tmp_path: Path,
) -> None:
    with running_central(tmp_path, {"lease.lease_s": "15"}) as central:
        beacons = Beacons(tmp_path / "beacons")
        for site in ("PIC", "CSCS"):
            central.pilot(site, cores=2)
        submitter = Submitter(central.client, beacons)
        submitter.start()
        for number in range(KILLS):
            _five_more_start(beacons)
            central.kill9()
            time.sleep(0.4 * number)
            central.restart()
        submitter.join(SOON_S)
        assert not submitter.is_alive()

        for key, ids in submitter.acknowledged.items():
            again = submitter.submit(key)

            assert (again.repeated, list(again.ids())) == (True, ids)
        acknowledged = [job for ids in submitter.acknowledged.values() for job in ids]
        views = eventually(lambda: _when_all_ended(central.client), what="the end of all jobs")

        assert [view.id for view in views] == sorted(acknowledged)
        assert len(set(acknowledged)) == SUBMISSIONS * JOBS_EACH
        assert {view.state for view in views} == {JobState.DONE}
        assert {results(central.client, job) for job in acknowledged} == {1}
        assert beacons.overlaps() == []
        for pilot in central.pilots:
            eventually(partial(_on_the_bus, pilot), what=f"the way of {pilot.id} back to the bus")
        assert {one.job for one in beacons.attempts().values() if one.ended} == set(acknowledged)


def test_a_stream_of_jobs_that_is_cut_by_the_death_of_the_central_arrives_once(
    tmp_path: Path,
) -> None:
    with running_central(tmp_path) as central:
        client = central.client

        def jobs() -> Iterator[Job]:
            for number in range(12_000):
                if number == 8_000:  # thousands are in the database by now, and none is visible
                    central.kill9()
                    central.restart()
                    seen.append(client.summary().total)
                yield Job(command=("true",), needs=(Need(sites=("NOWHERE",)),))

        seen: list[int] = []
        made = client.submit(jobs(), key="cut off")

        assert seen == [0]
        assert (made.count, made.repeated) == (12_000, False)
        assert client.summary().total == 12_000
        assert sum(1 for _ in client.search()) == 12_000


def results(client: Client, job: int) -> int:
    """Return how many results of a job count."""
    return [one.event for one in client.history(job).occurrences].count("exited")


def _on_the_bus(pilot: RunningPilot) -> bool:
    return bool(pilot.events("bus_up", "bus_down")[-1]["event"] == "bus_up")


def _five_more_start(beacons: Beacons) -> None:
    wanted = len(beacons.attempts()) + 5
    eventually(lambda: len(beacons.attempts()) >= wanted, what="the start of five more")


def _when_all_ended(client: Client) -> list[JobView]:
    views = list(client.search())
    return views if all(view.state in FINAL for view in views) else []
