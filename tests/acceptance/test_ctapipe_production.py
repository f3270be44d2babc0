"""The chain of CTAO with real ctapipe as a production: simtel runs, DL1, DL2, a file."""

import dataclasses
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from pilotage.central.cli.productions.workflow_files import FromFile
from pilotage.central.workflows.workflow_files import read_workflow
from pilotage.proto.api.data import Direction
from pilotage.proto.documents.transformation import Grouping
from pilotage.proto.job_states import JobState

from .running import running_central
from .test_ctapipe_chain import APART_MAX_DEG, EXAMPLES, TOOLS, apart_deg, ctapipe, read
from .test_workflow_on_pilots import on_pilots

__all__ = ["ctapipe"]  # required of both modules alike


@pytest.mark.usefixtures("ctapipe")
@pytest.mark.parametrize(("runs", "group"), [(4, 2), pytest.param(12, 4, marks=pytest.mark.long)])
def test_runs_in_groups_become_one_file_with_the_right_directions(
    runs: int, group: int, tmp_path: Path
) -> None:
    """A few runs show it in the gate: each starts ctapipe twice, which takes many seconds."""
    groups = runs // group
    tasks = {"Simulation": runs, "DL1": groups, "DL2": groups, "Merge": 1, "Report": 1}
    storages = tmp_path / "site" / "central" / "storages"
    storages.mkdir(parents=True)
    storages.parent.chmod(0o700)
    (tmp_path / "disk").mkdir()
    (storages / "disk.yaml").write_text(f"type: file\nurl: file://{tmp_path}/disk\ndefault: true\n")
    written = read_workflow(EXAMPLES / "ctapipe_chain.yaml", {"runs": str(runs)})
    workflow = written.workflow
    steps = {
        name: msgspec.structs.replace(
            step,
            grouping=step.grouping and in_groups(step.grouping, group),
            job=msgspec.structs.replace(
                step.job, environment={**step.job.environment, "PATH": f"{TOOLS}/bin:/usr/bin:/bin"}
            ),
        )
        for name, step in workflow.steps.items()
    }
    whole = msgspec.structs.replace(workflow, steps=steps)
    merged = tmp_path / "merged.dl2.h5"

    with running_central(tmp_path / "site") as central:
        for site in ("PIC", "CSCS"):
            central.pilot(site, cores=1)
        on_pilots(central, FromFile(dataclasses.replace(written, workflow=whole)))

        views = list(central.client.search())
        assert Counter(view.type for view in views) == tasks
        assert {view.state for view in views} == {JobState.DONE}
        (file,) = central.client.find_files({"data_level": 2, "merged": 1})
        central.client.get_file(file.did, merged)
        lineage = central.client.lineage(file.did, Direction.UP)

    report = read(merged, tmp_path / "report.json")
    assert sorted(report.observations) == list(range(1, runs + 1))
    for shower in report.showers:
        assert shower.true_deg == pytest.approx((70.0, 180.0))
        assert apart_deg(shower.true_deg, shower.found_deg) < APART_MAX_DEG

    read_by = Counter(did for link in lineage.links for did in link.inputs)
    assert set(read_by.values()) == {1}, "every file was read by one job"
    links = Counter((link.step, len(link.inputs)) for link in lineage.links)
    assert links == {(1, runs): 1, (2, group): groups, (3, group): groups, (4, 0): runs}


def in_groups(grouping: Grouping, most: int) -> Grouping:
    """Return a grouping whose groups hold no more files."""
    return msgspec.structs.replace(grouping, size=min(most, grouping.size))
