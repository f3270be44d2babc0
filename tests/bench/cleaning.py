"""A production whose jobs all wait is cleaned, while a neighbour submits and reads."""

import threading
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pilotage.central.client import Client
from pilotage.central.workflows.builders import Workflow
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import JobState
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import TaskState

from .figures import Figure, figure, percentile
from .load.backing import Server
from .load.gauges import Gauge
from .load.stage import Act, Stage, stage
from .rig import Sender

NAME = "cleaning"
JOBS = 100_000
PAUSE_S = 0.01  # between two requests of the neighbour
PATIENCE_S = 600.0
WORK = (
    "A production with 100,000 waiting jobs is cleaned. A *neighbour* submits and reads single "
    "jobs at the same time."
)
BOUND = "The limits are the interpreter and the writer."
ON_POSTGRESQL = "The same load."
BOUND_ON_POSTGRESQL = "The two cores are the limit."
_ONE = Job(command=("true",), needs=(Need(wall_s=60, sites=("NOWHERE",)),))


def run() -> tuple[str, list[Figure]]:
    """Measure on a file."""
    return WORK, measure(JOBS)


def on_postgresql(server: Server) -> tuple[str, list[Figure]]:
    """Measure with the store in a database."""
    return ON_POSTGRESQL, measure(JOBS, server)


def measure(jobs: int, server: Server | None = None) -> list[Figure]:
    """Make a production with waiting jobs, then clean it."""
    name = NAME if server is None else f"{NAME}-postgresql"
    with stage(server) as on:
        with_storage(on)
        with on.act() as act, Client(act.url, act.token) as client:
            large = made(client, jobs, on.folder)
            with _beside(act) as asked:
                gauge, began = Gauge(act.pid), time.perf_counter()
                client.act_on_production(large, "clean")
                cleaned(client, large)
                took, cpu_s = time.perf_counter() - began, gauge.cpu_s()
            states = states_of(client)
        assert states == {JobState.KILLED: jobs, JobState.WAITING: asked.submitted}, states
    return [
        figure(name, "from the request to Cleaned", took, "s"),
        figure(name, "neighbour's requests, p99", percentile(asked.took_ms, 0.99), "ms"),
        figure(name, "central's CPU", 1e6 * cpu_s / jobs, "µs/job"),
    ]


def with_storage(on: Stage) -> None:
    """Give the central a storage: without one nothing can have outputs."""
    storages = on.data / "storages"
    storages.mkdir(parents=True)
    on.data.chmod(0o700)
    text = f"type: file\nurl: file://{on.folder}/disk\ndefault: true\n"
    (storages / "disk.yaml").write_text(text)


def made(client: Client, jobs: int, folder: Path, *, name: str = "large") -> str:
    """Return the id of a production whose jobs all wait."""
    flow = Workflow(name, folder=folder)
    needs = Need(wall_s=60, sites=("NOWHERE",))
    flow.step("make", ["true"], tasks=jobs, needs=needs, outputs={"raw": "*.raw"})
    one = client.submit_production(flow).view.id
    until = time.monotonic() + PATIENCE_S
    while client.production(one).view.steps[0].tasks.get(TaskState.CREATED) != jobs:
        assert time.monotonic() < until, "its tasks are not made"
        time.sleep(0.2)
    return str(one)


def cleaned(client: Client, one: str) -> None:
    """Wait until a production is Cleaned."""
    until = time.monotonic() + PATIENCE_S
    while client.production(one).view.state is not ProductionState.CLEANED:
        assert time.monotonic() < until, "it is not cleaned"
        time.sleep(0.05)


def states_of(client: Client) -> dict[JobState, int]:
    """Return how many jobs there are in each state, by the central's counters."""
    (row,) = client.summary().rows
    return {state: count for state, count in row.counts.items() if count}


@dataclass
class _Neighbour:
    """Someone else, who submits one job and reads it, again and again."""

    sender: Sender
    took_ms: list[float] = field(default_factory=list[float])
    submitted: int = 0

    def ask(self, until: threading.Event) -> None:
        while not until.is_set():
            body = msgspec.json.encode({"key": uuid.uuid4().hex, "jobs": [_ONE]})
            began = time.perf_counter()
            answer = msgspec.json.decode(self.sender.post("/v1/submissions", body))
            self._took(began)
            self.submitted += 1
            began = time.perf_counter()
            self.sender.get(f"/v1/jobs/{answer['ids'][0]['first']}")
            self._took(began)
            until.wait(PAUSE_S)

    def _took(self, began: float) -> None:
        self.took_ms.append((time.perf_counter() - began) * 1_000)


@contextmanager
def _beside(act: Act) -> Generator[_Neighbour]:
    """Let a neighbour ask until the end of the block."""
    one, ends = _Neighbour(Sender(act.url, act.token)), threading.Event()
    asking = threading.Thread(target=one.ask, args=(ends,))
    asking.start()
    try:
        yield one
    finally:
        ends.set()
        asking.join()
        one.sender.close()
