"""The analysis chain of CTAO as jobs: from simulated runs to DL1, to DL2, to one merged file.

    .venv/bin/python examples/ctapipe_chain.py

Nothing here knows where the jobs run. What a job keeps goes to the central, and the next step names
it by its hash, so each step may run on another pilot than the one before. A step is submitted as
soon as its input is there. The exit code is 0 only when the merged file holds every run and all
directions are right.

The pilots need ctapipe, in an environment of its own: deploy/make-ctapipe-venv makes one here,
`--tools` names another.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pilotage import Client, Input, Job, JobState, Need, OutputPattern, as_completed, errors
from pilotage.central.client import JobHandle
from pilotage.proto.attempts import Stream
from pilotage.proto.pilot_states import PilotState

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parent / ".venv-ctapipe" / "bin"
TEMPLATE = HERE / "data" / "gamma_prod6.simtel.zst"
FIRST_RUN = 101
PATIENCE_S = 600.0
APART_MAX_DEG = 5.0

# A payload finds only what its job says. Numerical libraries would start a thread for each core of
# the node, while this job has one.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
NEED = Need(memory_mb=600, wall_s=600)

HOW_TO_START = """\
Start them in other terminals:
    pilotage serve
    pilotage pilot start --site PIC --cores 1
    pilotage pilot start --site CSCS --cores 1"""


class ChainFailed(Exception):
    """A job of the chain did not end well."""


@dataclass(frozen=True)
class Programs:
    """What the chain runs, by its place on the pilots' nodes, and the files that go with it."""

    tools: Path
    template: Input
    scripts: tuple[Input, Input]  # simtel_run.py, ctapipe_report.py
    config: Input

    def simulate(self) -> Job:
        """Return the template of the runs; `run` is its parameter."""
        script = self.scripts[0]
        words = (self._tool("python"), script.name, self.template.name, "{run}")
        return job("Simulation", words, "run{run}.simtel.zst", (script, self.template))

    def to_dl1(self, run: Input) -> Job:
        """Return the job that calibrates, cleans and parametrises the images of a run."""
        output = run.name.replace(".simtel.zst", ".dl1.h5")
        return self._process("DL1", run, output, "--write-images", "--write-parameters")

    def to_dl2(self, dl1: Input) -> Job:
        """Return the job that reconstructs the showers of a DL1 file."""
        output = dl1.name.replace(".dl1.", ".dl2.")
        return self._process("DL2", dl1, output, "--write-showers")

    def merge(self, files: Sequence[Input]) -> Job:
        """Return the job that makes one file of many."""
        words = (self._tool("ctapipe-merge"), "-q", *(file.name for file in files), "-o")
        return job("Merge", words, "merged.dl2.h5", files)

    def report(self, merged: Input) -> Job:
        """Return the job that reads the merged file."""
        script = self.scripts[1]
        words = (self._tool("python"), script.name, merged.name)
        return job("Report", words, "report.json", (script, merged))

    def _process(self, step: str, file: Input, output: str, *what: str) -> Job:
        tool = self._tool("ctapipe-process")
        words = (tool, "-q", "-c", self.config.name, "-i", file.name, *what, "-o")
        return job(step, words, output, (self.config, file))

    def _tool(self, name: str) -> str:
        return str(self.tools / name)


def job(step: str, words: Sequence[str], output: str, inputs: Iterable[Input]) -> Job:
    """Return a job whose last word is the file that it makes. Its type is the step of the chain."""
    return Job(
        type=step,
        command=(*words, output),
        environment=ONE_THREAD,
        inputs=tuple(inputs),
        outputs=(OutputPattern(pattern=output),),
        needs=(NEED,),
        retries=1,
    )


def prepare(client: Client, tools: Path) -> Programs:
    """Bring to the central what it does not have yet."""
    template, simulate, report, config = client.upload(
        [TEMPLATE, HERE / "simtel_run.py", HERE / "ctapipe_report.py", HERE / "ctapipe.yaml"]
    )
    return Programs(tools, template, (simulate, report), config)


def run_chain(client: Client, programs: Programs, runs: Sequence[int]) -> list[JobHandle]:
    """Run everything; return the handles of the jobs, the merge and the report last."""
    parameters = [{"run": run} for run in runs]
    template = programs.simulate()
    made = client.submit(template=template, parameters=parameters, name="prod6").handles()
    dl1 = [submit(client, programs.to_dl1(file)) for file in as_they_come(made)]
    dl2 = [submit(client, programs.to_dl2(file)) for file in as_they_come(dl1)]
    files = sorted(as_they_come(dl2), key=lambda file: file.name)
    merge = submit(client, programs.merge(files))
    (merged,) = as_they_come([merge])
    report = submit(client, programs.report(merged))
    list(as_they_come([report]))
    return [*made, *dl1, *dl2, merge, report]


def submit(client: Client, job: Job) -> JobHandle:
    return client.submit(job, name=job.command[-1]).handles()[0]


