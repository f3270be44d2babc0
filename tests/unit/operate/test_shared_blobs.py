"""Several processes take uploads in on one folder: nobody gets the bytes of another."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pilotage.central.errors import BlobMismatch, BlobTooLarge
from pilotage.central.operate.files import LEFT_OVER_S, RealBlobs

GOOD = b"#!/bin/sh\necho good\n" + b"#" * 200_000
EVIL = b"#!/bin/sh\nrm -rf /\n" + b"#" * 200_000
SHA256 = hashlib.sha256(GOOD).hexdigest()
SIZE_MAX = 10**6


class Upload:
    """One that comes in two halves."""

    def __init__(self, blobs: RealBlobs, content: bytes = GOOD, sha256: str = SHA256) -> None:
        self._blobs, self._content, self._sha256 = blobs, content, sha256
        self._half, self._rest = asyncio.Event(), asyncio.Event()

    async def begin(self) -> "Upload":
        """Send the first half; it is on the disk when this returns."""
        self._put = asyncio.get_running_loop().create_task(self._run())
        await self._half.wait()
        return self

    async def end(self) -> int:
        self._rest.set()
        return await self._put

    async def _run(self) -> int:
        try:
            return await self._blobs.put(self._sha256, self._parts(), size_max=SIZE_MAX)
        finally:
            self._half.set()  # one that is refused at once too

    async def _parts(self) -> AsyncIterator[bytes]:
        middle = len(self._content) // 2
        yield self._content[:middle]
        self._half.set()
        await self._rest.wait()
        yield self._content[middle:]


async def stored(folder: Path, sha256: str = SHA256) -> bytes:
    return b"".join([part async for part in RealBlobs(folder).read(sha256)])


async def test_uploads_of_one_file_at_two_processes_are_both_taken(tmp_path: Path) -> None:
    uploads = [await Upload(RealBlobs(tmp_path)).begin() for _ in range(3)]
    sizes = [await one.end() for one in uploads]

    assert sizes == [len(GOOD)] * 3
    assert await stored(tmp_path) == GOOD
    assert list((tmp_path / "incoming").iterdir()) == []


async def test_bytes_of_another_process_never_get_the_name(tmp_path: Path) -> None:
    first, second, third = (RealBlobs(tmp_path) for _ in range(3))
    good = await Upload(first).begin()
    with pytest.raises(BlobMismatch):
        await (await Upload(second, b"evil!").begin()).end()
    evil = await Upload(third, EVIL).begin()
    await good.end()

    assert await stored(tmp_path) == GOOD
    with pytest.raises(BlobMismatch):
        await evil.end()
    assert await stored(tmp_path) == GOOD


async def test_a_process_that_starts_breaks_no_upload_of_another(tmp_path: Path) -> None:
    upload = await Upload(RealBlobs(tmp_path)).begin()
    RealBlobs(tmp_path)

    assert await upload.end() == len(GOOD)
    assert await stored(tmp_path) == GOOD


async def test_an_upload_that_is_refused_removes_its_own_file_alone(tmp_path: Path) -> None:
    upload = await Upload(RealBlobs(tmp_path)).begin()
    theirs = list((tmp_path / "incoming").iterdir())
    with pytest.raises(BlobTooLarge):
        await RealBlobs(tmp_path).put(SHA256, _once(bytes(SIZE_MAX + 1)), size_max=SIZE_MAX)

    assert list((tmp_path / "incoming").iterdir()) == theirs
    assert await upload.end() == len(GOOD)


async def test_what_is_here_already_comes_again_while_somebody_reads_it(tmp_path: Path) -> None:
    blobs, other = RealBlobs(tmp_path), RealBlobs(tmp_path)
    await blobs.put(SHA256, _once(GOOD), size_max=SIZE_MAX)
    reading = blobs.read(SHA256)
    begun = await anext(reading)
    await other.put(SHA256, _once(GOOD), size_max=SIZE_MAX)

    assert begun + b"".join([part async for part in reading]) == GOOD
    assert await stored(tmp_path) == GOOD


async def test_a_file_that_took_the_place_of_the_one_that_was_hashed_is_not_published(
    tmp_path: Path,
) -> None:
    upload = await Upload(RealBlobs(tmp_path)).begin()
    (incoming,) = (tmp_path / "incoming").iterdir()
    (tmp_path / "evil").write_bytes(EVIL)
    (tmp_path / "evil").rename(incoming)
    with pytest.raises(OSError, match="another file"):
        await upload.end()

    assert await RealBlobs(tmp_path).missing([SHA256]) == [SHA256]


async def test_a_daily_look_takes_no_upload_of_its_own_however_old(tmp_path: Path) -> None:
    blobs = RealBlobs(tmp_path)
    upload = await Upload(blobs).begin()
    (ours,) = (tmp_path / "incoming").iterdir()
    left_over = tmp_path / "incoming" / "half"
    left_over.write_bytes(b"of a process that died")
    for one in (ours, left_over):
        then = one.stat().st_mtime - LEFT_OVER_S - 60
        os.utime(one, (then, then))
    async for _ in blobs.untouched(0.0):
        pass

    assert list((tmp_path / "incoming").iterdir()) == [ours]
    assert await upload.end() == len(GOOD)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
