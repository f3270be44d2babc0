"""A small workflow as a production, on a real central and real pilots that die around it."""

import hashlib
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pilotage.central.client.errors import ClientError
from pilotage.central.operate.datadir import STORE_FILE
from pilotage.central.workflows.builders import StepHandle, Workflow as Flow, files, files_like
from pilotage.proto.api.productions import ProductionActionName as A, ProductionView
from pilotage.proto.job_states import FINAL
from pilotage.proto.production_states import ProductionState as P
from pilotage.proto.transformation_states import TaskState as T

from .running import RunningCentral, eventually, running_central

ENDS_S = 120.0
MAKE = """
echo run $1 > $1.raw
echo '{"run": '$1'}' > $1.raw.meta.json
sleep 0.3
"""


def flow(folder: Path, name: str = "chain", runs: int = 4) -> Flow:
    """Return three steps: files are made, counted two by two, and gathered."""
    (folder / "make.sh").write_text(MAKE)
    made = Flow(name, metadata={"campaign": "A"}, software={"sim": "1.2"}, folder=folder)
    raw = made.step(
        "make",
        ["sh", "make.sh", "{task}"],
        files=["make.sh"],
        tasks=runs,
        outputs={"raw": files_like("*.raw", sets={"run": []})},
        metadata={"level": 0},
    )
    pair = made.step(
        "pair",
        ["sh", "-c", 'cat "$@" > pair-{task}', "sh", "{raw}"],
        inputs={"raw": files(raw["raw"])},
        grouping=2,
        outputs={"pair": "pair-*"},
        metadata={"level": 1},
    )
    _gather(made, pair)
    return made


def _gather(made: Flow, pair: StepHandle) -> None:
    made.step(
        "all",
        ["sh", "-c", 'cat "$@" > all', "sh", "{pair}"],
        inputs={"pair": files(pair["pair"])},
        grouping="all",
        outputs={"all": "all"},
        metadata={"level": 2},
    )


@pytest.fixture
def central(tmp_path: Path) -> Iterator[RunningCentral]:
    data = tmp_path / "site" / "central" / "storages"
    data.mkdir(parents=True)
    data.parent.chmod(0o700)
    (tmp_path / "disk").mkdir()
    (data / "disk.yaml").write_text(f"type: file\nurl: file://{tmp_path}/disk\ndefault: true\n")
    with running_central(tmp_path / "site") as running:
        for site in ("PIC", "CSCS"):
            running.pilot(site, cores=4, memory_mb=32_000)
        yield running


def until(
    central: RunningCentral, is_so: Callable[[ProductionView], bool], named: str = "chain"
) -> ProductionView:
    found: list[ProductionView] = []

    def look() -> bool:
        found[:] = [central.client.production(named).view]
        return is_so(found[0])

    eventually(look, what=f"production {named} as wanted", within_s=ENDS_S)
    return found[0]


def done(view: ProductionView) -> dict[str, int]:
    return {one.step: one.tasks.get(T.DONE, 0) for one in view.steps}


def completed(make: int) -> Callable[[ProductionView], bool]:
    return lambda view: view.state is P.COMPLETED and done(view)["make"] == make


def levels(central: RunningCentral) -> Counter[object]:
    """Return how many files of each level are in the catalogue."""
    return Counter(one.metadata["level"] for one in central.client.find_files({"campaign": "A"}))


def test_it_runs_to_its_end_goes_on_when_extended_runs_anew_and_leaves_nothing(
    central: RunningCentral, tmp_path: Path
) -> None:
    client = central.client
    preview = client.preview_production(flow(tmp_path))
    assert (preview.tasks, preview.files) == (7, 7)
    client.submit_production(flow(tmp_path))
    again = client.submit_production(flow(tmp_path))
    with pytest.raises(ClientError, match="'chain' is the name of production 1"):
        client.submit_production(flow(tmp_path, runs=5))
    view = until(central, completed(4))
    assert again.view.id == view.id
    assert done(view) == {"make": 4, "pair": 2, "all": 1}
    assert view.progress == 1.0
    assert levels(central) == {0: 4, 1: 2, 2: 1}
    assert client.production_report("chain").files == 7

    def took_s() -> float | None:  # it is looked at now and then
        return client.production_report("chain").steps[0].task_s

    assert (eventually(took_s, what="how long a task runs") or 0.0) > 0.2

    with pytest.raises(ClientError, match="step all has taken all files of pair together"):
        client.extend_production("chain", "make", 2)
    client.extend_production("chain", "make", 2, anyway=True)
    view = until(central, completed(6))
    assert done(view) == {"make": 6, "pair": 3, "all": 2}

    client.rerun_production("chain", "anew")
    second = until(central, completed(6), "anew")  # as many as it was extended to
    assert second.definition == view.definition
    assert done(second) == {"make": 6, "pair": 3, "all": 1}
    assert commands(central, "anew") <= commands(central, "chain")

    for named in ("chain", "anew"):
        one = client.act_on_production(named, A.CLEAN).view.id
        until(central, lambda its: its.state is P.CLEANED, str(one))
    assert levels(central) == {}
    assert all(view.state in FINAL for view in client.search())
    assert client.submit_production(flow(tmp_path), start=False).view.state is P.NEW


