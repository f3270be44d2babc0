"""Folders of payloads: which files a pattern keeps, and what a payload's folder may look like."""

import hashlib
import os
from pathlib import Path

import pytest

from pilotage.pilot.ports import TooLarge, UnsafePath
from pilotage.pilot.workspace import Folders, collect, compile_glob

FILES = "a.root b.log sub/a.root sub/deep/c.root .hidden/x we[i]rd.txt a*b"

#    pattern            matches
TABLE = """
     *.root             a.root
     **/*.root          a.root sub/a.root sub/deep/c.root
     sub/**             sub/a.root sub/deep/c.root
     sub/*              sub/a.root
     ./sub//*           sub/a.root
     ?.log              b.log
     [ab].*             a.root b.log
     [!a].log           b.log
     [a-c].root         a.root
     */*                sub/a.root .hidden/x
     **                 a.root b.log sub/a.root sub/deep/c.root .hidden/x we[i]rd.txt a*b
     we[[]i]rd.txt      we[i]rd.txt
     a[*]b              a*b
     .hidden/x          .hidden/x
     nothing            -
     a                  -
     [                  -
"""


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_a_pattern_matches(line: str) -> None:
    pattern, *expected = line.split()

    rule = compile_glob(pattern)

    assert [name for name in FILES.split() if rule.fullmatch(name)] == [
        name for name in expected if name != "-"
    ]


@pytest.mark.parametrize("pattern", ["", "/etc/*", "../*", "a/../../b"])
def test_a_pattern_that_leads_out_is_refused(pattern: str) -> None:
    with pytest.raises(UnsafePath):
        compile_glob(pattern)


def test_outputs_are_hashed_and_absent_ones_are_named(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.root").write_bytes(b"one")
    (tmp_path / "sub" / "b.root").write_bytes(b"two")

    found, absent = collect(
        tmp_path, [("*.root", True), ("**/*.root", True), ("*.log", True), ("*.txt", False)]
    )

    assert [(output.name, output.size_bytes, path.name) for output, path in found] == [
        ("a.root", 3, "a.root"),
        ("sub/b.root", 3, "b.root"),
    ]
    assert found[0][0].sha256 == hashlib.sha256(b"one").hexdigest()
    assert absent == ["*.log"]


def test_links_that_lead_out_pipes_and_loops_are_no_outputs(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "secret").write_text("secret")
    (work / "real").write_text("real")
    (work / "inside").symlink_to("real")
    (work / "outside").symlink_to("../secret")
    (work / "absolute").symlink_to("/etc/passwd")
    (work / "loop").symlink_to("loop")
    (work / "folder").symlink_to("..")
    (work / "nothing").symlink_to("absent")
    os.mkfifo(work / "pipe")

    found, _ = collect(work, [("**", True)])

    assert [output.name for output, _ in found] == ["inside", "real"]


def test_outputs_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")

    with pytest.raises(TooLarge, match="10 bytes, at most 9"):
        collect(tmp_path, [("*", True)], bytes_max=9)


async def test_a_folder_is_made_empty_filled_and_read(tmp_path: Path) -> None:
    (Folders(tmp_path).make(6) / "work" / "left").write_text("of an earlier life")
    folders = Folders(tmp_path)
    folder = folders.make(7)
    (tmp_path / "source").write_text("content")
    await folders.unpack(tmp_path / "source", folder / "work", "in/put", False)
    (folder / "stdout").write_bytes(b"0123456789")

    assert [path.name for path in (folder / "work").rglob("*")] == ["in", "put"]
    assert folders.size(folder, "stdout") == 10
    assert folders.tail(folder, "stdout", 4, 3) == b"456"
    assert folders.tail(folder, "stdout", 20, 3) == b""
    assert (folders.size(folder, "stderr"), folders.tail(folder, "stderr", 0, 9)) == (0, b"")


async def test_a_folder_is_used_again_with_nothing_left_in_it(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folder = folders.make(7)
    for name in ("stdout", "work/out", "tmp/scratch"):
        (folder / name).write_text("mine")
    (folder / "work" / "deep").mkdir()
    (folder / "work" / "link").symlink_to(tmp_path)
    (folder / "work").chmod(0o555)
    await folders.remove(7)

    again = folders.make(8)

    assert again == folder
    assert sorted(path.name for path in again.rglob("*")) == ["tmp", "work"]
    assert (again / "work").stat().st_mode & 0o777 == 0o700


def test_a_stream_that_became_a_link_or_a_pipe_reads_as_empty(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folder = folders.make(7)
    (folder / "stdout").symlink_to("/etc/passwd")
    os.mkfifo(folder / "stderr")

    assert folders.tail(folder, "stdout", 0, 100) == b""
    assert folders.tail(folder, "stderr", 0, 100) == b""


async def test_a_folder_whose_part_was_replaced_is_not_used_again(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folder = folders.make(7)
    (folder / "work").rmdir()
    (folder / "work").symlink_to(tmp_path)
    await folders.remove(7)

    again = folders.make(8)

    assert not folder.exists()
    assert again != folder and (again / "work").is_dir() and not (again / "work").is_symlink()


async def test_folders_without_rights_are_no_obstacle(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folder = folders.make(7)
    (folder / "work" / "deep").mkdir()
    (folder / "work" / "deep" / "file").write_text("content")
    (folder / "work" / "deep").chmod(0)
    (folder / "work").chmod(0)

    await folders.remove(7)

    assert not list((folders.make(8) / "work").iterdir())
