"""Files of a real Rucio server as inputs of jobs: real central, pilots and server."""

import socket
import time
import zlib
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
import yaml

from pilotage.central.client.errors import ClientError
from pilotage.proto.api.data import FileItem, ReplicaItem
from pilotage.proto.catalogue import FileState, KeyType, ReplicaState
from pilotage.proto.documents.job import DataInput
from pilotage.proto.job_states import JobState
from tests.acceptance.running import eventually
from tests.services.rucio import RucioServer

from .rucio_rig import Rig

PERIOD_S: Final = 2.0
WITHIN_S: Final = 4.0  # from an event to its tasks: 2 s on a quiet machine
SUM: Final = """
name: sum
inputs:
  - name: runs
    query: {dataset: "SCOPE:night"}
grouping: {size: 2}
job:
  command: [sh, -c, 'cat "$@" > sum.txt', sum, "{inputs}"]
  needs: [{wall_s: 300}]
  data:
    outputs:
      - {pattern: sum.txt, name: "sum-{task}.txt"}
metadata: {kind: sum}
"""


@pytest.fixture
def night(tmp_path: Path, rucio: RucioServer, request: pytest.FixtureRequest) -> Generator[Rig]:
    """A central that mirrors the dataset `night` of a scope of its own."""
    scope = f"s{zlib.crc32(request.node.name.encode()):08x}"
    with ExitStack() as stack:
        more = f"inputs: [{{scope: {scope}, dataset: /night, period_s: {PERIOD_S}}}]"
        yield Rig(tmp_path, rucio, scope, stack, more)


def test_a_closed_dataset_of_rucio_is_the_input_of_a_job_and_becomes_tasks(night: Rig) -> None:
    night.central.pilot("PIC")
    for i in (1, 2):
        night.put(f"run{i}", f"{i}\n", run=i)
    night.rucio.add_dataset(night.scope, "/night", ["/run1", "/run2"])
    night.rucio.close_dataset(night.scope, "/night")
    eventually(lambda: night.input().files == 2, what="both files")
    night.client.add_metadata_keys({"kind": KeyType.STRING})  # before a query may name it
    night.client.add_transformation(yaml.safe_load(SUM.replace("SCOPE", night.scope)))

    state, text = night.read(DataInput(did=night.did("night")))
    made = eventually(lambda: list(night.client.find_files({"kind": "sum"})), what="the sum")

    assert (state, text) == (JobState.DONE, "1\n2\n")
    assert len(made) == 1
    assert [one.did for one in night.client.find_files({"run": {">=": 2}})] == [night.did("run2")]
    open_now = {one.did: one.is_open for one in night.client.datasets()}
    assert open_now[night.did("night")] is False


def test_containers_and_filters_of_rucio_are_inputs_of_transformations(
    tmp_path: Path, rucio: RucioServer
) -> None:
    with ExitStack() as stack:
        inputs = "[{scope: parts, container: /year, period_s: 2}, {scope: raws, filter: 'run>=5', "
        rig = Rig(tmp_path, rucio, "parts", stack, f"inputs: {inputs}period_s: 2}}]")
        raws = "raws"
        rucio.add_scope(raws)
        for i in range(4):
            rig.put(f"run{i}", f"{i}\n", run=i)
        for night, runs in (("a", ("/run0", "/run1")), ("b", ("/run2",))):
            rucio.add_dataset("parts", f"/night-{night}", runs)
        rucio.add_dataset("parts", "/year", ["/night-a", "/night-b"], kind="CONTAINER")
        rig.scope = raws
        for i in (4, 5, 6):
            rig.put(f"raw{i}", f"{i}\n", run=i)
        rig.central.pilot("PIC")
        rig.client.add_metadata_keys({"kind": KeyType.STRING, "run": KeyType.NUMBER})
        eventually(lambda: len(_mirrored(rig)) == 5, what="the files of both inputs")
        text = SUM.replace('{dataset: "SCOPE:night"}', "{run: {'>=': 0}}")
        rig.client.add_transformation(yaml.safe_load(text.replace("size: 2", "size: 5")))

        assert _mirrored(rig) == {
            *(f"parts:run{i}" for i in range(3)),
            *("raws:raw5", "raws:raw6"),
        }
        made = eventually(lambda: list(rig.client.find_files({"kind": "sum"})), what="the sum")
        assert [one.bytes for one in made] == [10], "one task reads all files"


