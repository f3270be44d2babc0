"""What the folders of payloads promise to the agent, of the shipped ones and of both fakes."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.pilot.files.workspace import Workspaces
from pilotage.pilot.ports import Workspace
from tests.fake_pilot import FakeWorkspace
from tests.simulation.node_disk import NodeFolders

Write = Callable[[Path, bytes], None]


def to_disk(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture(params=["files", "fake", "simulated"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Workspace, Write]:
    if request.param == "files":
        return Workspaces(tmp_path), to_disk
    fake = FakeWorkspace() if request.param == "fake" else NodeFolders()
    return fake, fake.write


@pytest.fixture
def folders(driver: tuple[Workspace, Write]) -> Workspace:
    return driver[0]


@pytest.fixture
def write(driver: tuple[Workspace, Write]) -> Write:
    return driver[1]


def test_each_attempt_has_a_folder_of_its_own(folders: Workspace) -> None:
    assert len({folders.make(attempt) for attempt in (1, 2, 3)}) == 3


async def test_outputs_are_found_by_pattern_each_once_with_hash_and_size(
    folders: Workspace, write: Write
) -> None:
    work = folders.make(1) / "work"
    for name, content in {"a.dat": b"abc", "b.dat": b"", "run.log": b"x"}.items():
        write(work / name, content)
    found, absent = await folders.collect(
        work, (("*.dat", True), ("a.*", True), ("*.root", True), ("*.txt", False))
    )

    rows = sorted((one.name, one.sha256, one.size_bytes) for one, _ in found)
    assert rows == [
        ("a.dat", hashlib.sha256(b"abc").hexdigest(), 3),
        ("b.dat", hashlib.sha256(b"").hexdigest(), 0),
    ]
    assert absent == ["*.root"]


def test_a_stream_is_read_from_where_one_was_and_no_further_than_asked(
    folders: Workspace, write: Write
) -> None:
    folder = folders.make(1)
    before = folders.size(folder, "stdout"), folders.tail(folder, "stdout", 0, 10)
    write(folder / "stdout", b"0123456789")

    assert before == (0, b"")
    assert folders.size(folder, "stdout") == 10
    assert folders.tail(folder, "stdout", 3, 4) == b"3456"
    assert folders.tail(folder, "stdout", 8, 4) == b"89"
    assert folders.tail(folder, "stdout", 10, 4) == b""


async def test_an_input_lies_where_the_payload_looks_for_it(
    folders: Workspace, write: Write, tmp_path: Path
) -> None:
    work, fetched = folders.make(1) / "work", tmp_path / "fetched"
    write(fetched, b"content")
    await folders.unpack(fetched, work, "in.txt", False)
    found, _ = await folders.collect(work, (("in.txt", True),))

    assert [one.size_bytes for one, _ in found] == [7]


async def test_a_checkpoint_that_is_packed_is_the_same_where_it_is_restored(
    folders: Workspace, write: Write
) -> None:
    first, second = folders.make(1), folders.make(2)
    nothing = await folders.pack(first, "state")
    write(first / "work" / "state" / "step", b"41")
    write(first / "work" / "state" / "deep" / "er", b"x")
    packed = await folders.pack(first, "state")
    assert packed is not None
    write(second / "work" / "state" / "stale", b"of another")
    await folders.restore(packed[1], second, "state")
    found, _ = await folders.collect(second / "work", (("state/**", False), ("state/*", False)))

    assert nothing is None
    assert {"state/step", "state/deep/er"} == {one.name for one, _ in found}


async def test_what_is_removed_is_gone_and_may_be_removed_again(
    folders: Workspace, write: Write
) -> None:
    folder, other = folders.make(1), folders.make(2)
    write(folder / "stdout", b"x")
    write(other / "stdout", b"y")
    for attempt in (1, 1, 7):
        async with asyncio.timeout(10):
            await folders.remove(attempt)

    assert folders.size(folder, "stdout") == 0
    assert folders.size(other, "stdout") == 1
