"""The analysis chain of CTAO on real input: ctapipe as jobs on two pilots, by the Python API."""

import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from pilotage.proto.job_states import JobState

from .running import ROOT, RunningCentral, running_central

EXAMPLES = ROOT / "examples"
TOOLS = ROOT / ".venv-ctapipe"
APART_MAX_DEG = 5.0
CHAIN_S = 240.0  # 20 s on two quiet cores


class Shower(msgspec.Struct):
    observation: int
    true_deg: tuple[float, float]
    found_deg: tuple[float, float]


class Report(msgspec.Struct):
    """What examples/ctapipe_report.py writes."""

    observations: list[int]
    showers: list[Shower]


@pytest.fixture(scope="module", autouse=True)
def ctapipe() -> None:
    """ctapipe is required in continuous integration, and elsewhere where it can be had."""
    if (TOOLS / "ready").exists():
        return
    why = "no ctapipe here: deploy/make-ctapipe-venv makes .venv-ctapipe, from a package index"
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@pytest.mark.parametrize("count", [2, pytest.param(6, marks=pytest.mark.long)])
def test_runs_become_one_file_with_the_right_directions_on_two_pilots(
    count: int, tmp_path: Path
) -> None:
    runs = list(range(101, 101 + count))
    steps = {"Simulation": count, "DL1": count, "DL2": count, "Merge": 1, "Report": 1}
    merged = tmp_path / "merged.dl2.h5"
    with running_central(tmp_path / "site") as central:
        for site in ("PIC", "CSCS"):
            central.pilot(site, cores=1)

        said = type_example(central, "--runs", str(count), "--output", str(merged))
        print(said)

        views = list(central.client.search())
        assert Counter(view.type for view in views) == steps
        assert {view.state for view in views} == {JobState.DONE}
        assert {view.epoch for view in views} == {1}
        assert {results(central, view.id) for view in views} == {1}
        assert {view.site for view in views} == {"PIC", "CSCS"}
        assert len({view.pilot for view in views}) == 2
    assert f"holds observations {' '.join(map(str, runs))}" in said

    report = read(merged, tmp_path / "report.json")

    assert report.observations == runs
    assert [shower.observation for shower in report.showers] == runs
    for shower in report.showers:
        assert shower.true_deg == pytest.approx((70.0, 180.0))
        assert apart_deg(shower.true_deg, shower.found_deg) < APART_MAX_DEG


def test_without_a_central_the_example_says_how_to_start_one(tmp_path: Path) -> None:
    done = run_example("--data", str(tmp_path))

    assert done.returncode == 1
    assert "pilotage serve" in done.stderr
    assert "pilotage pilot start --site PIC" in done.stderr


def type_example(central: RunningCentral, *words: str) -> str:
    """Run the example against a central, expect that it is content, return what it said."""
    done = run_example("--data", str(central.data), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_example(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLES / "ctapipe_chain.py", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=CHAIN_S,
    )


def results(central: RunningCentral, job: int) -> int:
    """Return how many results of a job count."""
    occurrences = central.client.history(job).occurrences
    return [one.event for one in occurrences].count("exited")


def read(merged: Path, report: Path) -> Report:
    """Return what the file holds, read here and not by a job."""
    python = TOOLS / "bin" / "python"
    subprocess.run([python, EXAMPLES / "ctapipe_report.py", merged, report], check=True)
    return msgspec.json.decode(report.read_bytes(), type=Report)


def apart_deg(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the angle between two directions by their scalar product."""
    product = sum(a * b for a, b in zip(unit(one), unit(other), strict=True))
    return math.degrees(math.acos(min(1.0, product)))


def unit(direction: Sequence[float]) -> tuple[float, float, float]:
    alt, az = map(math.radians, direction)
    return math.cos(alt) * math.cos(az), math.cos(alt) * math.sin(az), math.sin(alt)
