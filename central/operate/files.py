"""The real disk: small secret files, and blobs under the hash of their bytes.

Blobs lie in `ab/cdef…` below their folder, so that no folder grows large. What `put` has returned
survives a power cut: the file is synced before it gets its name, and the folder after.
"""

import asyncio
import errno
import hashlib
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO, Final

from ..errors import BlobMismatch, BlobNotFound, BlobTooLarge, NoSpace

PART_BYTES: Final = 262_144
SECRET_MAX: Final = 1 << 20
_SHA256 = re.compile("[0-9a-f]{64}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class RealDisk:
    """Small files of the data directory."""

    def read(self, path: Path) -> bytes | None:
        """Return the content, or None where there is no such file."""
        try:
            with path.open("rb") as file:
                return file.read(SECRET_MAX)
        except FileNotFoundError:
            return None

    def write_secret(self, path: Path, content: bytes) -> None:
        """Create or replace the file atomically, mode 0600, synced."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)  # of a process that died half-way
        # The mode is there from the first moment: nobody reads it between two calls.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                _sync(file)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


class RealBlobs:
    """Blobs in a folder. All calls on files run in threads; none holds the event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._number = 0
        self._synced: set[Path] = set()  # folders whose own names are known to be on the disk
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left_over in self._incoming.iterdir():  # of uploads that a crash cut off
            left_over.unlink()

    async def put(self, sha256: str, chunks: AsyncIterator[bytes], *, size_max: int) -> int:
        """Store the bytes under their hash, sync file and folder, return their number."""
        target = self._path(sha256)
        self._number += 1
        temporary = self._incoming / f"{sha256[:16]}.{self._number}"
        try:
            size = await self._receive(temporary, sha256, chunks, size_max)
            await asyncio.to_thread(self._publish, temporary, target)
        except OSError as why:
            if why.errno in _FULL:
                raise NoSpace(why.strerror or "") from None
            raise
        finally:
            await asyncio.to_thread(temporary.unlink, missing_ok=True)
        return size

    async def missing(self, hashes: list[str]) -> list[str]:
        """Return those of `hashes` that are not here."""
        paths = {one: self._path(one) for one in hashes if _SHA256.fullmatch(one)}
        here = await asyncio.to_thread(
            lambda: {one for one, path in paths.items() if path.exists()}
        )
        return [one for one in hashes if one not in here]

    async def size(self, sha256: str) -> int | None:
        """Return the number of bytes, or None where it is not here."""
        return await asyncio.to_thread(_size, self._path(sha256))

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        """Yield the bytes. Raises BlobNotFound at the first step."""
        try:
            file = await asyncio.to_thread(self._path(sha256).open, "rb")
        except FileNotFoundError:
            raise BlobNotFound(sha256) from None
        try:
            while part := await asyncio.to_thread(file.read, PART_BYTES):
                yield part
        finally:
            file.close()

    async def _receive(
        self, temporary: Path, sha256: str, chunks: AsyncIterator[bytes], size_max: int
    ) -> int:
        """Write and sync the bytes to a temporary file; return their number."""
        size, digest = 0, hashlib.sha256()
        file = await asyncio.to_thread(temporary.open, "xb")
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > size_max:
                    raise BlobTooLarge(sha256, size_max)
                await asyncio.to_thread(_append, file, digest.update, chunk)
            if digest.hexdigest() != sha256:
                raise BlobMismatch(sha256, digest.hexdigest())
            await asyncio.to_thread(_sync, file)
        finally:
            file.close()
        return size

    def _publish(self, temporary: Path, target: Path) -> None:
        folder = target.parent
        folder.mkdir(mode=0o700, exist_ok=True)
        temporary.replace(target)
        _sync_folder(folder)
        if folder not in self._synced:
            _sync_folder(self._folder)
            self._synced.add(folder)

    def _path(self, sha256: str) -> Path:
        # The name comes from outside: nothing but a hash becomes a path.
        if not _SHA256.fullmatch(sha256):
            raise BlobNotFound(sha256[:64])
        return self._folder / sha256[:2] / sha256[2:]


def _append(file: BinaryIO, hashed: Callable[[bytes], None], chunk: bytes) -> None:
    hashed(chunk)
    file.write(chunk)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
