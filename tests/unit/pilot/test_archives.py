"""Hostile and ordinary tar archives: members land inside the folder, or not at all."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.pilot.archives import extract, lay
from pilotage.pilot.ports import TooLarge, UnsafePath

# Each archive: members in their order, as "kind name -> target".
HOSTILE = {
    "an absolute path": "file /etc/evil",
    "a way up": "file ../evil",
    "a way up in the middle": "file a/../../evil",
    "an absolute link": "link a -> /etc",
    "a link that leads up": "link a -> ../..",
    "a file through a link that leads up": "link a -> ..; file a/evil",
    "links that lead up together": "dir d; link d/in -> ..; link out -> d/in/..; file out/evil",
    "links that lead up in the other order": "dir d; link out -> d/in/..; link d/in -> ..",
    "a hard link to the outside": "hard a -> ../secret",
    "a hard link to an absolute path": "hard a -> /etc/passwd",
    "a hard link to a link": "link a -> b; hard c -> a",
    "a hard link to nothing": "hard a -> nothing",
    "a device": "device null",
    "a pipe": "pipe p",
    "a file in the place of a folder": "dir a; file a",
    "a file below a file": "file a; file a/b",
    "a name of thousands of letters": "file " + "x" * 2000,
    "the folder itself as a link": "link . -> /etc",
}

ORDINARY = {
    "files and folders": "dir a; file a/b; file c; file ./d/e/f",
    "links that stay inside": "file a/b; link a/c -> b; link d -> a/b; hard e -> a/b",
    "a link to nothing inside": "link a -> later",
    "the folder itself": "dir ./; file ./a",
    "a member twice": "file a; file a",
    "a link that a file replaces": "file b; link a -> b; file a",
}


PACK: dict[str, Callable[[bytes], bytes]] = {
    "no": bytes,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def _archive(path: Path, story: str, compression: str = "no") -> Path:
    with tarfile.open(path, "w") as tar:
        for line in story.split("; "):
            kind, _, rest = line.partition(" ")
            name, _, target = rest.partition(" -> ")
            member = tarfile.TarInfo(name)
            member.linkname = target
            member.type = {
                "file": tarfile.REGTYPE,
                "dir": tarfile.DIRTYPE,
                "link": tarfile.SYMTYPE,
                "hard": tarfile.LNKTYPE,
                "device": tarfile.CHRTYPE,
                "pipe": tarfile.FIFOTYPE,
            }[kind]
            content = b"content" if kind == "file" else b""
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path.write_bytes(PACK[compression](path.read_bytes()))
    return path


def _outside(parent: Path) -> list[str]:
    return sorted(path.name for path in parent.iterdir())


@pytest.mark.parametrize("story", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_member_is_refused_and_nothing_lands_outside(tmp_path: Path, story: str) -> None:
    work = tmp_path / "in" / "work"
    work.mkdir(parents=True)
    (tmp_path / "in" / "secret").write_text("secret")
    archive = _archive(tmp_path / "a.tar", story)

    with pytest.raises(UnsafePath):
        extract(archive, work)
    assert _outside(tmp_path) == ["a.tar", "in"]
    assert _outside(tmp_path / "in") == ["secret", "work"]
    assert all(
        os.path.realpath(path).startswith(str(work))
        for path in work.rglob("*")
        if path.is_symlink()
    )


@pytest.mark.parametrize("story", ORDINARY.values(), ids=ORDINARY)
@pytest.mark.parametrize("compression", PACK)
def test_an_ordinary_archive_is_laid_out(tmp_path: Path, story: str, compression: str) -> None:
    work = tmp_path / "work"
    work.mkdir()

    extract(_archive(tmp_path / "a.tar", story, compression), work)

    for line in story.split("; "):
        kind, _, rest = line.partition(" ")
        path = work / rest.partition(" -> ")[0]
        assert (
            path.is_dir() if kind == "dir" else path.is_symlink() or path.read_text() == "content"
        )


def test_executable_bits_stay_and_others_do_not(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, mode in (("run", 0o6777), ("data", 0o666)):
            member = tarfile.TarInfo(name)
            member.mode = mode
            tar.addfile(member)

    extract(tmp_path / "a.tar", tmp_path / "work")

    assert (tmp_path / "work" / "run").stat().st_mode & 0o7777 == 0o700
    assert (tmp_path / "work" / "data").stat().st_mode & 0o7777 == 0o600


def test_too_many_members_and_too_many_bytes_are_refused(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "a.tar", "file a; file b; file c")
    (tmp_path / "work").mkdir()

    with pytest.raises(TooLarge, match="more than 2 members"):
        extract(archive, tmp_path / "work", members_max=2)
    with pytest.raises(TooLarge, match="more than 20 bytes"):
        extract(archive, tmp_path / "work", bytes_max=20)


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\0torn"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)

    with pytest.raises(UnsafePath, match="cannot be read"):
        extract(tmp_path / "a.tar", tmp_path)


def test_a_torn_archive_is_refused(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "a.tar", "file a; file b", "gz")
    archive.write_bytes(archive.read_bytes()[:-20])
    (tmp_path / "work").mkdir()

    with pytest.raises(UnsafePath, match="cannot be read"):
        extract(archive, tmp_path / "work")


@pytest.mark.parametrize("name", ["", "/a", "..", "a/../b", "a/..", "a\0b", ".", "x" * 2000])
def test_an_input_with_an_unsafe_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "source").write_text("content")
    (tmp_path / "work").mkdir()

    with pytest.raises(UnsafePath):
        lay(tmp_path / "source", tmp_path / "work", name)


def test_an_input_is_laid_in_folders_of_its_name_and_can_be_run(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("content")
    (tmp_path / "work").mkdir()

    lay(tmp_path / "source", tmp_path / "work", "a/./b c/d")

    laid = tmp_path / "work" / "a" / "b c" / "d"
    assert laid.read_text() == "content"
    assert os.access(laid, os.X_OK)
