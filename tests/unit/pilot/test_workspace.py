"""Folders of payloads: which files a pattern keeps, and what a payload's folder may look like."""

import hashlib
import os
import re
from pathlib import Path

import pytest

from pilotage.pilot.files.globs import compile_glob
from pilotage.pilot.files.removal import remove
from pilotage.pilot.files.workspace import OUTPUT_FILES_MAX, Workspaces, collect, walk
from pilotage.pilot.ports import TooLarge, UnsafePath
from pilotage.proto.documents.job import OutputPattern

from .test_removal import deep

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
    (Workspaces(tmp_path).make(6) / "work" / "left").write_text("of an earlier life")
    folders = Workspaces(tmp_path)
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
    folders = Workspaces(tmp_path)
    folder = folders.make(7)
    for name in ("stdout", "work/out", "tmp/scratch"):
        (folder / name).write_text("mine")
    (folder / "work" / "deep").mkdir()
    (folder / "work" / "link").symlink_to(tmp_path)
    (folder / "work").chmod(0o555)
    await folders.remove(7)

    again = folders.make(8)

    assert again == folder
    assert sorted(path.name for path in again.rglob("*")) == ["private", "tmp", "work"]
    assert (again / "work").stat().st_mode & 0o777 == 0o700


def test_a_stream_that_became_a_link_or_a_pipe_reads_as_empty(tmp_path: Path) -> None:
    folders = Workspaces(tmp_path)
    folder = folders.make(7)
    (folder / "stdout").symlink_to("/etc/passwd")
    os.mkfifo(folder / "stderr")

    assert folders.tail(folder, "stdout", 0, 100) == b""
    assert folders.tail(folder, "stderr", 0, 100) == b""


def test_a_stream_that_became_a_folder_or_cannot_be_read_reads_as_empty(tmp_path: Path) -> None:
    folders = Workspaces(tmp_path)
    folder = folders.make(7)
    (folder / "stdout").mkdir()
    before = os.listdir("/proc/self/fd")

    assert folders.tail(folder, "stdout", 0, 100) == b""
    # Of a regular file that answers EIO there is one on every node: memory that is not there.
    assert folders.tail(Path("/proc/self"), "mem", 0, 100) == b""
    assert os.listdir("/proc/self/fd") == before


async def test_a_folder_whose_part_was_replaced_is_not_used_again(tmp_path: Path) -> None:
    folders = Workspaces(tmp_path)
    folder = folders.make(7)
    (folder / "work").rmdir()
    (folder / "work").symlink_to(tmp_path)
    await folders.remove(7)

    again = folders.make(8)

    assert not folder.exists()
    assert again != folder and (again / "work").is_dir() and not (again / "work").is_symlink()


async def test_folders_without_rights_are_no_obstacle(tmp_path: Path) -> None:
    folders = Workspaces(tmp_path)
    folder = folders.make(7)
    (folder / "work" / "deep").mkdir()
    (folder / "work" / "deep" / "file").write_text("content")
    (folder / "work" / "deep").chmod(0)
    (folder / "work").chmod(0)

    await folders.remove(7)

    assert not list((folders.make(8) / "work").iterdir())


def test_a_name_that_is_not_utf8_fails_the_outputs_where_a_pattern_asks_for_it(
    tmp_path: Path,
) -> None:
    (tmp_path / os.fsdecode(b"\xff\xfe.txt")).write_bytes(b"x")
    (tmp_path / "a.root").write_bytes(b"x")

    found, _ = collect(tmp_path, [("*.root", True)])

    assert [output.name for output, _ in found] == ["a.root"]
    with pytest.raises(UnsafePath, match=re.escape(r"'\xff\xfe.txt' is not UTF-8")):
        collect(tmp_path, [("*.txt", False)])


def test_a_name_that_no_report_can_carry_fails_the_outputs_readably(tmp_path: Path) -> None:
    (tmp_path / "a\nb").write_bytes(b"x")
    long = tmp_path / ("x" * 250) / ("x" * 250) / ("x" * 250) / ("x" * 250)
    long.mkdir(parents=True)
    (long / ("y" * 50)).write_bytes(b"x")

    with pytest.raises(
        UnsafePath, match=re.escape(r"'a\nb' is wrong: expected 1 to 1024 characters")
    ):
        collect(tmp_path, [("*", True)])
    with pytest.raises(UnsafePath, match=r"xxx\.\.\.' is wrong"):
        collect(tmp_path, [("**/y*", True)])


