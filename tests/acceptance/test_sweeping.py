"""Bytes that nobody names go: real central and pilots, a folder and nginx, and a central killed."""

import re
import signal
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pilotage.proto.api.data import FileItem, ReplicaItem
from pilotage.proto.api.remnants import SweepCount
from pilotage.proto.catalogue import FileState, RemnantState
from pilotage.proto.documents.job import DataOutput, Job, JobData, Need
from pilotage.proto.job_states import JobState
from tests.services.nginx import PROGRAM, nginx

from .running import RunningCentral, eventually, running_central

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed")

AFTER_S = 2
FILES = 40
MAKE = "for i in $(seq {files}); do echo photons {run} $i > run{run}-$i.h5; done"


class Rig:
    """A central with two storages that say `deletes: true`, and one that does not."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        server = stack.enter_context(nginx(folder / "nginx"))
        self.folders = {
            "web": server.files / "ctao", "disk": folder / "disk", "kept": folder / "kept"
        }  # fmt: skip
        data = folder / "central" / "central"
        (data / "storages").mkdir(parents=True)
        data.chmod(0o700)
        for name, root in self.folders.items():
            root.mkdir()
            url = f"{server.url}/ctao" if name == "web" else f"file://{root}"
            deletes = "" if name == "kept" else "deletes: true\n"
            text = f"type: {'http' if name == 'web' else 'file'}\nurl: {url}\n{deletes}"
            (data / "storages" / f"{name}.yaml").write_text(text)
        options = {"data.sweep_after_s": str(AFTER_S), "bus.broker": "none"}
        self.central: RunningCentral = stack.enter_context(
            running_central(folder / "central", options)
        )
        self.client = self.central.client

    def make(self, run: int, storage: str, *, files: int = FILES, name: str = "") -> JobState:
        """Run a job that stores files."""
        command = ("sh", "-c", MAKE.format(run=run, files=files))
        out = DataOutput(pattern="*.h5", name=name or "{file}", storages=(storage,))
        job = Job(command=command, data=JobData(outputs=(out,)), needs=(Need(wall_s=300),))
        (handle,) = self.client.submit([job]).handles()
        return handle.wait(timeout_s=60).state

    def there(self, storage: str) -> set[str]:
        """Return the paths of all files of a storage."""
        root = self.folders[storage]
        return {str(one.relative_to(root)) for one in root.rglob("*") if one.is_file()}

    def count(self, storage: str) -> SweepCount:
        (found,) = [one for one in self.client.sweep().storages if one.storage == storage]
        return found


@pytest.fixture
def rig(tmp_path: Path) -> Generator[Rig]:
    with ExitStack() as stack:
        yield Rig(tmp_path, stack)


def test_what_was_removed_goes_whatever_happens_to_the_central(rig: Rig) -> None:
    client = rig.client
    rig.central.pilot("PIC")
    for run, storage in enumerate(("disk", "web", "kept")):
        assert rig.make(run, storage) is JobState.DONE
    assert rig.make(3, "disk", files=1, name="run0-1.h5") is JobState.FAILED  # it is other bytes
    names = [f"users:run{run}-{i}.h5" for run in range(3) for i in range(1, FILES + 1)]
    before = {storage: rig.there(storage) for storage in rig.folders}
    (same,) = client.replicas(["users:run0-7.h5"])["users:run0-7.h5"]
    known = client.file("users:run0-7.h5").file
    live = FileItem(
        did="users:live.h5",
        bytes=known.bytes,
        adler32=known.adler32,
        replicas=(ReplicaItem(storage="disk", path=same.path),),
    )
    assert not client.register_files([live]).refused
    rig.central.pilots[0].process.send_signal(signal.SIGTERM)
    rig.central.pilots[0].process.wait(60)
    client.remove_files(names)

    assert {storage: len(paths) for storage, paths in before.items()} == {
        "disk": FILES + 1,
        "web": FILES,
        "kept": FILES,
    }
    eventually(lambda: rig.count("web").sweeping == FILES, what="all are marked")
    rig.central.kill9()
    rig.central.restart()
    listed = rig.central.type("data", "sweep", "--dry-run")
    back = client.register_files([live_again(rig, "users:run1-3.h5")])
    rig.central.pilot("CSCS")
    eventually(lambda: len(rig.there("web")) < FILES or None, what="the first is gone")
    rig.central.kill9()
    rig.central.restart()
    eventually(lambda: rig.count("web").gone == FILES, what="all of the web are gone")
    eventually(lambda: rig.count("disk").gone == FILES, what="all of the folder are gone")
    gone = client.file("users:run0-1.h5")
    held = [one for one in client.remnants(all=True) if one.did == "users:run0-7.h5"]

    assert (rig.there("web"), rig.there("disk")) == (set(), {same.path})
    assert rig.there("kept") == before["kept"]
    assert list(rig.folders["web"].parent.iterdir()) == [rig.folders["web"]]
    assert client.file("users:live.h5").file.state is FileState.AVAILABLE
    assert len(re.findall(r"^web .* users:run1-\d+.h5 removed", listed, re.MULTILINE)) == FILES
    assert "attempt that does not count" in listed and "kept" not in listed
    assert back.refused[0].field == "replicas.path"
    assert "are being removed" in back.refused[0].message
    assert gone.replicas == [] and gone.remnants[0].state is RemnantState.GONE
    assert [one.why for one in held] == ["users:live.h5 uses this path"]
    assert (rig.count("disk").waiting, rig.count("disk").failing) == (1, 0)
    kept = rig.count("kept")
    assert (kept.takes_part, kept.waiting, kept.gone) == (False, FILES, 0)
    table = rig.central.type("data", "sweep")
    assert re.search(rf"^web +yes +0 +0 +0 +0 +{FILES} ", table, re.MULTILINE)
    assert "removed" in rig.central.type("data", "show", "users:run1-1.h5").lower()


def live_again(rig: Rig, did: str) -> FileItem:
    """Return the registration that would bring a removed file back."""
    known = rig.client.file(did).file
    (copy,) = rig.client.replicas([did])[did]
    return FileItem(
        did=did,
        bytes=known.bytes,
        adler32=known.adler32,
        sha256=known.sha256,
        replicas=(ReplicaItem(storage=copy.storage, path=copy.path),),
    )
