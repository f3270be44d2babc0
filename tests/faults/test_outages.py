"""Promise P10: the central is away, and real payloads under real guards wait for it.

Times are those of a lease of 120 s: an outage of 30 s is a quarter of a lease, one of 5 min two and
a half, one of 20 min ten. The guard freezes a payload at 0.8 of its lease.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pilotage.proto.job_states import JobState
from tests.acceptance.beacons import Beacons
from tests.acceptance.running import SOON_S, RunningCentral, eventually, running_central

JOBS = 4


def silences(beacons: Beacons, since: float) -> dict[int, float]:
    """Return for each job the longest time, after a moment, in which its payload did not run."""
    longest: dict[int, float] = {}
    said: dict[int, float] = {}
    for line in beacons.file.read_text().splitlines():
        job, _, _, at = line.split()
        moment = float(at)
        if moment >= since:
            longest[int(job)] = max(longest.get(int(job), 0.0), moment - said.get(int(job), moment))
        said[int(job)] = moment
    return longest


def outages(folder: Path, away_s: Sequence[float], lease_s: float, *, rest_s: float = 10.0) -> None:
    """Take the central away from running payloads for so long each; check what became of them."""
    options = {"lease.lease_s": f"{lease_s:.0f}"}
    with running_central(folder, options) as central:
        beacons = Beacons(folder / "beacons")
        for site in ("PIC", "CSCS"):
            central.pilot(site, cores=JOBS // 2)
        ids = _running(central, beacons, 1.5 + rest_s)
        seen: list[tuple[float, float]] = []
        for outage_s in away_s:
            central.kill9()
            gone = time.monotonic()
            time.sleep(outage_s)
            central.restart()
            seen.append((outage_s, gone))
            time.sleep(min(1.0, lease_s / 3))
        views = [central.client.job(job).wait(SOON_S + 2 * lease_s) for job in ids]

        assert [view.state for view in views] == [JobState.DONE] * JOBS
        assert [view.epoch for view in views] == [1] * JOBS, "an attempt was lost"
        assert beacons.overlaps() == []
        assert {(one.job, one.epoch) for one in beacons.attempts().values() if one.ended} == {
            (job, 1) for job in ids
        }
        for outage_s, gone in seen:
            if outage_s > lease_s:  # all froze at their fence
                froze_s = silences(beacons, gone)
                assert all(froze_s[job] > outage_s - 1.1 * lease_s for job in ids), froze_s
        frozen = [len(pilot.events("payload_frozen")) for pilot in central.pilots]
        assert sum(frozen) >= JOBS * sum(outage_s > lease_s for outage_s in away_s)


def _running(central: RunningCentral, beacons: Beacons, seconds: float) -> list[int]:
    ids = list(central.client.submit([beacons.job(seconds)] * JOBS).ids())
    eventually(lambda: all(beacons.running(one) for one in ids), what="the start of all")
    return ids


def test_payloads_wait_for_a_central_that_is_away_and_none_is_lost(tmp_path: Path) -> None:
    outages(tmp_path, (0.75, 7.5), 3.0)


@pytest.mark.long
def test_payloads_wait_for_ten_leases(tmp_path: Path) -> None:
    outages(tmp_path, (30.0,), 3.0)


@pytest.mark.long
@pytest.mark.parametrize("outage_s", [30.0, 300.0, 1_200.0])
def test_payloads_wait_at_the_times_of_real_life(tmp_path: Path, outage_s: float) -> None:
    outages(tmp_path, (outage_s,), 120.0, rest_s=200.0)