def commands(central: RunningCentral, named: str) -> set[tuple[str, ...]]:
    """Return what the jobs of a production run."""
    found: set[tuple[str, ...]] = set()
    for step in central.client.production(named).view.steps:
        for task in central.client.transformation_tasks(step.transformation):
            job = central.client.detail(task.job).job
            assert job is not None
            found.add((step.step, *job.command))
    return found


def test_it_pauses_goes_on_and_outlives_the_death_of_the_central_at_each_step(
    central: RunningCentral, tmp_path: Path
) -> None:
    client = central.client
    client.submit_production(flow(tmp_path, runs=12))
    until(central, lambda view: done(view)["make"] >= 2)
    central.kill9()
    central.restart()
    paused = client.act_on_production("chain", A.PAUSE, reason="lunch").view
    assert (paused.state, paused.reason) == (P.PAUSED, "lunch")
    eventually(lambda: not open_tasks(central), what="the end of what ran", within_s=ENDS_S)
    before = done(client.production("chain").view)
    central.kill9()
    central.restart()
    time.sleep(2.0)
    assert done(client.production("chain").view) == before
    client.act_on_production("chain", A.RESUME)
    until(central, lambda view: done(view)["pair"] >= 3)
    central.kill9()
    central.restart()
    view = until(central, completed(12))
    assert done(view) == {"make": 12, "pair": 6, "all": 1}
    assert levels(central) == {0: 12, 1: 6, 2: 1}

    client.extend_production("chain", "make", 2, anyway=True)
    central.kill9()
    central.restart()
    view = until(central, completed(14))
    assert done(view) == {"make": 14, "pair": 7, "all": 2}

    client.act_on_production("chain", A.CLEAN)
    central.kill9()
    central.restart()
    until(central, lambda its: its.state is P.CLEANED, str(view.id))
    assert levels(central) == {}


def open_tasks(central: RunningCentral) -> int:
    steps = central.client.production("chain").view.steps
    return sum(one.tasks.get(T.CREATED, 0) for one in steps)


def test_a_start_that_fails_leaves_nothing(central: RunningCentral, tmp_path: Path) -> None:
    """A name that is taken, at the last step; and a central that dies while it is asked."""
    client = central.client
    other = flow(tmp_path, "chain-all", runs=1)
    client.submit_production(other)
    clashing = Flow("chain", folder=tmp_path)
    for name in ("make", "pair", "all-make"):
        clashing.step(name, ["true"])
    with pytest.raises(ClientError, match="step all-make would be 'chain-all-make'"):
        client.submit_production(clashing)
    until(central, lambda view: view.state is P.COMPLETED, "chain-all")
    assert [one.name for one in client.productions()] == ["chain-all"]
    assert {one.name for one in client.transformations()} == {
        "chain-all-make",
        "chain-all-pair",
        "chain-all-all",
    }
    central.kill9()
    with closing(sqlite3.connect(central.data / STORE_FILE)) as store:
        steps = store.execute("SELECT count(*) FROM production_step").fetchone()
        rows = store.execute("SELECT count(*) FROM transformation").fetchone()
    assert (steps, rows) == ((3,), (3,))


def test_digests_of_images_that_can_be_seen_are_kept_and_a_rerun_has_the_same(
    central: RunningCentral, tmp_path: Path
) -> None:
    image = tmp_path / "tools.sif"
    image.write_bytes(b"an image")
    boxed = Flow("boxed", folder=tmp_path)
    boxed.step("run", ["true"], tasks=1, job={"image": str(image)})
    boxed.step("other", ["true"], tasks=1, job={"image": "/cvmfs/images/not-here.sif"})

    known = {str(image): f"sha256:{hashlib.sha256(b'an image').hexdigest()}"}
    assert central.client.submit_production(boxed, start=False).images == known
    image.write_bytes(b"another image")
    assert central.client.rerun_production("boxed", "anew", start=False).images == known