def test_names_that_are_too_long_for_one_report_fail_the_outputs(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 250) / ("y" * 250) / ("z" * 250)
    folder.mkdir(parents=True)
    for number in range(990):
        (folder / f"{'o' * 240}{number:03}").touch()

    said = (
        r"names of the 990 output files: found 1\d{6} bytes in the report, expected at most 1000000"
    )
    with pytest.raises(TooLarge, match=said):
        collect(tmp_path, [("**", True)])


def test_too_many_outputs_are_counted(tmp_path: Path) -> None:
    for number in range(1500):
        (tmp_path / str(number)).touch()

    with pytest.raises(TooLarge, match="1500 output files match; at most 990 can be kept"):
        collect(tmp_path, [("*", True)])


def test_the_description_of_jobs_tells_how_many_files_are_kept() -> None:
    assert f"At most {OUTPUT_FILES_MAX} files" in (OutputPattern.__doc__ or "")


def test_outputs_are_looked_for_in_folders_of_any_depth(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    deep(work)
    (work / "a").write_bytes(b"x")

    found, absent = collect(work, [("a", True), ("nothing/**", True)])
    remove(work)  # pytest itself could not

    assert [output.name for output, _ in found] == ["a"] and absent == ["nothing/**"]


def test_a_long_chain_of_links_is_no_output(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"l{number}").symlink_to(f"l{number + 1}")

    assert collect(tmp_path, [("**", False)]) == ([], [])


def test_files_come_in_the_order_of_their_names_before_those_of_inner_folders(
    tmp_path: Path,
) -> None:
    for name in ("b/z", "b/a/c", "a", "c/x", "d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert [name for name, _ in walk(tmp_path)] == ["a", "d", "b/z", "b/a/c", "c/x"]


async def test_a_folder_with_deep_ones_inside_is_emptied_and_used_again(tmp_path: Path) -> None:
    folders = Workspaces(tmp_path)
    folder = folders.make(7)
    deep(folder / "work")
    deep(folder)

    await folders.remove(7)

    assert folders.make(8) == folder
    assert sorted(path.name for path in (tmp_path / "attempts").rglob("*")) == [
        *("1", "private", "tmp", "work")
    ]


def test_what_an_earlier_life_was_removing_goes_at_the_start(tmp_path: Path) -> None:
    left = tmp_path / "attempts" / "gone-1-1" / "1"
    left.mkdir(parents=True)
    deep(left)

    Workspaces(tmp_path)

    assert not list((tmp_path / "attempts").iterdir())


async def test_the_folder_that_is_shown_ahead_is_the_next_that_is_made(tmp_path: Path) -> None:
    folders = Workspaces(tmp_path)
    first = folders.make(1)
    ahead = folders.ahead()
    await folders.remove(1)  # now there are two spare ones

    assert folders.ahead() == ahead != first
    assert folders.make(2) == ahead
    assert folders.make(3) == first


def test_an_ended_stream_becomes_a_file_of_the_payload(tmp_path: Path) -> None:
    folders = Workspaces(tmp_path)
    folder = folders.make(7)
    (folder / "stdout").write_bytes(b"said")
    (folder / "stderr").write_bytes(b"complained")
    (folder / "work" / "own.err").write_bytes(b"of the payload")
    (folder / "work" / "out").symlink_to(tmp_path)

    folders.name_stream(folder, "stdout", "logs/std.out")
    folders.name_stream(folder, "stderr", "own.err")
    with pytest.raises(OSError, match="not in the payload's folder"):
        folders.name_stream(folder, "stdout", "out/std.out")

    assert (folder / "work" / "logs" / "std.out").read_bytes() == b"said"
    assert (folder / "work" / "own.err").read_bytes() == b"of the payload"
    assert not (tmp_path / "std.out").exists()
