"""Plain mistakes of who calls the client end in its own exceptions, with what would be right."""

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.client import AsyncClient
from pilotage.central.client.errors import Invalid
from pilotage.central.workflows.workflow_files import read_workflow
from pilotage.proto.api.data import ItemsReply, Replicas

from .stub_central import HandPace, StubCentral, ok


@pytest.fixture
def stub() -> StubCentral:
    return StubCentral()


@pytest.fixture
async def client(stub: StubCentral) -> AsyncIterator[AsyncClient]:
    async with AsyncClient("http://central.test", "t", http=stub, pace=HandPace()) as made:
        yield made


async def walked(found: AsyncIterator[Any]) -> list[Any]:
    return [one async for one in found]


WRONG: dict[str, Callable[[Any], Any]] = {
    "query: found 'kind=gamma', expected a dictionary": lambda c: walked(
        c.find_files("kind=gamma")
    ),
    "query: found 'kind=g', expected a dictionary": lambda c: c.add_rule(["pic"], query="kind=g"),
    "states: found 'Gone', expected one of Available, ": lambda c: walked(
        c.find_files({}, states=["Gone"])
    ),
    "direction: found 'sideways', expected one of up, down": lambda c: c.lineage("u:a", "sideways"),
    "action: found 'finish', expected one of start, pause, resume, stop, flush, ": lambda c: (
        c.act_on_transformation("pyk", "finish")
    ),
    "action: found 'finish', expected one of start, pause, resume, stop, complete, ": lambda c: (
        c.act_on_production("pyk", "finish")
    ),
    "action: found 'shut', expected one of ban, ": lambda c: c.act_on_site("PIC", "shut"),
    "there is no such file": lambda c: c.put_file("/nowhere/p7.txt", "users:p7.txt"),
    "it is a folder": lambda c: c.put_file("/", "users:p7.txt"),
    "flow: found 'f.yaml', expected a production.Workflow": lambda c: c.submit_production("f.yaml"),
    "flow: found 'PosixPath', expected a production.Workflow": lambda c: c.preview_production(
        Path("f.yaml")
    ),
}


@pytest.mark.parametrize("told", WRONG)
async def test_a_plain_mistake_is_told_with_what_is_right_and_nothing_is_asked(
    told: str, client: AsyncClient, stub: StubCentral
) -> None:
    with pytest.raises(Invalid, match=re.escape(told)):
        await WRONG[told](client)
    assert not stub.got


async def test_one_name_is_a_list_of_one_and_not_of_its_letters(
    client: AsyncClient, stub: StubCentral
) -> None:
    done = ItemsReply(results=[])
    stub.next.extend([ok(done), ok(done), ok(done), ok(Replicas(replicas={}))])

    await client.remove_files("users:x")
    await client.declare_replicas("users:x", "pic")
    await client.set_metadata("users:x", {"run": 1}, remove="zenith")
    await client.replicas("users:x")
    removed, declared, changed, looked = (one.json() for one in stub.got)

    assert removed["dids"] == looked["dids"] == ["users:x"]
    assert [one["did"] for one in declared["replicas"]] == ["users:x"]
    assert [(one["did"], one["remove"]) for one in changed["changes"]] == [("users:x", ["zenith"])]


def test_the_name_of_a_file_is_as_good_as_its_path(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text("workflow: w\nsteps:\n  a: {tasks: 1, job: {command: [a]}}\n")

    assert read_workflow(str(file)).workflow == read_workflow(file).workflow