def as_they_come(jobs: Sequence[JobHandle]) -> Iterator[Input]:
    """Yield what each job kept, once it is there, as an input of the next. Raises ChainFailed."""
    for job in as_completed(jobs, PATIENCE_S):
        detail = job.detail()
        view = detail.view
        if view.state is not JobState.DONE:
            said = b"".join(job.log(Stream.ERR)).decode(errors="replace")[-2_000:]
            state = view.state.value
            raise ChainFailed(f"job {job.id} ({view.type}) is {state}: {view.reason}\n{said}")
        (kept,) = detail.outputs
        print(f"{kept.name:<18} by job {job.id} at {view.site}", flush=True)
        yield Input(name=kept.name, sha256=kept.sha256, size_bytes=kept.size_bytes)


# -- the answer ----------------------------------------------------------------------------------


class Shower(msgspec.Struct):
    """A simulated shower; directions are altitude and azimuth in degrees."""

    observation: int
    energy_tev: float
    true_deg: tuple[float, float]
    found_deg: tuple[float, float] | None


class Report(msgspec.Struct):
    """What ctapipe_report.py says of the merged file."""

    observations: list[int]
    showers: list[Shower]


def apart_deg(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the angle between two directions, given as altitude and azimuth in degrees."""
    (alt, az), (alt2, az2) = (map(math.radians, direction) for direction in (one, other))
    across = math.sin((az - az2) / 2) ** 2 * math.cos(alt) * math.cos(alt2)
    return math.degrees(2 * math.asin(math.sqrt(math.sin((alt - alt2) / 2) ** 2 + across)))


def judge(report: Report, runs: Sequence[int]) -> bool:
    """Print what was found; return whether all runs are there and all directions right."""
    print("The merged file holds observations", *report.observations)
    right = sorted(report.observations) == list(runs) and len(report.showers) == len(runs)
    for shower in report.showers:
        true, found = shower.true_deg, shower.found_deg
        apart = math.nan if found is None else apart_deg(true, found)
        right = right and apart <= APART_MAX_DEG  # never true of NaN
        print(
            f"  {shower.observation}: {1000 * shower.energy_tev:.0f} GeV from {place(true)}", end=""
        )
        print(f", found at {place(found)}, {apart:.2f}° apart")
    return right


def place(direction: tuple[float, float] | None) -> str:
    if direction is None:
        return "nowhere"
    return f"altitude {direction[0]:.2f}° azimuth {direction[1]:.2f}°"


def show_where(jobs: Sequence[JobHandle], took_s: float) -> None:
    """Say on how many pilots the jobs ran."""
    views = [job.view() for job in jobs]
    pilots = {view.pilot for view in views}
    sites = ", ".join(sorted({view.site for view in views}))
    print(f"{len(jobs)} jobs on {len(pilots)} pilots at {sites} in {took_s:.0f} s")


# -- the command ---------------------------------------------------------------------------------


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the ctapipe chain as jobs on pilots.")
    parser.add_argument("--runs", type=int, default=6, help="how many runs (default: 6)")
    parser.add_argument("--url", help="the central; else the one that runs on this machine")
    parser.add_argument("--data", type=Path, help="data directory of a central on this machine")
    parser.add_argument(
        "--tools",
        type=Path,
        default=TOOLS,
        help="folder on the pilots' nodes with python and the commands of ctapipe",
    )
    parser.add_argument("--output", type=Path, help="where the merged file shall go")
    chosen = parser.parse_args()
    if chosen.runs < 1:
        parser.error("--runs must be 1 or more")
    if not chosen.tools.is_absolute():
        parser.error("--tools must be an absolute path: jobs do not run in this folder")
    if chosen.tools == TOOLS and not (TOOLS / "ctapipe-process").exists():
        parser.error("there is no ctapipe yet: run deploy/make-ctapipe-venv, or name it by --tools")
    return chosen


def main(chosen: argparse.Namespace) -> bool:
    """Run the chain; return whether its result is right."""
    runs = range(FIRST_RUN, FIRST_RUN + chosen.runs)
    with Client(chosen.url, data=chosen.data) as client:
        if not any(client.pilots(states=[PilotState.RUNNING])):
            print(f"No pilot runs yet, so the jobs will wait. {HOW_TO_START}", flush=True)
        began = time.monotonic()
        jobs = run_chain(client, prepare(client, chosen.tools), runs)
        show_where(jobs, time.monotonic() - began)
        if chosen.output:
            jobs[-2].download("merged.dl2.h5", chosen.output, force=True)
        with tempfile.TemporaryDirectory() as folder:
            report = jobs[-1].download("report.json", folder).read_bytes()
        return judge(msgspec.json.decode(report, type=Report), runs)


if __name__ == "__main__":
    try:
        good = main(options())
    except errors.NoCentral as why:
        sys.exit(f"{why}\n{HOW_TO_START}")
    except (ChainFailed, errors.ClientError) as why:
        sys.exit(str(why))
    sys.exit(not good)
