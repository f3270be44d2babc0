"""What lies inside a folder when links are followed, and what it may cost to find out."""

import os
import tarfile
import time
from pathlib import Path

import pytest

from pilotage.pilot.files.archives import extract
from pilotage.pilot.files.checkpoint import pack
from pilotage.pilot.files.path_bounds import FolderGuard
from pilotage.pilot.files.workspace import collect
from pilotage.pilot.ports import TooLarge, UnsafePath

CPU_MAX_S = 5.0  # what each of these cost before was minutes, or hours
LONG = "d/../" * 700  # fits into one link, and the system follows 40 of them


def costly(folder: Path, links: int) -> None:
    """Make a chain of links, each as long as a link can be, that ends inside."""
    (folder / "d").mkdir(parents=True)
    for number in range(links):
        (folder / f"l{number}").symlink_to(LONG + (f"l{number - 1}" if number else "d"))


# Where a link in the folder leads → whether that is inside.
LEADS = {
    "file": True,
    "d/../file": True,
    ".": True,
    "nothing/there": True,
    "nothing/../../secret": False,
    "..": False,
    "../work/file": True,
    "../other/../work/file": False,
    "/etc/passwd": False,
    "{work}/file": True,
    "loop": False,
}


@pytest.mark.parametrize("target", LEADS)
def test_a_link_is_inside_where_it_leads_inside(tmp_path: Path, target: str) -> None:
    work = tmp_path / "work"
    (work / "d").mkdir(parents=True)
    (work / "file").touch()
    (work / "loop").symlink_to("loop")
    (work / "link").symlink_to(target.format(work=work))

    assert FolderGuard(work).has(work / "link") == LEADS[target]


def test_nothing_outside_is_looked_at_for_it_may_be_a_disk_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, readlink = list[str](), os.readlink

    def noted(path: str) -> str:
        looked.append(path)
        return readlink(path)

    (tmp_path / "link").symlink_to("/net/dead/file")
    (tmp_path / "up").symlink_to("../../../net/dead/file")
    monkeypatch.setattr(os, "readlink", noted)
    found = [FolderGuard(tmp_path).has(tmp_path / name) for name in ("link", "up")]

    assert found == [False, False]
    assert looked == [str(tmp_path / "link"), str(tmp_path / "up")]


def test_links_may_cost_only_so_much_together(tmp_path: Path) -> None:
    costly(tmp_path, 3)
    inside = FolderGuard(tmp_path, steps_max=10_000)

    assert inside.has(tmp_path / "l2")
    with pytest.raises(UnsafePath, match="more than 10000 folders"):
        for _ in range(10):
            inside.has(tmp_path / "l2")


def test_an_archive_whose_links_cost_is_refused_at_once(tmp_path: Path) -> None:
    work, before_s = tmp_path / "work", time.process_time()
    work.mkdir()
    for length in (700, 100):
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            for number in range(600):
                member = tarfile.TarInfo(f"l{number}")
                member.type = tarfile.SYMTYPE
                member.linkname = "d/../" * length + (f"l{number - 1}" if number else "d")
                tar.addfile(member)
        with pytest.raises(UnsafePath):
            extract(tmp_path / "a.tar", work)

    assert time.process_time() - before_s < CPU_MAX_S


def test_an_archive_has_so_many_links_and_folders_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilotage.pilot.files.archives.LINKS_MAX", 2)
    with tarfile.open(tmp_path / "links.tar", "w") as tar:
        for number in range(3):
            member = tarfile.TarInfo(f"l{number}")
            member.type, member.linkname = tarfile.SYMTYPE, "d"
            tar.addfile(member)
    with tarfile.open(tmp_path / "folders.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("a/" * 300 + "file"))

    with pytest.raises(TooLarge, match="more than 2 links"):
        extract(tmp_path / "links.tar", tmp_path)
    with pytest.raises(TooLarge, match="more than 200 members"):
        extract(tmp_path / "folders.tar", tmp_path, members_max=200)


def test_a_checkpoint_and_outputs_of_costly_links_are_refused_at_once(tmp_path: Path) -> None:
    costly(tmp_path / "work" / "c", 200)
    before_s = time.process_time()

    with pytest.raises(UnsafePath):
        pack(tmp_path, "c")
    with pytest.raises(UnsafePath, match="its links lead through more than"):
        collect(tmp_path / "work", [("c/*", True)])
    assert time.process_time() - before_s < CPU_MAX_S
