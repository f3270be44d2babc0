"""Which folders of software are taken, and how what is missing is named."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pilotage.pilot.outfit.modules import absent_of
from pilotage.pilot.outfit.outfit import NodeOutfitter
from pilotage.pilot.outfit.software import Processor, find, place, repository
from pilotage.pilot.outfit.tools import NodeTools
from pilotage.pilot.ports import OutfitMissing
from pilotage.proto.messages import Assignment, Body, Grant

V3 = Processor("x86_64", 3)
ARM = Processor("aarch64")
REPO = "/cvmfs/sw.example.org"


class Disk:
    """A node with these folders, and a note of what was looked at."""

    def __init__(self, *folders: str, files: Sequence[str] = ()) -> None:
        self._kinds = {
            **dict.fromkeys(folders, "directory"),
            **dict.fromkeys(files, "regular file"),
        }
        self.looks: list[tuple[str, ...]] = []

    def __call__(self, paths: Sequence[str]) -> Mapping[str, str]:
        self.looks.append(tuple(paths))
        return {path: self._kinds[path] for path in paths if path in self._kinds}


# processor, folders that are there, what the job names → what it gets
TAKEN = [
    (V3, ["/opt/a/x86-64-v4", "/opt/a/x86-64-v3", "/opt/a/x86-64-v2"], "/opt/a/x86-64-v3"),
    (V3, ["/opt/a/x86-64-v4", "/opt/a/x86-64-v1"], "/opt/a/x86-64-v1"),
    (Processor("x86_64", 4), ["/opt/a/x86-64-v4", "/opt/a/x86-64-v3"], "/opt/a/x86-64-v4"),
    (ARM, ["/opt/a/x86-64-v1", "/opt/a/aarch64"], "/opt/a/aarch64"),
]


@pytest.mark.parametrize(("processor", "there", "taken"), TAKEN)
def test_the_best_level_that_is_there_and_can_run_is_taken(
    processor: Processor, there: list[str], taken: str
) -> None:
    found = find(["/opt/a/{level}"], processor, Disk(*there))

    assert found.folders == (taken,)


def test_a_level_may_stand_anywhere_and_more_than_once() -> None:
    disk = Disk("/opt/x86-64-v2/gcc-x86-64-v2/lib")

    found = find(["/opt/{level}/gcc-{level}/lib"], V3, disk)

    assert found.folders == ("/opt/x86-64-v2/gcc-x86-64-v2/lib",)


def test_folders_keep_their_order_and_those_with_bin_come_on_the_path() -> None:
    disk = Disk("/b", "/a", "/a/bin", "/c", "/c/bin", files=["/b/bin"])

    found = find(["/c/", "/b", "/a"], V3, disk)

    assert found.folders == ("/c", "/b", "/a")
    assert found.on_path == ("/c/bin", "/a/bin")


def test_everything_is_found_in_one_look() -> None:
    disk = Disk(REPO, "/a", f"{REPO}/x")
    find(["/a", f"{REPO}/x"], V3, disk)

    assert len(disk.looks) == 1


MISSING = {
    "/opt/none": "software /opt/none is not on this node",
    "/opt/{level}": "software /opt/{level} is not on this node; {level} was x86-64-v3, x86-64-v2, "
    "x86-64-v1",
    f"{REPO}/none": f"software {REPO}/none is not on this node",
    "/cvmfs/other.example.org/a": "the CVMFS repository other.example.org is not mounted "
    "on this node",
    "/opt/file": "software /opt/file is not a folder but a regular file",
}


@pytest.mark.parametrize("pattern", MISSING)
def test_what_is_missing_is_named_and_a_repository_is_told_apart(pattern: str) -> None:
    with pytest.raises(OutfitMissing) as missing:
        find(["/opt/a", pattern], V3, Disk("/opt/a", REPO, files=["/opt/file"]))

    assert str(missing.value) == MISSING[pattern]


def test_cvmfs_may_be_mounted_at_another_place() -> None:
    disk = Disk("/srv/cvmfs/sw.example.org", "/srv/cvmfs/sw.example.org/a")

    found = find([f"{REPO}/a"], V3, disk, cvmfs_root="/srv/cvmfs")

    assert found.folders == ("/srv/cvmfs/sw.example.org/a",)
    assert place("/cvmfsx/a", "/srv") == "/cvmfsx/a"
    assert repository("/cvmfsx/a") == ""


def test_a_module_that_old_tools_did_not_load_without_saying_so_is_found_out() -> None:
    assert absent_of(["gcc", "root/6.32", "python/"], "gcc/13.2:root/6.32:python") == []
    assert absent_of(["gcc/12", "fftw"], "gcc/13.2") == ["gcc/12", "fftw"]


async def test_nobody_waits_for_a_sick_disk_once_the_payload_is_given_up(tmp_path: Path) -> None:
    sick, looked = threading.Event(), threading.Event()

    def look(paths: Sequence[str]) -> Mapping[str, str]:
        looked.set()
        sick.wait(30)
        return {}

    outfitter = NodeOutfitter(NodeTools("session", "x86_64"), tmp_path, {}, look)
    body = Body(("true",), software=("/a",))
    assignment = Assignment(1, 1, 1, 60.0, "", Grant(1, 1, 1.0), body)
    finding = asyncio.get_running_loop().create_task(outfitter.outfit(assignment, tmp_path))
    assert await asyncio.to_thread(looked.wait, 30)
    finding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finding
    threads = [one for one in threading.enumerate() if one.name == "outfit"]
    sick.set()

    assert [one.daemon for one in threads] == [True]


async def test_what_nobody_foresaw_reaches_whoever_waits(tmp_path: Path) -> None:
    shown: list[object] = []

    def show(told: threading.ExceptHookArgs) -> None:
        shown.append(told.exc_value)

    before, threading.excepthook = threading.excepthook, show

    def look(paths: Sequence[str]) -> Mapping[str, str]:
        raise ZeroDivisionError("odd")

    outfitter = NodeOutfitter(NodeTools("session", "x86_64"), tmp_path, {}, look)
    body = Body(("true",), software=("/a",))
    try:
        with pytest.raises(ZeroDivisionError):
            await outfitter.outfit(Assignment(1, 1, 1, 60.0, "", Grant(1, 1, 1.0), body), tmp_path)
        for one in threading.enumerate():
            if one.name == "outfit":
                one.join()
    finally:
        threading.excepthook = before

    assert [str(one) for one in shown] == ["odd"]
