"""Short jobs of a three-step production run on real pilots; the time and what it takes are printed.

Each job reads and writes a small file. `make long` runs 100,000 of them: with `-s` it prints the
figures while it runs. `THREE_STEPS=2000` sets another number.
"""

import os
import time
from pathlib import Path
from typing import Final

import pytest

from pilotage.central.client import Client
from pilotage.central.operate.datadir import STORE_FILE
from pilotage.central.workflows.builders import Workflow, files
from pilotage.proto.api.productions import ProductionView
from pilotage.proto.documents.job import Need
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import TaskState, TransformationState
from tests.bench.load.gauges import Gauge
from tests.bench.rig import Rig, rig

SMALL: Final = 100
LARGE: Final = int(os.environ.get("THREE_STEPS", "100_000"))
PILOTS: Final = 2
SLOTS: Final = 8
LOOK_S: Final = 1.0
TOLD_S: Final = 30.0  # between two lines about the progress
STANDS_S: Final = 300.0  # without an end of a job for so long, something hangs
NEED: Final = Need(wall_s=600)


@pytest.mark.parametrize("jobs", [SMALL, pytest.param(LARGE, marks=pytest.mark.long)])
def test_all_jobs_of_three_steps_run_to_the_end(jobs: int, tmp_path: Path) -> None:
    made = jobs * 2 // 5
    with rig(mosquitto=True) as bench:
        disk = _with_storage(bench, tmp_path)
        bench.pilots(PILOTS, cores=SLOTS, isolation="session")
        one = bench.client.submit_production(_flow(made, tmp_path)).view.id
        view = _ended(bench, one, jobs)

    done = {step.step: step.tasks for step in view.steps}
    assert done == {
        "make": {TaskState.DONE: made},
        "count": {TaskState.DONE: made},
        "merge": {TaskState.DONE: made // 2},
    }
    numbers = [int(word) for file in disk.rglob("merged-*") for word in file.read_text().split()]
    assert sorted(numbers) == list(range(1, made + 1)), "a file was merged twice, or never"


def _with_storage(bench: Rig, folder: Path) -> Path:
    """Give the central a storage; it reads its file within seconds."""
    disk = folder / "disk"
    disk.mkdir()
    storages = bench.central.data / "storages"
    storages.mkdir(exist_ok=True)
    (storages / "disk.yaml").write_text(f"type: file\nurl: file://{disk}\ndefault: true\n")
    sender, until = bench.sender(), time.monotonic() + 60
    while b'"disk"' not in sender.get("/v1/storages"):
        assert time.monotonic() < until, "the storage does not come"
        time.sleep(0.2)
    return disk


def _flow(made: int, folder: Path) -> Workflow:
    """Return steps that write a number, copy it, and merge two numbers."""
    flow = Workflow("short", folder=folder)
    first = flow.step(
        "make",
        ["sh", "-c", "echo {task} > made-{task}"],
        tasks=made,
        needs=NEED,
        outputs={"made": "made-*"},
    )
    second = flow.step(
        "count",
        ["sh", "-c", 'cat "$@" > counted-{task}', "sh", "{made}"],
        inputs={"made": files(first["made"])},
        grouping=1,
        needs=NEED,
        outputs={"counted": "counted-*"},
    )
    flow.step(
        "merge",
        ["sh", "-c", 'cat "$@" > merged-{task}', "sh", "{counted}"],
        inputs={"counted": files(second["counted"])},
        grouping=2,
        needs=NEED,
        outputs={"merged": "merged-*"},
    )
    return flow


def _ended(bench: Rig, one: int, jobs: int) -> ProductionView:
    """Wait for the end of a production; print what it took."""
    gauge, began = Gauge(bench.central.process.pid), time.monotonic()
    memory_mb, ended, moved, told = 0.0, 0, began, began
    while True:
        view = _view(bench.client, one)
        now = time.monotonic()
        count = sum(n for step in view.steps for n in step.tasks.values()) - _open(view)
        moved, ended = (now, count) if count > ended else (moved, ended)
        memory_mb = max(memory_mb, gauge.memory_mb())
        is_over = view.state is ProductionState.COMPLETED
        if is_over or now - told >= TOLD_S:
            told = now
            print(
                f"\n{ended} of {jobs} jobs in {now - began:.0f} s ({ended / (now - began):.0f}/s); "
                f"central: {gauge.cpu_s():.1f} s of CPU ({1e3 * gauge.cpu_s() / max(ended, 1):.2f} "
                f"ms a job), at most {memory_mb:.0f} MB; store {_store_mb(bench):.0f} MB"
            )
        if is_over:
            return view
        assert now - moved < STANDS_S, f"no job has ended for {STANDS_S:.0f} s: {view}"
        time.sleep(min(LOOK_S, jobs / 1_000))


def _view(client: Client, one: int) -> ProductionView:
    view = client.production(one).view
    assert view.state in (ProductionState.ACTIVE, ProductionState.COMPLETED), view
    assert not any(step.state is TransformationState.PAUSED for step in view.steps), view
    return view


def _open(view: ProductionView) -> int:
    return sum(step.tasks.get(TaskState.CREATED, 0) for step in view.steps)


def _store_mb(bench: Rig) -> float:
    return sum(file.stat().st_size for file in bench.central.data.glob(f"{STORE_FILE}*")) / 1e6