def _mirrored(rig: Rig) -> set[str]:
    return {one.did for one in rig.client.find_files({"run": {">=": 0}})}


def test_a_file_that_no_event_told_is_found_by_polling(night: Rig) -> None:
    night.put("run1", "1\n", run=1)
    night.rucio.add_dataset(night.scope, "/night", ["/run1"])
    eventually(lambda: night.state("run1") is FileState.AVAILABLE, what="the first file")
    night.put("run2", "2\n", run=2)
    night.rucio.attach(night.scope, "/night", ["/run2"])

    eventually(lambda: night.state("run2") is FileState.AVAILABLE, what="the second file")


def test_an_erased_file_is_removed_and_its_bytes_are_left_to_rucio(night: Rig) -> None:
    night.put("run1", "1\n", run=1)
    night.put("run2", "2\n", run=2)
    night.rucio.add_dataset(night.scope, "/night", ["/run1", "/run2"])
    eventually(lambda: night.input().files == 2, what="both files")
    night.rucio.erase(night.scope, "/run1", night.rses["pic"])

    night.client.compare_rucio("main")
    eventually(lambda: night.state("run1") is FileState.REMOVED, what="the removal")

    assert night.state("run2") is FileState.AVAILABLE
    assert night.client.file(night.did("run1")).remnants == []
    assert (night.folder / "pic" / "raw" / "run1").exists()


def test_other_bytes_under_a_known_name_are_named(night: Rig) -> None:
    copy = ReplicaItem(storage="own", path="ctao/run1")
    mine = FileItem(did=night.did("run1"), bytes=5, adler32="0000000a", replicas=(copy,))
    night.client.register_files([mine])
    night.put("run1", "1\n", run=1)
    night.rucio.add_dataset(night.scope, "/night", ["/run1"])

    why = eventually(lambda: night.input().troubles, what="the trouble")

    assert "the file of this name here has" in why[f"{night.scope}:/run1"]
    copies = night.client.file(night.did("run1")).replicas
    assert [(one.storage, one.state) for one in copies] == [("own", ReplicaState.AVAILABLE)]


def test_an_rse_that_is_off_is_not_read(night: Rig) -> None:
    night.put("run1", "1\n")
    night.rucio.add_dataset(night.scope, "/night", ["/run1"])
    eventually(lambda: night.state("run1") is FileState.AVAILABLE, what="the file")
    night.rucio.set_rse(night.rses["pic"], availability_read=False)

    eventually(lambda: night.client.rucio_server("main").off, what="the RSE off", within_s=90)

    assert not night.client.storage("pic").readable
    assert night.client.storage("lst").readable
    with pytest.raises(ClientError, match="readable"):
        night.read(DataInput(did=night.did("run1")))


def test_a_closed_dataset_becomes_tasks_within_seconds_of_its_event(
    tmp_path: Path, rucio: RucioServer
) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(rucio.broker())
        events = f"{{broker: 'stomp://127.0.0.1:{port}', destination: /topic/rucio, "
        rig = Rig(
            *(tmp_path, rucio, "event", stack),
            "inputs: [{scope: event, dataset: /night, period_s: 3600}]",
            f"events: {events}virtual_host: '{socket.getfqdn()}'}}",
        )
        rig.put("run1", "1\n", run=1)
        rig.rucio.add_dataset("event", "/night")
        rig.client.compare_rucio("main")
        eventually(lambda: rig.client.rucio_server("main").compared_at, what="a comparison")
        document = yaml.safe_load(SUM.replace("SCOPE", "event").replace("size: 2", "size: 1"))
        sums = rig.client.add_transformation(document)
        rig.rucio.attach("event", "/night", ["/run1"])
        rig.rucio.close_dataset("event", "/night")

        for _ in range(5):  # Rucio loses events
            rig.rucio.send_events(port, "/topic/rucio")
            until = time.monotonic() + WITHIN_S
            while not (made := list(rig.client.transformation_tasks(sums.view.id))):
                if time.monotonic() > until:
                    break
                time.sleep(0.05)
            if made:
                break
            rig.rucio.open_dataset("event", "/night")
            rig.rucio.close_dataset("event", "/night")

        assert made
        log = (rig.central.data / "central.log").read_text()
        assert "rucio_events_away" not in log, log
