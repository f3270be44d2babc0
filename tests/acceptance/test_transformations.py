"""Files come one by one, out of order, while everything around dies: each is counted once."""

import hashlib
import random
import time
import zlib
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pilotage.central.client.errors import ClientError
from pilotage.central.operate.datadir import STORE_FILE
from pilotage.central.store import audit as check
from pilotage.central.store.sqlite import check as file_check
from pilotage.proto.api.data import FileItem, ReplicaItem
from pilotage.proto.api.transformations import TransformationActionName, TransformationDetail
from pilotage.proto.transformation_states import InputState, TransformationState
from tests.services.nginx import PROGRAM, Nginx, nginx

from .catalogue_rows import files_in
from .running import RunningCentral, eventually, running_central

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed")

ENDS_S = 120.0
COUNT = """
name: count
inputs:
  - name: numbers
    query: {kind: number}
grouping: {size: 3}
pause_when_failed: 1.0
job:
  command: [sh, -c, 'sleep 0.2; cat "$@" > part.txt', count, "{inputs}"]
  needs: {wall_s: 300}
  data:
    outputs:
      - {pattern: part.txt, name: "part-{task}.txt"}
metadata: {kind: part}
"""
MERGE = """
name: merge
inputs:
  - name: parts
    from: count
grouping: {rule: all}
allow_partial: PART
job:
  command: [sh, -c, 'cat "$@" | sort -n > merged.txt', merge, "{inputs}"]
  needs: {wall_s: 300}
  data:
    outputs:
      - {pattern: merged.txt, name: "merged-{transformation}.txt"}
"""


class Rig:
    """A central, one storage over HTTP, and files that hold one number each."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.web: Nginx = stack.enter_context(nginx(folder / "nginx"))
        data = folder / "central" / "central"
        (data / "storages").mkdir(parents=True)
        data.chmod(0o700)
        text = f"type: http\nurl: {self.web.url}/ctao\ndefault: true\nany_path: true\n"
        (data / "storages" / "web.yaml").write_text(text)
        (self.web.files / "ctao").mkdir()
        self.central: RunningCentral = stack.enter_context(
            running_central(folder / "central", {"lease.lease_s": "6"})
        )
        self.client = self.central.client

    def register(self, number: int, *, corrupt: bool = False) -> None:
        """Write a file to the storage and register it, as a data-acquisition system does."""
        content = f"{number}\n".encode()
        path = self.web.files / "ctao" / f"in{number}.txt"
        path.write_bytes(b"broken\n" if corrupt else content)
        item = FileItem(
            did=f"users:in{number}.txt",
            bytes=len(path.read_bytes()),
            adler32=f"{zlib.adler32(content):08x}",
            sha256=hashlib.sha256(content).hexdigest(),
            metadata={"kind": "number", "number": number},
            replicas=(ReplicaItem(storage="web", path=path.name),),
        )
        reply = self.client.register_files([item])
        assert not reply.refused, reply

    def add(self, text: str) -> int:
        """Add a transformation by the command line; return its id."""
        file = self.folder / "document.yaml"
        file.write_text(text)
        said = self.central.type("transformation", "add", str(file))
        assert " is Active" in said
        return int(said.split()[1].rstrip(":"))

    def stands(self, name: str) -> TransformationDetail:
        return self.client.transformation(name)

    def completed(self, name: str) -> TransformationDetail:
        """Wait until a transformation has completed."""

        def look() -> TransformationDetail | None:
            try:
                found = self.stands(name)
            except ClientError:
                return None
            assert found.view.state is not TransformationState.PAUSED, found.view.reason
            return found if found.view.state is TransformationState.COMPLETED else None

        found = eventually(look, what=f"the end of {name}", within_s=ENDS_S)
        assert found is not None
        return found

    def kill(self) -> None:
        self.central.kill9()
        self.central.restart()


@pytest.fixture
def rig(tmp_path: Path) -> Generator[Rig]:
    with ExitStack() as stack:
        yield Rig(tmp_path, stack)


def test_every_file_is_counted_once_whatever_dies(rig: Rig) -> None:
    _story(rig, files=13, kills=5, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 12))
def test_every_file_is_counted_once_in_a_long_campaign(rig: Rig, seed: int) -> None:
    _story(rig, files=60, kills=10, seed=seed)


def _story(rig: Rig, *, files: int, kills: int, seed: int) -> None:
    """Register files while the central is killed; the last of them is corrupt."""
    chance = random.Random(seed)
    for site in ("PIC", "CSCS"):
        rig.central.pilot(site, cores=2)
    order = list(range(1, files + 1))
    chance.shuffle(order)
    corrupt = order[files // 2]
    rig.register(order[0])  # keys are known from the first file on
    rig.add(COUNT)
    rig.add(MERGE.replace("PART", str(1 / files)))  # without the corrupt one, and no other
    dies = sorted(chance.sample(range(1, files), kills))
    away = chance.choice(dies)
    for place, number in enumerate(order):
        rig.register(number, corrupt=number == corrupt)
        again = order[chance.randrange(place + 1)]
        if again != corrupt and chance.random() < 0.3:
            rig.register(again)
        if place in dies:
            time.sleep(chance.random())
            rig.kill()
        if place == away:
            rig.web.stop()
            time.sleep(1.0)
            rig.web.start()
    rig.client.act_on_transformation("count", TransformationActionName.COMPLETE)
    count, merge = rig.completed("count").view, rig.completed("merge").view

    assert count.inputs["numbers"] == {InputState.PROCESSED: files - 1, InputState.PROBLEMATIC: 1}
    (bad,) = rig.client.transformation_files("count", states=[InputState.PROBLEMATIC])
    assert bad.file == f"users:in{corrupt}.txt"
    assert merge.inputs["parts"].keys() == {InputState.PROCESSED}
    missing = f"1 of {files} files of count"
    assert merge.reason == f"made without {missing}"
    (merged,) = [one for did, one in files_in(rig.central.data).items() if "merged-" in str(did)]
    assert merged.metadata["missing_inputs"] == missing
    (path, state) = merged.copies["web"]
    assert state == "Available"
    numbers = (rig.web.files / "ctao" / path).read_text().split()
    assert numbers == [str(n) for n in sorted(set(order) - {corrupt})]
    assert "count" in rig.central.type("transformation", "list")
    with file_check.reading(rig.central.data / STORE_FILE) as session:
        assert [one for one in check.differences(session) if one[1]] == []
