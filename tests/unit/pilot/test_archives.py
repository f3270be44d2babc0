"""Hostile and ordinary tar archives: members land inside the folder, or not at all."""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import random
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.pilot.files.archives import extract, lay
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


@pytest.mark.parametrize(
    "name", ["", "/a", "..", "a/../b", "a/..", "a\0b", ".", "x" * 2000, "x" * 1000]
)
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


@pytest.mark.parametrize("name", ["\ud800", "a/\udfff\ud800"])
def test_a_name_without_bytes_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafePath):
        lay(tmp_path / "source", tmp_path, name)


@pytest.mark.parametrize("compression", PACK)
@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_archive_is_laid_out_or_refused_and_nothing_else(
    tmp_path: Path, compression: str, seed: int
) -> None:
    chance = random.Random(f"{compression} {seed}")
    for number in range(60):
        archive = tmp_path / f"{number}.tar"
        archive.write_bytes(_mutated(chance, PACK[compression]))
        (tmp_path / f"{number}").mkdir()
        with contextlib.suppress(UnsafePath, TooLarge):
            extract(archive, tmp_path / f"{number}")


def _mutated(chance: random.Random, pack: Callable[[bytes], bytes]) -> bytes:
    """Return an archive in which some bytes are others, or whose end is missing."""
    kind = chance.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for name in ("a", "d/b", "x" * 90 + "/" + "y" * 90, "é/ü"):
            member = tarfile.TarInfo(name)
            member.size = 2000
            member.pax_headers = {"k": "v" * chance.randrange(300), "mtime": "1.5"}
            tar.addfile(member, io.BytesIO(chance.randbytes(2000)))
    plain, packed_later = bytearray(buffer.getvalue()), chance.random() < 0.5
    data = plain if packed_later else bytearray(pack(bytes(plain)))
    for _ in range(chance.randrange(1, 6)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    if chance.random() < 0.2:
        del data[chance.randrange(len(data)) :]
    return pack(bytes(data)) if packed_later else bytes(data)


def _header(kind: bytes, size: bytes) -> bytes:
    """Return a member's header with this size and the right sum."""
    block = bytearray(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT))
    block[124:136], block[156:157], block[148:156] = size, kind, b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("kind", [b"0", b"L", b"x", b"5"])
def test_a_member_of_less_than_no_bytes_is_refused(tmp_path: Path, kind: bytes) -> None:
    size = b"\xff" * 10 + b"\xfc\x00"  # -1024 in base 256: the next header would be this one again
    (tmp_path / "a.tar").write_bytes(_header(kind, size) + bytes(10_240))

    with pytest.raises(UnsafePath, match="a negative size"):
        extract(tmp_path / "a.tar", tmp_path)


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g", b"X"])
def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, kind: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(_header(kind, b"77777777777\0") + bytes(10_240))

    with pytest.raises(TooLarge, match="a header of 8589934591 bytes"):
        extract(tmp_path / "a.tar", tmp_path)


@pytest.mark.parametrize(("headers", "size"), [(1, 1_000_000), (100, 20_000)])
def test_headers_that_hold_up_the_whole_process_are_refused_at_once(
    tmp_path: Path, headers: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilotage.pilot.files.archives.HARD_MAX", 1_000_000_000)
    header = _header(b"x", b"%011o\0" % size) + b"1" * size + bytes(-size % 512)
    member = tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tar").write_bytes((header + member) * headers + bytes(1024))
    before_s = time.process_time()

    # Newer Pythons find such a header invalid, and are quick.
    with pytest.raises((TooLarge, UnsafePath), match="header"):
        extract(tmp_path / "a.tar", tmp_path)
    assert time.process_time() - before_s < 5.0  # it was minutes


@pytest.mark.parametrize("entries", [3, 3_000_000])
def test_the_map_of_a_sparse_file_does_not_fill_the_memory(tmp_path: Path, entries: int) -> None:
    content = b"%d\n" % entries + b"0\n0\n" * entries
    member = tarfile.TarInfo("a")
    member.size = len(content) + -len(content) % 512
    told = {"major": "1", "minor": "0", "name": "a", "realsize": "10"}
    member.pax_headers = {f"GNU.sparse.{key}": value for key, value in told.items()}
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(content + bytes(512)))
    (tmp_path / "work").mkdir()
    if entries == 3:
        extract(tmp_path / "a.tar", tmp_path / "work")
        assert (tmp_path / "work" / "a").exists()
        return

    with pytest.raises(TooLarge, match="headers fill more than"):
        extract(tmp_path / "a.tar", tmp_path / "work")


def test_a_chain_of_links_longer_than_python_recurses_is_refused_and_breaks_nothing(
    tmp_path: Path,
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    story = "; ".join(f"link l{number} -> l{number + 1}" for number in range(1100))
    archive = _archive(tmp_path / "a.tar", story)

    with contextlib.suppress(UnsafePath):
        extract(archive, work)
    assert all(not os.readlink(path).startswith("/") for path in work.iterdir())
