"""The factory on a real Slurm: how soon the first payload runs, and 500 jobs against 500 `sbatch`.

What it measures against is what a user would do instead, on the same cluster in the same run.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import FINAL, JobState
from tests.services.slurm import Slurm, missing

from .figures import Figure, figure, percentile
from .rig import Rig, rig

NAME = "factory"
NODES, CPUS = 2, 8
MEMORY_MB = 16_000  # of a pilot
IDLE_S = 3.0  # the file of its output goes soon after a pilot's end
EVERY_S = 1.0  # between two rounds of the factory
LOOK_S = 0.1
PATIENCE_S = 120.0
CLIENTS = 4  # of Slurm, that submit side by side
SITE = "SLURM"
WORK = (
    f"A real Slurm has {NODES} nodes with {CPUS} cores each on paper and its default scheduler; "
    f"the factory plans every {EVERY_S:g} s. The *start* runs from the pilot's script to the first "
    f"payload. 500 jobs of `sleep 1` run through pilots and through `sbatch` from {CLIENTS} shells."
)


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    starts: int = 9
    jobs: int = 500


FULL = Scale()


def measure(scale: Scale = FULL) -> list[Figure]:
    """Measure on a Slurm of our own; say why where there can be none, and return nothing."""
    if why := missing():
        print(f"bench: Slurm cannot be run here: {why}", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as folder:
        cluster = Slurm(Path(folder) / "slurm", nodes=NODES, cpus=CPUS, eager=False)
        try:
            cluster.start()
            return [*_first_payloads(cluster, scale.starts), *_against(cluster, scale.jobs)]
        finally:
            cluster.stop()


@contextmanager
def _central(cluster: Slurm, *, cores: int, idle_s: float) -> Generator[Rig]:
    """Yield a central whose one site is the cluster."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pilotage-bench-")))
        element = {
            "kind": "slurm",
            "options": cluster.options,
            "shapes": [{"cores": cores, "memory_mb": MEMORY_MB}],
            "pilot": {"idle_s": idle_s},
            "pilots_max": NODES,
        }
        (folder / f"{SITE}.yaml").write_text(json.dumps({"elements": {"slurm": element}}))
        settings = {"factory.every_s": str(EVERY_S), "factory.sites": str(folder)}
        yield stack.enter_context(rig(settings, mosquitto=True))


# ---- the first payload ---------------------------------------------------------------------------


def _first_payloads(cluster: Slurm, starts: int) -> list[Figure]:
    with _central(cluster, cores=1, idle_s=IDLE_S) as bench:
        found = [_first_payload(bench, cluster) for _ in range(starts)]
    to_payload, in_slurm, in_all = ([one[part] for one in found] for part in range(3))
    return [
        figure(NAME, "idle Slurm, start to first payload", percentile(to_payload, 0.5), "s"),
        figure(NAME, "idle Slurm, sbatch to start", percentile(in_slurm, 0.5), "s"),
        figure(NAME, "idle Slurm, job to first payload", percentile(in_all, 0.5), "s"),
        figure(NAME, "idle Slurm, job to first payload, longest", max(in_all), "s"),
    ]


def _first_payload(bench: Rig, cluster: Slurm) -> tuple[float, float, float]:
    """Return how long a payload's first instruction took: from the start of the pilot's script,
    how long that took from its submission, and all of it from the submission of the job."""
    began = time.time()
    made = bench.client.submit(Job(command=("date", "+%s.%N"), needs=(Need(wall_s=60),)))
    job = next(iter(made.ids()))
    until = time.monotonic() + PATIENCE_S
    while bench.client.detail(job).view.state is not JobState.DONE:
        _wait(until, "the first payload")
    pilot = _last_start(cluster)
    payload = float(b"".join(bench.client.log(job)))
    submitted = _last_submission(bench.central.data / "central.log")
    while cluster.held():
        _wait(until, "the end of the pilot")
    return payload - pilot, pilot - submitted, payload - began


def _last_start(cluster: Slurm) -> float:
    """Return when the newest script was started: then Slurm makes the file of its output."""
    files = [str(file) for file in (cluster.folder / "pilots").glob("*.err")]
    words = ["stat", "--format=%.9W", *files]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return max(float(line) for line in done.stdout.split())


def _last_submission(log: Path) -> float:
    """Return when the central had last got pilots submitted, by its own clock, which is ours."""
    events = [
        json.loads(line) for line in log.read_text().splitlines() if "pilots_submitted" in line
    ]
    return datetime.fromisoformat(events[-1]["at"]).timestamp()


def _wait(until: float, what: str) -> None:
    if time.monotonic() > until:
        raise RuntimeError(f"{what} did not come within {PATIENCE_S:.0f} s")
    time.sleep(LOOK_S)


# ---- against what a user would do instead --------------------------------------------------------


def _against(cluster: Slurm, jobs: int) -> list[Figure]:
    ours = _by_pilots(cluster, jobs)
    theirs = _by_sbatch(cluster, jobs)
    array = _by_array(cluster, jobs)
    return [
        figure(NAME, f"{jobs} jobs of 1 s by pilots", ours, "s"),
        figure(NAME, f"{jobs} jobs of 1 s by sbatch", theirs, "s"),
        figure(NAME, f"{jobs} jobs of 1 s as an array", array, "s"),
        figure(NAME, "by pilots, of the time by sbatch", 100 * ours / theirs, "%"),
    ]


def _by_pilots(cluster: Slurm, jobs: int) -> float:
    job = Job(command=("sleep", "1"), needs=(Need(wall_s=60),))
    with _central(cluster, cores=CPUS, idle_s=10.0) as bench:
        began = time.perf_counter()
        bench.client.submit(template=job, parameters=({"n": n} for n in range(jobs)))
        until = time.monotonic() + PATIENCE_S
        while (counts := _counts(bench)).get(JobState.DONE, 0) < jobs:
            if sum(counts.get(one, 0) for one in FINAL - {JobState.DONE}):
                raise RuntimeError(f"not all jobs are Done: {counts}")
            _wait(until, "the end of the jobs")
        took = time.perf_counter() - began
        while cluster.held():
            _wait(until, "the end of the pilots")
    return took


def _counts(bench: Rig) -> dict[JobState, int]:
    rows = bench.client.summary().rows
    return {state: row.counts[state] for row in rows for state in row.counts}


def _by_sbatch(cluster: Slurm, jobs: int) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as shells:
        parts = [jobs // CLIENTS + (number < jobs % CLIENTS) for number in range(CLIENTS)]
        for shell in [shells.submit(_type_sbatch, cluster, part) for part in parts]:
            shell.result()
    _until_empty(cluster)
    return time.perf_counter() - began


def _type_sbatch(cluster: Slurm, jobs: int) -> None:
    """Do what a user's loop does: one command a job, one after another."""
    loop = (
        'for n in $(seq "$1"); do sbatch --quiet --output=/dev/null --wrap="sleep 1" || exit; done'
    )
    done = subprocess.run(
        ["sh", "-c", loop, "sh", str(jobs)],
        env=cluster.environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"sbatch: {done.stderr}")


def _by_array(cluster: Slurm, jobs: int) -> float:
    began = time.perf_counter()
    cluster.run("sbatch", f"--array=1-{jobs}", "--output=/dev/null", "--wrap=sleep 1")
    _until_empty(cluster)
    return time.perf_counter() - began


def _until_empty(cluster: Slurm) -> None:
    until = time.monotonic() + PATIENCE_S
    while cluster.held():
        _wait(until, "the end of the batch jobs")
