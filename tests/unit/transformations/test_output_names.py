"""Names that no task could give to its file are refused when a transformation is added."""

from typing import Any

import msgspec
import pytest

from pilotage.central.catalogue import record_files as file_records
from pilotage.central.errors import Refused
from pilotage.central.transformations import service as of_transformations
from pilotage.central.transformations.output_names import check_names
from pilotage.proto.api.transformations import NewTransformation, TransformationDetail
from pilotage.proto.catalogue import Did
from pilotage.proto.documents.job import DataOutput, Job, JobData
from pilotage.proto.documents.transformation import Transformation
from tests.memory_store import MemoryStore
from tests.unit.productions.served import CALLER

from .served import service
from .test_feeding_transformations import IRON, added, made_by, registered

RAW = {"name": "raw", "query": {"species": "iron"}}
OUT = DataOutput(pattern="out.txt", name="part-{task}.txt")
JOB = Job(command=("true",), group="sim", data=JobData(outputs=(OUT,)))
FIELD = "document.job.data.outputs[0].name"


def a_document(name: str, pattern: str = "out.txt", **given: Any) -> Transformation:
    out = {"pattern": pattern, "name": name, "metadata": {"run": "{run}"}}
    doc = {"name": "t", "inputs": [RAW], "job": {"command": ["true"], "data": {"outputs": [out]}}}
    return msgspec.convert({**doc, **given}, Transformation)


def _to_disk(*given: object) -> list[str]:
    return ["disk"]


async def refused(store: MemoryStore, doc: Transformation) -> str:
    """Return why a document is refused; empty where it is not."""
    try:
        await check_names(store, store, "ctao", "sim", doc)
    except Refused as why:
        assert why.field == FIELD
        return why.message
    return ""


@pytest.mark.parametrize(
    ("name", "pattern", "given", "is_one"),
    [
        ("out.txt", "out.txt", {}, True),
        ("out.txt", "*.txt", {}, True),
        ("{file}", "out.txt", {}, True),
        ("{transformation}.txt", "out.txt", {}, True),
        ("{file}", "*.txt", {}, False),
        ("{file}", "out-{task}.txt", {}, False),
        ("{job}/out.txt", "out.txt", {}, False),
        ("part-{task}.txt", "out.txt", {}, False),
        ("run-{run}.txt", "out.txt", {}, False),
        ("out.txt", "out.txt", {"grouping": {"rule": "all"}}, False),
        ("out.txt", "out.txt", {"inputs": [], "tasks": 1}, False),
        ("out.txt", "out.txt", {"inputs": [], "tasks": 2}, True),
    ],
)
async def test_one_name_for_the_files_of_several_tasks_is_refused(
    name: str, pattern: str, given: dict[str, Any], is_one: bool
) -> None:
    said = await refused(MemoryStore(), a_document(name, pattern, **given))

    assert ("put {task} in it" in said) is is_one


async def test_a_name_that_another_one_has_given_is_refused_also_once_it_is_removed() -> None:
    store = MemoryStore()
    before = await added(store, "before", IRON)
    await made_by(store, before, "part-3.txt")
    doc = a_document("part-{task}.txt")

    assert f"sim:part-3.txt was made by transformation {before}" in await refused(store, doc)
    await store.write(file_records.remove_files, "ctao", [Did("sim", "part-3.txt")], at=3.0)
    assert "sim:part-3.txt was removed" in await refused(store, doc)
    assert not await refused(store, a_document("part-{transformation}-{task}.txt"))


async def test_what_somebody_has_put_there_may_have_the_same_bytes() -> None:
    store = MemoryStore()
    await registered(store, "part-3.txt")

    assert not await refused(store, a_document("part-{task}.txt"))


async def test_a_document_that_is_added_again_is_the_same_one_whatever_it_has_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    monkeypatch.setattr(of_transformations, "outputs_to", _to_disk)
    await registered(store, "put")
    transformations = await service(store, CALLER)
    doc = msgspec.structs.replace(a_document("part-{task}.txt"), job=JOB)
    body = NewTransformation(document=doc)
    first = await transformations.add(CALLER, body)
    assert isinstance(first, TransformationDetail)
    await made_by(store, first.view.id, "part-3.txt")

    again = await transformations.add(CALLER, body)
    assert isinstance(again, TransformationDetail)
    assert again.view.id == first.view.id
    other = msgspec.structs.replace(body.document, name="other")
    with pytest.raises(Refused) as why:
        await transformations.add(CALLER, NewTransformation(document=other))
    assert why.value.field == FIELD
