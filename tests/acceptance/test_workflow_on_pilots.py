"""A workflow gives the same files on one machine and, as transformations, on pilots."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pilotage.central.workflows.builders import Workflow as Flow
from pilotage.central.workflows.builders import files, files_like
from pilotage.central.workflows.files import read_workflow
from pilotage.central.workflows.to_transformations import (
    PORT_KEY,
    obstacles,
    to_transformations,
)
from pilotage.proto.transformation import Grouping
from pilotage.proto.transformation_states import TransformationState
from pilotage.proto.workflow import Workflow

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


def chain(folder: Path) -> Workflow:
    """Return steps with all that transformations can: conditions, keys, joins, shared files."""
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
    return flow.build()


def on_pilots(central: RunningCentral, workflow: Workflow, folder: Path) -> None:
    """Run a workflow as transformations, to their end."""
    assert obstacles(workflow) == []
    for name, document in to_transformations(workflow).items():
        given = [folder / path for path in workflow.steps[name].files]
        inputs = tuple(central.client.upload(given)) if given else ()
        job = msgspec.structs.replace(document.job, inputs=inputs)
        central.client.add_transformation(msgspec.structs.replace(document, job=job))

    def all_completed() -> bool:
        states = {one.state for one in central.client.transformations()}
        assert not states & {TransformationState.PAUSED, TransformationState.STOPPED}
        return states == {TransformationState.COMPLETED}

    eventually(all_completed, what="the end of all transformations", within_s=180.0)


def found_on(central: RunningCentral) -> Counter[Metadata]:
    """Return the metadata of all files of the catalogue."""
    return Counter(told(one.metadata) for one in central.client.find_files({}))


def told(metadata: Mapping[str, Any]) -> Metadata:
    return frozenset((key, value) for key, value in metadata.items() if key != PORT_KEY)


@pytest.mark.parametrize("which", ["chain", pytest.param("prod6", marks=pytest.mark.long)], ids=str)
def test_the_same_files_come_out_here_and_on_pilots(which: str, tmp_path: Path) -> None:
    beside = tmp_path if which == "chain" else ROOT / "examples" / "prod6"
    workflow = (
        chain(tmp_path)
        if which == "chain"
        else read_workflow(beside / "prod6.yaml", {"runs": "2"}).workflow
    )
    outcome = run_here(workflow, tmp_path, beside=beside)
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
        on_pilots(central, workflow, beside)
        found = found_on(central)

    assert found == expected
