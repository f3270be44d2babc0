"""What users wait for: the results of many jobs, and large graphs of jobs."""

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .figures import Figure, figure
from .load.chains import release_times_ms, submit_graph
from .load.gauges import Gauge
from .load.kept_outputs import keep_outputs
from .load.stage import Act, play, stage

NAME = "surface"
WORK = (
    "10,000 jobs have kept one output of 10 kB each. `pilotage output --submission N --to FOLDER` "
    "fetches all, a second time with nothing to fetch, and then into a .tar. A graph of 100,000 "
    "jobs, of which most wait for three others, is submitted from Python. A pilot ends the first "
    "of two jobs and asks until it gets the second."
)
BOUND = "The local disk is the limit: each output needs a folder and a file."


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    jobs: int = 10_000
    bytes: int = 10_000
    times: int = 3  # the best counts
    graph: int = 100_000  # jobs
    chains: int = 500


FULL = Scale()


def run() -> tuple[str, list[Figure]]:
    """Measure at full scale."""
    return WORK, measure(FULL)


def measure(scale: Scale) -> list[Figure]:
    """Measure all rows."""
    with stage() as on, on.act() as act:
        submission = play(keep_outputs(act, scale.jobs, scale.bytes))
        to = on.folder / "fetched"
        gauge, whole = Gauge(act.pid), list[float]()
        for _ in range(scale.times):
            shutil.rmtree(to, ignore_errors=True)
            whole.append(_fetch(act, submission, "--to", to))
        cpu_us = gauge.cpu_s() / scale.times / scale.jobs * 1e6
        files = sum(path.stat().st_size == scale.bytes for path in to.glob("*/fit.dat"))
        if files != scale.jobs:
            raise RuntimeError(f"{files} outputs of {scale.jobs} came")
        again = _fetch(act, submission, "--to", to)
        archive = _fetch(act, submission, "--tar", on.folder / "fetched.tar")
    with stage() as on, on.act() as act:
        graph_s = min(play(submit_graph(act, scale.graph)) for _ in range(scale.times))
        released = sorted(play(release_times_ms(act, scale.chains)))
    return [
        figure(NAME, f"graph of {scale.graph} jobs, submitted", graph_s, "s"),
        figure(NAME, "parent ended → child matched, p50", released[len(released) // 2], "ms"),
        figure(NAME, "parent ended → child matched, p99", released[-len(released) // 100], "ms"),
        figure(NAME, "outputs of 10 kB, whole command", scale.jobs / min(whole), "files/s"),
        figure(NAME, "outputs of 10 kB, central's CPU", cpu_us, "µs/file"),
        figure(NAME, "outputs of 10 kB, all here already", scale.jobs / again, "files/s"),
        figure(NAME, "outputs of 10 kB, into a .tar", scale.jobs / archive, "files/s"),
    ]


def _fetch(act: Act, submission: int, option: str, to: Path) -> float:
    """Return how many seconds a command took."""
    words = ("output", "--submission", str(submission), option, str(to))
    command = (sys.executable, "-m", "pilotage.central.cli", *words)
    began = time.perf_counter()
    subprocess.run(
        [*command, "--data", str(act.central.data)],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=600,
    )
    return time.perf_counter() - began
