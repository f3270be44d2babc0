"""What a pilot costs on its node: CPU and memory of it and its guard, its start, its pace."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pilotage.central.operate.demo.local_central import end
from pilotage.central.operate.distribution.pilot_bundle import pilot_bundle
from pilotage.central.operate.process import tied
from pilotage.proto.job_states import FINAL

from .figures import Figure, figure, percentile
from .load.relay import Relay
from .machine import cpu_s, reaped_cpu_s
from .rig import NOOP, Rig, rig

NAME = "pilot"
SLOTS = 16
LOOK_S = 0.05
SETTLED_S = 1.0  # the folders of the last payloads are emptied, the guard has told all
START_PATIENCE_S = 30.0
RUNGS = (("namespaces", "auto"), ("unshare", "unshare"), ("plain", "session"))
OLDEST = "python3.9"
_BARE = (
    "import sys, time; sys.path[:0] = [sys.argv[1]]; from pilotage.pilot.bare_loop import main; "
    "main(time.monotonic, sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])"
)


def pythons() -> dict[str, str]:
    """Return this Python, and the oldest that a pilot runs on where PATH leads to one that runs."""
    oldest = shutil.which(OLDEST)
    if oldest is None or subprocess.run([oldest, "-c", ""], capture_output=True).returncode:
        return {"": sys.executable}
    return {"": sys.executable, "Python 3.9, ": oldest}


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    jobs: int = 1_500  # of each rung
    before: int = 200  # that are not counted: everything is imported, every folder made
    starts: int = 9  # of a whole pilot
    rungs: Sequence[tuple[str, str]] = RUNGS
    pythons: dict[str, str] = field(default_factory=pythons)  # what names begin with → path


WORK = (
    f"One pilot of {SLOTS} slots runs {Scale.jobs:,} jobs of `true` on each rung, beside central "
    "and broker. The *bare loop* starts the same processes without a pilot. Memory is the maximum "
    "over all rungs; the start is a median."
)


BOUND = (
    "Payloads, pilot, guard, broker and central take turns on two cores, which limits the share."
)


def run() -> tuple[str, list[Figure]]:
    """Measure at full scale."""
    return WORK, measure(Scale())


def measure(scale: Scale) -> list[Figure]:
    """Measure every rung, then starts, on each Python."""
    figures: list[Figure] = []
    for begin, python in scale.pythons.items():
        rungs = [(name, _rung(scale, isolation, python)) for name, isolation in scale.rungs]
        for name, rung in rungs:
            figures += rung.figures(f"{begin}{name}")
        for who in ("pilot", "guard"):
            most = (max(rung.memory_mb[who][kind] for _, rung in rungs) for kind in (0, 1))
            for word, value in zip(("resident", "at most"), most, strict=True):
                figures.append(figure(NAME, f"{begin}{who}, {word}", value, "MB"))
        start_s, start_cpu_s = starts(scale, python)
        figures.append(figure(NAME, f"{begin}start to first ask", start_s, "s"))
        figures.append(figure(NAME, f"{begin}start to first ask, CPU", start_cpu_s, "s"))
    return figures


# ---- no-op payloads ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rung:
    """What was measured on one rung."""

    rate: float  # payloads a second
    bare: float  # starts a second of the bare loop
    cpu_ms: float  # of pilot and guard, a payload
    started_cpu_ms: float  # of what the guard starts: wrapper and payload
    memory_mb: dict[str, tuple[float, float]]  # resident now, and at most

    def figures(self, name: str) -> list[Figure]:
        rows = (
            ("CPU of pilot and guard", self.cpu_ms, "ms/job"),
            ("CPU of wrapper and payload", self.started_cpu_ms, "ms/job"),
            ("payloads", self.rate, "jobs/s"),
            ("bare loop", self.bare, "starts/s"),
            ("share of the bare loop", 100 * self.rate / self.bare, "%"),
        )
        return [figure(NAME, f"{name}: {what}", value, unit) for what, value, unit in rows]


def _rung(scale: Scale, isolation: str, python: str) -> Rung:
    with rig(mosquitto=True) as bench:
        pilot = bench.pilots(1, cores=SLOTS, isolation=isolation, python=python)[0].process.pid
        guard = _child(pilot)
        drain(bench, scale.before)
        own, started = cpu_s(pilot) + cpu_s(guard), reaped_cpu_s(guard)
        began = time.perf_counter()
        drain(bench, scale.jobs)
        rate = scale.jobs / (time.perf_counter() - began)
        time.sleep(SETTLED_S)
        own, started = cpu_s(pilot) + cpu_s(guard) - own, reaped_cpu_s(guard) - started
        memory = {who: _memory_mb(pid) for who, pid in (("pilot", pilot), ("guard", guard))}
    bare = _bare(isolation, scale.jobs, python)
    each_ms = 1_000 / scale.jobs
    return Rung(rate, bare, own * each_ms, started * each_ms, memory)


def drain(bench: Rig, jobs: int) -> None:
    """Run no-op jobs and wait until the last of them is over."""
    already = _ended(bench)
    bench.client.submit(template=NOOP, parameters=({"n": n} for n in range(jobs)))
    while _ended(bench) < already + jobs:
        time.sleep(LOOK_S)


def _ended(bench: Rig) -> int:
    rows = bench.client.summary().rows
    return sum(count for row in rows for state, count in row.counts.items() if state in FINAL)


def _bare(isolation: str, starts: int, python: str) -> float:
    """Return the starts a second of a loop that does nothing else."""
    folder = tempfile.mkdtemp(prefix="pilotage-bench-")
    try:
        words = [str(pilot_bundle()), isolation, str(starts), str(SLOTS), folder]
        done = subprocess.run(
            [*tied(), python, "-I", "-S", "-c", _BARE, *words],
            check=True,
            capture_output=True,
            text=True,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return float(done.stdout)


def _child(pid: int) -> int:
    """Return the guard of a pilot: the one child that it keeps."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    words = children.read_text().split()
    assert len(words) == 1, f"pilot {pid} has {len(words)} children, not a guard alone"
    return int(words[0])


def _memory_mb(pid: int) -> tuple[float, float]:
    """Return what is resident of a process, and what was at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    facts = {name: value for name, _, value in (line.partition(":") for line in lines)}
    now, most = (int(facts[name].split()[0]) * 1_024 / 1e6 for name in ("VmRSS", "VmHWM"))
    return now, most


# ---- starts --------------------------------------------------------------------------------------


def starts(scale: Scale, python: str) -> tuple[float, float]:
    """Start pilots one after another; return medians to the first ask: seconds, and of CPU."""
    with rig() as bench:
        found = [_to_first_ask(bench, python) for _ in range(scale.starts)]
    times, used = ([one[kind] for one in found] for kind in (0, 1))
    return percentile(times, 0.5), percentile(used, 0.5)


def _to_first_ask(bench: Rig, python: str) -> tuple[float, float]:
    with Relay(bench.central.url, (b"POST /v1/ask", b"POST /v1/turn")) as relay:
        began = time.perf_counter()
        pilot = bench.pilot_through(relay.url, python=python)
        try:
            return relay.seen_at(START_PATIENCE_S) - began, cpu_s(pilot.process.pid)
        finally:
            end(pilot.process)
