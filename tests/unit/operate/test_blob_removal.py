"""Files that nobody asks for go; one that somebody has just asked for stays."""

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pilotage.central.operate.files import RealBlobs

OLD = 1_000.0  # wall clock of a touch long ago
BEFORE = 2_000.0


async def put(blobs: RealBlobs, content: bytes) -> str:
    async def parts() -> AsyncIterator[bytes]:
        yield content

    sha256 = hashlib.sha256(content).hexdigest()
    await blobs.put(sha256, parts(), size_max=100)
    return sha256


def age(folder: Path, sha256: str) -> None:
    os.utime(folder / sha256[:2] / sha256[2:], (OLD, OLD))


async def test_only_what_is_untouched_is_named_and_removed(tmp_path: Path) -> None:
    blobs = RealBlobs(tmp_path)
    old, fresh = await put(blobs, b"old"), await put(blobs, b"fresh")
    age(tmp_path, old)
    named = [one async for part in blobs.untouched(BEFORE) for one in part]

    assert named == [old]
    assert await blobs.remove([old, fresh, "0" * 64], BEFORE) == 1
    assert await blobs.missing([old, fresh]) == [old]


async def test_whoever_asks_for_a_file_keeps_it(tmp_path: Path) -> None:
    blobs = RealBlobs(tmp_path)
    sha256 = await put(blobs, b"asked for")
    age(tmp_path, sha256)
    blobs = RealBlobs(tmp_path)  # long after, no memory is left of the upload
    assert await blobs.missing([sha256]) == []

    assert await blobs.remove([sha256], BEFORE) == 0
    assert await blobs.size(sha256) == 9


async def test_a_file_that_a_crash_caught_half_removed_is_back(tmp_path: Path) -> None:
    blobs = RealBlobs(tmp_path)
    sha256 = await put(blobs, b"half")
    (tmp_path / sha256[:2] / sha256[2:]).rename(tmp_path / "incoming" / f"going.{sha256}")

    assert await RealBlobs(tmp_path).missing([sha256]) == []


@pytest.mark.parametrize("tail", ["", "." + "1" * 32])
async def test_a_half_removed_file_that_is_back_is_not_old(tail: str, tmp_path: Path) -> None:
    blobs = RealBlobs(tmp_path)
    sha256 = await put(blobs, b"half")
    age(tmp_path, sha256)
    (tmp_path / sha256[:2] / sha256[2:]).rename(tmp_path / "incoming" / f"going.{sha256}{tail}")
    await put(blobs, b"half")  # somebody brings it again
    RealBlobs(tmp_path)

    assert await blobs.remove([sha256], BEFORE) == 0
    assert list((tmp_path / "incoming").iterdir()) == []


async def test_a_process_that_starts_while_another_removes_a_file_brings_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = RealBlobs(tmp_path)
    sha256 = await put(blobs, b"old")
    age(tmp_path, sha256)
    rename = Path.rename

    def then_another_starts(path: Path, target: Path) -> Path:
        done = rename(path, target)
        monkeypatch.setattr(Path, "rename", rename)
        RealBlobs(tmp_path)
        return done

    monkeypatch.setattr(Path, "rename", then_another_starts)

    assert await blobs.remove([sha256], BEFORE) == 0
    assert await RealBlobs(tmp_path).missing([sha256]) == []


async def test_of_two_that_remove_a_file_none_takes_one_that_came_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, other = RealBlobs(tmp_path), RealBlobs(tmp_path)
    sha256 = await put(blobs, b"old")
    age(tmp_path, sha256)
    unlink, path = Path.unlink, tmp_path / sha256[:2] / sha256[2:]
    again: list[bool] = []

    def later(aside: Path, *, missing_ok: bool = False) -> None:
        if not again:  # the first one is about to unlink; it comes again, the second one looks
            again.append(True)
            path.write_bytes(b"old")
            vars(RealBlobs)["_removed"](other, path, BEFORE)
        unlink(aside, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", later)

    assert await blobs.remove([sha256], BEFORE) == 1
    assert path.read_bytes() == b"old"


async def test_names_that_are_no_hash_are_left_alone(tmp_path: Path) -> None:
    blobs = RealBlobs(tmp_path)
    sha256 = await put(blobs, b"old")
    strange = tmp_path / sha256[:2] / ".nfs000000000000001200000001"
    strange.write_bytes(b"open somewhere")
    for one in (strange, tmp_path / sha256[:2] / sha256[2:]):
        os.utime(one, (OLD, OLD))

    assert [one async for part in blobs.untouched(BEFORE) for one in part] == [sha256]


async def test_what_was_just_asked_for_is_here_without_a_look_and_missing_once_it_went(
    tmp_path: Path,
) -> None:
    blobs = RealBlobs(tmp_path)
    sha256 = await put(blobs, b"just now")
    (tmp_path / sha256[:2] / sha256[2:]).rename(tmp_path / "elsewhere")
    unseen = await blobs.missing([sha256])
    await blobs.remove([sha256], BEFORE)

    assert unseen == []
    assert await blobs.missing([sha256]) == [sha256]
