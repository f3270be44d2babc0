"""The catalogue of a real central over HTTP: registered from outside, found, kept, and copied."""

import zlib
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pilotage.central.client import Client
from pilotage.central.client.errors import Refused
from pilotage.proto.api.data import DatasetActionName, FileItem, ItemResult, ReplicaItem
from pilotage.proto.catalogue import FileState, KeyType, ReplicaState, RuleState

from .running import RunningCentral, eventually, running_central


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "central" / "central"
    (data / "storages").mkdir(parents=True)
    data.chmod(0o700)
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
        text = f"type: file\nurl: file://{tmp_path / name}\n"
        (data / "storages" / f"{name}.yaml").write_text(text)
    return tmp_path


@pytest.fixture
def central(folder: Path) -> Generator[RunningCentral]:
    with ExitStack() as stack:
        yield stack.enter_context(running_central(folder / "central", {"bus.broker": "none"}))


def an_item(run: int, **metadata: object) -> FileItem:
    text = f"photons of run {run}\n".encode()
    return FileItem(
        did=f"users:raw/run{run}.h5",
        bytes=len(text),
        adler32=f"{zlib.adler32(text):08x}",
        metadata={"run": run, "particle": "gamma" if run % 2 else "proton", **metadata},
        replicas=(ReplicaItem(storage="near", path=f"local/raw/run{run}.h5"),),
    )


def names(client: Client, query: dict[str, object]) -> list[str]:
    return sorted(view.did for view in client.find_files(query))


def test_files_from_outside_are_found_and_outlive_a_kill(central: RunningCentral) -> None:
    client = central.client
    items = [an_item(run) for run in range(60)]
    first = client.register_files(reversed(items))
    central.kill9()
    central.restart()
    again = client.register_files(items)
    wrong = client.register_files([an_item(1), an_item(2, particle=5), an_item(61)])
    client.make_dataset("users:some", {"campaign": "prod6"})
    client.act_on_dataset("users:some", DatasetActionName.ATTACH, ["users:raw/run3.h5"])

    assert set(first.results) == {ItemResult.NEW}
    assert set(again.results) == {ItemResult.SAME}
    assert wrong.results == [ItemResult.SAME, ItemResult.REFUSED, ItemResult.NEW]
    assert (wrong.refused[0].item, wrong.refused[0].field) == (1, "metadata.particle")
    assert names(client, {"run": {">=": 57}, "particle": "gamma"}) == [
        "users:raw/run57.h5",
        "users:raw/run59.h5",
        "users:raw/run61.h5",
    ]
    assert names(client, {"dataset": "users:some"}) == ["users:raw/run3.h5"]
    changes = client.file_changes(limit=1_000)
    assert [view.did for view in changes.files[-2:]] == [
        "users:raw/run61.h5",
        "users:raw/run3.h5",
    ]
    assert changes.last == changes.files[-1].seq
    with pytest.raises(Refused, match=r"query\.partcle.*expected particle"):
        names(client, {"partcle": "gamma"})


def test_copies_and_metadata_change_and_files_go(central: RunningCentral) -> None:
    client = central.client
    client.register_files([an_item(1), an_item(2)])
    did = "users:raw/run1.h5"
    client.set_metadata([did], {"good": True, "zenith": 20.5}, remove=["particle"])
    detail = client.file(did)
    client.declare_replicas([did], "near", reason="bit rot")
    lost = client.file(did)
    client.remove_files(["users:raw/run2.h5"])
    client.add_metadata_keys({"site": KeyType.STRING})

    assert detail.file.metadata == {"run": 1, "good": True, "zenith": 20.5}
    assert (lost.file.state, lost.replicas[0].state) == (FileState.LOST, ReplicaState.BAD)
    assert names(client, {}) == []
    assert client.replicas([did, "users:none"]).keys() == {did}
    assert [key.key for key in client.metadata_keys().keys] == [
        "good",
        "particle",
        "run",
        "site",
        "zenith",
    ]
    with pytest.raises(Refused, match="there is no file users:none"):
        client.file("users:none")
    assert client.lineage(did).links == []


def test_a_rule_makes_the_copies_that_are_missing(central: RunningCentral, folder: Path) -> None:
    client = central.client
    central.pilot("PIC")
    (folder / "near" / "local" / "raw").mkdir(parents=True)
    for run in range(2):
        (folder / "near" / "local" / "raw" / f"run{run}.h5").write_text(f"photons of run {run}\n")
    client.register_files([an_item(run) for run in range(2)])

    rule = client.add_rule(["near", "far"], query={"run": {"<": 2}}, copies=2)
    again = client.add_rule(["near", "far"], query={"run": {"<": 2}}, copies=2)
    eventually(lambda: client.rule(rule.id).state is RuleState.OK, what="all copies")
    ok = client.rule(rule.id)
    copies = client.replicas(["users:raw/run0.h5", "users:raw/run1.h5"])

    assert again.id == rule.id
    assert (ok.files, ok.there, ok.moving, ok.wanted, ok.stuck) == (2, 4, 0, 0, 0)
    assert {one.storage: one.state.value for did in copies for one in copies[did]} == {
        "far": "Available",
        "near": "Available",
    }
    for run, did in enumerate(sorted(copies)):
        (far,) = [one for one in copies[did] if one.storage == "far"]
        assert (folder / "far" / far.path).read_text() == f"photons of run {run}\n"
    with pytest.raises(Refused, match="storages: .*fair"):
        client.add_rule(["fair"], query={"run": 1})
    client.drop_rule(rule.id)
    assert client.rules() == []
