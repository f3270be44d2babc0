"""The real disk: small secret files, and blobs under the hash of their bytes.

Blobs lie in `ab/cdef…` below their folder, so that no folder grows large. What `put` has returned
survives a power cut: the file is synced before it gets its name, and the folder after.
"""

import asyncio
import errno
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Final

from ..errors import BlobMismatch, BlobNotFound, BlobTooLarge, NoSpace

PART_BYTES: Final = 262_144
FRESH_S: Final = 10.0  # blobs stay for an hour at least
FRESH_MAX: Final = 10_000
SECRET_MAX: Final = 1 << 20
_GOING: Final = "going."  # files in `incoming` that are about to be removed
_SHA256 = re.compile("[0-9a-f]{64}")
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


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
        sync_folder(path.parent)


class RealBlobs:
    """Blobs in a folder. All calls on files run in threads; none holds the event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._number = 0
        self._fresh: dict[str, float] = {}  # blobs that were just stored or touched, and when
        self._synced: set[Path] = set()  # folders whose own names are known to be on the disk
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(folder.parent)
        for left_over in self._incoming.iterdir():
            if left_over.name.startswith(_GOING):  # a crash came before it was clear that it goes
                left_over.rename(self._path(left_over.name.removeprefix(_GOING)))
            else:  # of an upload that a crash cut off
                left_over.unlink()

    async def put(self, sha256: str, chunks: AsyncIterator[bytes], *, size_max: int) -> int:
        """Store the bytes under their hash, sync file and folder, return their number."""
        target = self._path(sha256)
        self._number += 1
        temporary = self._incoming / f"{sha256[:16]}.{self._number}"
        try:
            size = await self._receive(temporary, sha256, chunks, size_max)
            await asyncio.to_thread(self._publish, temporary, target)
            self._refresh((sha256,))
        except OSError as why:
            if why.errno in NO_ROOM:
                raise NoSpace(why.strerror or "") from None
            raise
        finally:
            await asyncio.to_thread(temporary.unlink, missing_ok=True)
        return size

    async def missing(self, hashes: list[str]) -> list[str]:
        """Return those of `hashes` that are not here.

        What was touched moments ago is here: nothing goes that is as young as that.
        """
        old = time.monotonic() - FRESH_S
        asked = [one for one in hashes if self._fresh.get(one, old) <= old]
        if not asked:
            return []
        paths = {one: self._path(one) for one in asked if _SHA256.fullmatch(one)}
        here = await asyncio.to_thread(
            lambda: {one for one, path in paths.items() if _touched(path)}
        )
        self._refresh(here)
        return [one for one in asked if one not in here]

    def _refresh(self, hashes: Iterable[str]) -> None:
        """Note that these are here and touched."""
        now = time.monotonic()
        for one in hashes:
            self._fresh.pop(one, None)  # so that the oldest come first
            self._fresh[one] = now
        while len(self._fresh) > FRESH_MAX:
            del self._fresh[next(iter(self._fresh))]

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

    async def untouched(self, before: float) -> AsyncIterator[list[str]]:
        """Yield hashes of blobs that nobody has stored or asked for since `before`."""
        for folder in await asyncio.to_thread(
            lambda: sorted(self._folder.glob("[0-9a-f][0-9a-f]"))
        ):
            yield await asyncio.to_thread(_older, folder, before)

    async def remove(self, hashes: list[str], before: float) -> int:
        """Remove those that are still untouched since `before`; return how many."""
        for one in hashes:
            self._fresh.pop(one, None)
        return await asyncio.to_thread(
            lambda: sum(self._removed(self._path(one), before) for one in hashes)
        )

    def _removed(self, path: Path, before: float) -> bool:
        """Take the file away under another name first: who asks for it meanwhile hears no."""
        aside = self._incoming / f"{_GOING}{path.parent.name}{path.name}"
        try:
            path.rename(aside)
        except FileNotFoundError:
            return False
        if aside.stat().st_mtime >= before:  # somebody was faster
            aside.rename(path)
            return False
        aside.unlink()
        return True

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
        sync_folder(folder)
        if folder not in self._synced:
            sync_folder(self._folder)
            self._synced.add(folder)

    def _path(self, sha256: str) -> Path:
        # The name comes from outside: nothing but a hash becomes a path.
        if not _SHA256.fullmatch(sha256):
            raise BlobNotFound(sha256[:64])
        return self._folder / sha256[:2] / sha256[2:]


def _append(file: BinaryIO, hashed: Callable[[bytes], None], chunk: bytes) -> None:
    hashed(chunk)
    file.write(chunk)


def _touched(path: Path) -> bool:
    """Say whether the file is here; if so, its time of the last touch is now."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _older(folder: Path, before: float) -> list[str]:
    with os.scandir(folder) as files:
        return [folder.name + file.name for file in files if file.stat().st_mtime < before]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; syncing a file does nothing for its name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
