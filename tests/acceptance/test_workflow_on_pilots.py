"""A workflow gives the same files on one machine and, as a production, on pilots."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.cli.productions.workflow_files import FromFile
from pilotage.central.client.workflow_sources import SubmittableWorkflow as Submittable
from pilotage.central.workflows.builders import Workflow as Flow, files, files_like
from pilotage.central.workflows.translation import PORT_KEY
from pilotage.central.workflows.workflow_files import read_workflow
from pilotage.proto.documents.transformation import Grouping
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import TaskState, TransformationState

from ..unit.workflows.written_here import run_here
from .running import ROOT, RunningCentral, eventually, running_central

PROGRAM = """
for n in 1 5; do
    echo $1 $2 > $1-$2-$n.raw
    echo '{"run": '$2', "nsb": '$n', "sure": true}' > $1-$2-$n.raw.meta.json
done
echo seen > $1-$2.log
"""
Metadata = frozenset[tuple[str, Any]]


def chain(folder: Path) -> Flow:
    """Return steps with all that transformations can: conditions, keys, joins, one name."""
    (folder / "make.sh").write_text(PROGRAM)
    flow = Flow("chain", metadata={"campaign": "A"}, folder=folder)
    made = {
        kind: flow.step(
            f"make-{kind}",
            ["sh", "make.sh", kind, "{task}"],
            files=["make.sh"],
            tasks=3,
            metadata={"kind": kind, "level": 0},
            outputs={
                "raw": files_like("*.raw", sets={"run": [], "nsb": [1, 5], "sure": [True]}),
                "log": files_like("*.log", metadata={"what": "log"}),
            },
        )
        for kind in ("gamma", "proton")
    }
    model = flow.step(
        "model",
        ["sh", "-c", 'cat "$@" > model', "sh", "{raw}"],
        inputs={"raw": files(made["gamma"]["raw"], where={"nsb": 5})},
        grouping="all",
        metadata={"what": "model"},
        outputs={"model": "model"},
    )
    flow.step(
        "pair",
        ["sh", "-c", 'cat "$@" > pair', "sh", "{inputs}"],
        inputs={
            "one": files(made["gamma"]["raw"], where={"nsb": 1}),
            "other": files(made["proton"]["raw"], where={"nsb": 1}),
            "model": files(model["model"], shared=True),
        },
        grouping=Grouping(rule="join", keys=("run",)),
        metadata={"level": 1, "of": "run {run}"},
        outputs={"pair": "pair"},
    )
    flow.step(
        "dim",
        ["sh", "-c", 'cat "$@" > dim-{nsb}', "sh", "{raw}"],
        inputs={"raw": files(made["proton"]["raw"])},
        grouping=Grouping(rule="key", keys=("nsb",), size=10),
        outputs={"dim": "dim-*"},
    )
    same = flow.step("same", ["sh", "-c", "echo {task} > same"], tasks=2, outputs={"same": "same"})
    flow.step(
        "whole",
        ["sh", "-c", 'test "$(cat "$@" | sort | xargs)" = "1 2" && touch whole', "sh", "{same}"],
        inputs={"same": files(same["same"])},
        grouping="all",
        outputs={"whole": "whole"},
    )
    return flow


def on_pilots(central: RunningCentral, flow: Submittable) -> None:
    """Run a workflow as a production, to its end."""
    made = central.client.submit_production(flow)

    def is_complete() -> bool:
        view = central.client.production(made.view.id).view
        assert view.state in (ProductionState.ACTIVE, ProductionState.COMPLETED)
        assert not any(one.state is TransformationState.PAUSED for one in view.steps), view.steps
        return view.state is ProductionState.COMPLETED

    eventually(is_complete, what="the end of the production", within_s=400.0)
    view = central.client.production(made.view.id).view
    assert view.progress == 1.0
    assert all(one.tasks_expected == one.tasks[TaskState.DONE] for one in view.steps)


def found_on(central: RunningCentral) -> Counter[Metadata]:
    """Return the metadata of all files of the catalogue."""
    return Counter(told(one.metadata) for one in central.client.find_files({}))


def told(metadata: Mapping[str, Any]) -> Metadata:
    return frozenset((key, value) for key, value in metadata.items() if key != PORT_KEY)


@pytest.mark.parametrize("which", ["chain", pytest.param("prod6", marks=pytest.mark.long)], ids=str)
def test_the_same_files_come_out_here_and_on_pilots(which: str, tmp_path: Path) -> None:
    flow: Submittable
    if which == "chain":
        flow, workflow = (built := chain(tmp_path)), built.build()
    else:
        written = read_workflow(ROOT / "examples" / "prod6" / "prod6.yaml", {"runs": "2"})
        flow, workflow = FromFile(written), written.workflow
    outcome = run_here(workflow, tmp_path, beside=flow.folder)
    assert outcome.complete, outcome.failures
    expected = Counter(told(one.metadata) for one in outcome.record.files)
    data = tmp_path / "site" / "central" / "storages"
    data.mkdir(parents=True)
    data.parent.chmod(0o700)
    (tmp_path / "disk").mkdir()
    (data / "disk.yaml").write_text(f"type: file\nurl: file://{tmp_path}/disk\ndefault: true\n")
    with running_central(tmp_path / "site") as central:
        for site in ("PIC", "CSCS"):
            central.pilot(site, cores=8, memory_mb=64_000, tags=("processing", "training"))
        on_pilots(central, flow)
        found = found_on(central)

    assert found == expected
