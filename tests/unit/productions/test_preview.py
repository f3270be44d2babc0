"""What a production would be: where not all files are counted, that is said."""

from pathlib import Path

import pytest

from pilotage.central.catalogue import (
    record_datasets as dataset_records,
    record_files as file_records,
    record_registration as registration,
)
from pilotage.central.catalogue.record_types import NewDataset, NewFile, NewReplica
from pilotage.central.productions import preview
from pilotage.proto.api.productions import NewProduction, ProductionPreview, StepPreview
from pilotage.proto.catalogue import Did, KeyType
from tests.unit.workflows.written_here import workflow

from .served import CALLER, Served

TEXT = """
    workflow: w
    keys: {k: number}
    steps:
      use:
        inputs: {raw: {query: {k: 1}}, tables: {query: {k: 2}, use: shared}}
        grouping: 2
        job: {command: [x]}
        outputs: {o: "*"}
      next: {inputs: {i: use.o}, job: {command: [x]}}
"""


@pytest.fixture(autouse=True)
def _few_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "FILES_MAX", 5)
    monkeypatch.setattr(preview, "PAGE_MAX", 2)


async def _previewed(tmp_path: Path, text: str, *, raw: int, tables: int) -> ProductionPreview:
    """Return what a workflow would be, with so many files in the catalogue."""
    served = Served()
    await served.store.write(file_records.add_keys, "ctao", {"k": KeyType.NUMBER})
    for k in (1, 2):
        new = NewDataset(did=Did("sim", f"of-{k}"), owner_id=1)
        await served.store.write(dataset_records.make_dataset, "ctao", new, at=1.0)
    files = [
        NewFile(
            did=Did("sim", f"f{k}-{n}"),
            owner_id=1,
            bytes=1,
            adler32="00000001",
            metadata={"k": k},
            datasets=(Did("sim", f"of-{k}"),),
            replicas=(NewReplica("disk", f"f{k}-{n}"),),
        )
        for k, count in ((1, raw), (2, tables))
        for n in range(count)
    ]
    assert all(
        one.new
        for one in await served.store.write(registration.register_files, "ctao", files, at=1.0)
    )
    body = NewProduction(workflow=workflow(tmp_path, text), dry_run=True)
    found = await served.service.add(CALLER, body)
    assert isinstance(found, ProductionPreview)
    return found


def _said(step: StepPreview) -> tuple[int | None, bool, dict[str, int | None], list[str]]:
    return step.tasks, step.exact, step.inputs, step.more


async def test_as_many_files_as_are_counted_are_all(tmp_path: Path) -> None:
    use, after = (await _previewed(tmp_path, TEXT, raw=5, tables=4)).steps

    assert _said(use) == (3, True, {"raw": 5, "tables": 4}, [])
    assert _said(after) == (3, True, {"i": 3}, [])


async def test_where_there_are_more_files_the_count_and_what_follows_are_not_exact(
    tmp_path: Path,
) -> None:
    use, after = (await _previewed(tmp_path, TEXT, raw=6, tables=4)).steps

    assert _said(use) == (3, False, {"raw": 5, "tables": 4}, ["raw"])
    assert _said(after) == (3, False, {"i": 3}, [])


async def test_of_files_that_all_tasks_share_it_is_said_and_tasks_are_exact(
    tmp_path: Path,
) -> None:
    use, after = (await _previewed(tmp_path, TEXT, raw=4, tables=60)).steps

    assert _said(use) == (2, True, {"raw": 4, "tables": 5}, ["tables"])
    assert after.exact


async def test_a_file_of_a_dataset_that_another_port_asks_for_too_counts_for_both(
    tmp_path: Path,
) -> None:
    text = TEXT.replace("query: {k: 1}", "dataset: sim:of-2")
    use, _ = (await _previewed(tmp_path, text, raw=0, tables=3)).steps

    assert _said(use) == (2, True, {"raw": 3, "tables": 3}, [])
