"""What users wait for: the results of many jobs, large graphs, and Python functions."""

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pilotage.central.client import Executor

from . import hyperqueue
from .figures import Figure, figure
from .load.chains import release_times_ms, submit_graph
from .load.gauges import Gauge
from .load.kept_outputs import keep_outputs
from .load.stage import Act, play, stage
from .rig import rig

NAME = "surface"
WORK = (
    "10,000 jobs have kept one output of 10 kB each. `pilotage output --submission N --to FOLDER` "
    "fetches all, a second time with nothing to fetch, and then into a .tar. A graph of 100,000 "
    "jobs, of which most wait for three others, is submitted from Python. A pilot ends the first "
    "of two jobs and asks until it gets the second. Python functions run on 2 pilots of 8 slots: "
    "one `map` of 100,000 short calls, and 500 calls of `submit`."
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
    mapped: int = 100_000  # calls
    submitted: int = 500


FULL = Scale()


def run() -> tuple[str, list[Figure]]:
    """Measure at full scale."""
    return WORK, measure(FULL)


def measure(scale: Scale) -> list[Figure]:
    """Measure all rows."""
    return [*_outputs(scale), *_graphs(scale), *_functions(scale)]


def _outputs(scale: Scale) -> list[Figure]:
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
    return [
        figure(NAME, "outputs of 10 kB, whole command", scale.jobs / min(whole), "files/s"),
        figure(NAME, "outputs of 10 kB, central's CPU", cpu_us, "µs/file"),
        figure(NAME, "outputs of 10 kB, all here already", scale.jobs / again, "files/s"),
        figure(NAME, "outputs of 10 kB, into a .tar", scale.jobs / archive, "files/s"),
    ]


def _graphs(scale: Scale) -> list[Figure]:
    with stage() as on, on.act() as act:
        graph_s = min(play(submit_graph(act, scale.graph)) for _ in range(scale.times))
        released = sorted(play(release_times_ms(act, scale.chains)))
    return [
        figure(NAME, f"graph of {scale.graph} jobs, submitted", graph_s, "s"),
        figure(NAME, "parent ended → child matched, p50", released[len(released) // 2], "ms"),
        figure(NAME, "parent ended → child matched, p99", released[-len(released) // 100], "ms"),
    ]


def _functions(scale: Scale) -> list[Figure]:
    with rig(mosquitto=True) as bench:
        bench.pilots(2, cores=8, isolation="session")
        with Executor(client=bench.client, python=sys.executable) as executor:
            began = time.perf_counter()
            found = sum(executor.map(square, range(scale.mapped)))
            mapped_s = time.perf_counter() - began
            if found != sum(map(square, range(scale.mapped))):
                raise RuntimeError("the results of the map are wrong")
            began = time.perf_counter()
            futures = [executor.submit(square, number) for number in range(scale.submitted)]
            if [one.result(600) for one in futures] != [*map(square, range(scale.submitted))]:
                raise RuntimeError("the results of the calls are wrong")
            submitted_s = time.perf_counter() - began
    return [
        figure(NAME, "Executor.map, short calls", scale.mapped / mapped_s, "calls/s"),
        figure(NAME, "Executor.submit", scale.submitted / submitted_s, "calls/s"),
    ]


def square(x: int) -> int:
    """The function of the calls."""
    return x * x


def against_hyperqueue(figures: list[Figure]) -> list[Figure]:
    """Return the rate of HyperQueue's Python tasks, and the ratio of ours to it. Raises NoPeer."""
    ours = next(one.value for one in figures if one.name == "Executor.submit")
    theirs = hyperqueue.function_rate(FULL.submitted)
    return [
        figure(NAME, "HyperQueue's Python tasks, same run", theirs, "calls/s"),
        figure(NAME, "Executor.submit, of HyperQueue's rate", 100 * ours / theirs, "%"),
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
