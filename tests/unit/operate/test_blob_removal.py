"""Files that nobody asks for go; one that somebody has just asked for stays."""

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

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
