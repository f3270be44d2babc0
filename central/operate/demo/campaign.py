"""The campaign of `pilotage demo`: its jobs, and the expected result."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pilotage.proto.api.explanations import Explanation
from pilotage.proto.documents.job import Input, Job, Need, OutputPattern
from pilotage.proto.job_states import FINAL, JobState

from ...client import Client, JobHandle

PAYLOAD = Path(__file__).with_name("payloads") / "spectrum.py"
TRUE_INDEX = 2.7
RUNS = 110
EVENTS = 40_000
PAUSE_S = 0.7  # a run takes a little longer than its computing, so that there is something to see
SIGMAS_MAX = 4.0
PYTHON = "python3"


@dataclass(frozen=True)
class CampaignJobs:
    """The jobs of the campaign, by purpose."""

    runs: tuple[JobHandle, ...]
    failing_once: JobHandle
    fitting_nowhere: JobHandle

    @property
    def all_that_can_run(self) -> tuple[JobHandle, ...]:
        return (*self.runs, self.failing_once)


def submit(client: Client) -> CampaignJobs:
    """Submit the campaign: runs, one that fails once, one that fits no pilot."""
    script = client.upload([PAYLOAD])
    need = Need(memory_mb=200, wall_s=300)
    template = Job(
        command=(PYTHON, PAYLOAD.name, "generate", "{seed}", str(EVENTS), "run.json"),
        name="generate",
        environment={"SPECTRUM_PAUSE_S": str(PAUSE_S)},
        inputs=tuple(script),
        outputs=(OutputPattern(pattern="run.json"),),
        needs=(need,),
        retries=1,
    )
    runs = client.submit(
        template=template,
        parameters=({"seed": seed} for seed in range(1, RUNS + 1)),
        name="gamma campaign",
    )
    failing = Job(
        command=(PYTHON, PAYLOAD.name, "fail-once", str(RUNS + 1), str(EVENTS), "run.json"),
        name="fails once",
        inputs=tuple(script),
        outputs=(OutputPattern(pattern="run.json"),),
        needs=(need,),
        retries=1,
    )
    greedy = Job(
        command=(PYTHON, PAYLOAD.name, "generate", "0", "1", "run.json"),
        name="asks for too much",
        inputs=tuple(script),
        needs=(Need(memory_mb=1_000_000, cores_min=64, tags="gpu"),),
    )
    others = client.submit([failing, greedy], name="special cases").handles()
    return CampaignJobs(tuple(runs.handles()), others[0], others[1])


def wait(
    client: Client, campaign: CampaignJobs, look: Callable[[dict[JobState, int]], None]
) -> dict[JobState, int]:
    """Wait for all jobs that can run, and return the counts; `look` gets interim counts."""
    ids = {job.id for job in campaign.all_that_can_run}
    states: dict[int, JobState] = {}

    def read() -> dict[JobState, int]:
        counts: dict[JobState, int] = {}
        for job in client.search():
            if job.id in ids:
                states[job.id] = job.state
        for state in states.values():
            counts[state] = counts.get(state, 0) + 1
        return counts

    while True:
        counts = read()
        look(counts)
        if sum(counts.get(state, 0) for state in FINAL) == len(ids):
            return counts


def merge(client: Client, campaign: CampaignJobs) -> JobHandle:
    """Submit the job that fits all runs together, with their outputs as its inputs."""
    script = client.upload([PAYLOAD])
    inputs: list[Input] = []
    names: list[str] = []
    for number, job in enumerate(campaign.all_that_can_run):
        out = next(one for one in job.outputs() if one.name == "run.json")
        names.append(f"run{number}.json")
        inputs.append(Input(name=names[-1], sha256=out.sha256, size_bytes=out.size_bytes))
    return client.submit(
        Job(
            command=(PYTHON, PAYLOAD.name, "merge", "result.json", *names),
            name="merge",
            inputs=(*script, *inputs),
            outputs=(OutputPattern(pattern="result.json"),),
            needs=(Need(memory_mb=200, wall_s=300),),
        ),
        name="gamma merge",
    ).handles()[0]


@dataclass(frozen=True)
class CampaignResult:
    """The result of the merge."""

    runs: int
    seeds: int
    events: int
    index: float
    error: float

    @property
    def sigmas(self) -> float:
        return abs(self.index - TRUE_INDEX) / self.error

    @property
    def right(self) -> bool:
        """Whether every run counts once, and the result is the true index."""
        return self.runs == self.seeds == RUNS + 1 and self.sigmas < SIGMAS_MAX


def result(job: JobHandle) -> CampaignResult:
    """Read the merge's output."""
    with TemporaryDirectory() as folder:
        file = job.download("result.json", folder)
        return CampaignResult(**json.loads(file.read_text(encoding="utf-8")))


def counted(count: int, what: str) -> str:
    """Return `1 job` or `2 jobs`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def why_it_waits(explanation: Explanation) -> list[str]:
    """Return an explanation as lines of text."""
    lines = [
        f"{explanation.fitting} of {counted(explanation.offers, 'live offer')} fit; "
        f"{counted(explanation.ahead, 'job')} before it"
    ]
    for one in explanation.obstacles:
        best = f", the nearest of these has {one.best}" if one.best else ""
        lines.append(f"{one.clause}: wanted {one.wanted}, excludes {one.excludes}{best}")
    return lines + explanation.notes
