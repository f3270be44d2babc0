"""The real disk: small secret files, and blobs under the hash of their bytes.

Blobs are in `ab/cdef…` below their folder, so that no folder grows large. A blob survives a power
cut once `put` has returned: the file is synced before it gets its name, and then the folder.

Several processes may work in the same folders, even on several machines over NFS. So a file that is
being written has a unique name, and files of other processes are left alone.
"""

import asyncio
import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from ..bounded_cache import BoundedCache
from ..errors import BlobMismatch, BlobNotFound, BlobTooLarge, NoSpace

PART_BYTES: Final = 262_144
FRESH_S: Final = 10.0  # much less than the hour for which blobs stay at least
FRESH_MAX: Final = 10_000
SECRET_MAX: Final = 1 << 20
LEFT_OVER_S: Final = 86_400.0  # much longer than the longest upload that http/body.py allows
_SHA256 = re.compile("[0-9a-f]{64}")
# Name in `incoming` of a file that is about to be removed; it ends with its process's name.
_GOING = re.compile(r"going\.([0-9a-f]{64})(\.[0-9a-f]{32})?")
_LEFT_OVER = re.compile(r"\..+\.[0-9a-f]{32}")  # names that `_written` gives
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class RealDisk:
    """Small files of the data directory."""

    def read(self, path: Path) -> bytes | None:
        """Return the content, or None if there is no such file."""
        try:
            with path.open("rb") as file:
                return file.read(SECRET_MAX)
        except FileNotFoundError:
            return None

    def version(self, path: Path) -> tuple[int, ...] | None:
        """Return values that differ after a change of the file, or None if there is no file."""
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def write_secret(self, path: Path, content: bytes) -> None:
        """Create or replace the file atomically, with mode 0600, and sync it."""
        with _written(path, content) as temporary:
            temporary.replace(path)
        sync_folder(path.parent)

    def make_secret(self, path: Path, content: bytes) -> bytes:
        """Create the file as `write_secret` does, unless it exists; return its content."""
        with _written(path, content) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:  # another process was faster
                return path.read_bytes()
            except OSError as why:
                if why.errno not in _NO_LINKS:
                    raise
                temporary.replace(path)
        sync_folder(path.parent)
        return content


class RealBlobs:
    """Blobs in a folder. All file operations run in threads and do not block the event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._receiving: set[str] = set()  # files in `incoming` that this process writes
        self._fresh = BoundedCache[str, float](FRESH_MAX)  # blobs just stored or touched → when
        self._synced: set[Path] = set()  # folders whose own names are synced
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(folder.parent)
        self._tidy()

    def _tidy(self) -> None:
        """Restore blobs of interrupted removals, and remove old files of interrupted uploads.

        Young files may belong to another process that is still at work.
        """
        before = time.time() - LEFT_OVER_S
        for one in list(self._incoming.iterdir()):
            with suppress(FileNotFoundError):  # another process did it
                if going := _GOING.fullmatch(one.name):
                    os.utime(one)  # so that it is not taken for an old blob
                    one.rename(self._path(going[1]))
                elif one.name not in self._receiving and one.stat().st_mtime < before:
                    one.unlink()

    async def put(
        self,
        sha256: str,
        chunks: AsyncIterator[bytes],
        *,
        size_max: int,
        admit: Callable[[int], Awaitable[None]] | None = None,
    ) -> int:
        """Store the bytes under their hash, sync file and folder, and return their number."""
        target = self._path(sha256)
        temporary = self._incoming / own_name()
        self._receiving.add(temporary.name)
        try:
            file = await asyncio.to_thread(temporary.open, "xb")
            try:
                size = await self._receive(file, sha256, chunks, size_max)
                if admit is not None:
                    await admit(size)
                await asyncio.to_thread(self._publish, file, temporary, target)
            finally:
                await asyncio.to_thread(_let_go, file, temporary)
        except OSError as why:
            if why.errno in NO_ROOM:
                raise NoSpace(why.strerror or "") from None
            raise
        finally:
            self._receiving.discard(temporary.name)
        self._refresh((sha256,))
        return size

    async def missing(self, hashes: list[str]) -> list[str]:
        """Return those of `hashes` that are not stored.

        Blobs that were touched moments ago are not looked up again: none is removed that early.
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
        """Note that these blobs are stored and touched."""
        now = time.monotonic()
        for one in hashes:
            self._fresh[one] = now

    async def size(self, sha256: str) -> int | None:
        """Return the number of bytes, or None if the blob is not stored."""
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

    async def beginnings(self, hashes: Sequence[str], size: int) -> list[bytes | None]:
        """Return the first `size` bytes of each blob, or None if it is not stored."""
        paths = [self._path(one) for one in hashes]
        return await asyncio.to_thread(lambda: [_beginning(path, size) for path in paths])

    async def untouched(self, before: float) -> AsyncIterator[list[str]]:
        """Yield hashes of blobs that were neither stored nor requested since `before`."""
        await asyncio.to_thread(self._tidy)
        for folder in await asyncio.to_thread(
            lambda: sorted(self._folder.glob("[0-9a-f][0-9a-f]"))
        ):
            yield await asyncio.to_thread(_older, folder, before)

    async def remove(self, hashes: list[str], before: float) -> int:
        """Remove those of `hashes` that are still untouched since `before`; return how many."""
        for one in hashes:
            self._fresh.pop(one, None)
        return await asyncio.to_thread(
            lambda: sum(self._removed(self._path(one), before) for one in hashes)
        )

    def _removed(self, path: Path, before: float) -> bool:
        """Rename the file, then remove it: a reader in between does not find it."""
        aside = self._incoming / f"going.{path.parent.name}{path.name}.{own_name()}"
        try:
            path.rename(aside)
            if _touched_at(aside) >= before:  # it was touched in between
                aside.rename(path)
                return False
            aside.unlink()
        except FileNotFoundError:  # it is gone, or a starting process restored it
            return False
        return True

    async def _receive(
        self, file: BinaryIO, sha256: str, chunks: AsyncIterator[bytes], size_max: int
    ) -> int:
        """Write and sync the bytes; return their number."""
        size, digest = 0, hashlib.sha256()
        async for chunk in chunks:
            size += len(chunk)
            if size > size_max:
                raise BlobTooLarge(sha256, size_max)
            await asyncio.to_thread(_append, file, digest.update, chunk)
        if digest.hexdigest() != sha256:
            raise BlobMismatch(sha256, digest.hexdigest())
        await asyncio.to_thread(_sync, file)
        return size

    def _publish(self, file: BinaryIO, temporary: Path, target: Path) -> None:
        """Give the file its name, but only the file whose bytes were hashed."""
        folder = target.parent
        folder.mkdir(mode=0o700, exist_ok=True)
        if not os.path.samestat(os.fstat(file.fileno()), temporary.lstat()):
            raise OSError(errno.ESTALE, "another file has taken its place", str(temporary))
        temporary.replace(target)
        sync_folder(folder)
        if folder not in self._synced:
            sync_folder(self._folder)
            self._synced.add(folder)

    def _path(self, sha256: str) -> Path:
        # The name comes from outside: only a hash may become a path.
        if not _SHA256.fullmatch(sha256):
            raise BlobNotFound(sha256[:64])
        return self._folder / sha256[:2] / sha256[2:]


class RealSpace:
    """The disk under a folder, and the log of the store there, if any.

    The log counts twice: copying it into the database needs as much space again.
    """

    def __init__(self, folder: Path, log: Path | None = None) -> None:
        self._folder, self._log = folder, log

    async def read(self) -> tuple[int, int] | None:
        """Return the free and the total bytes of the disk; None: unknown."""
        try:
            found, log = await asyncio.to_thread(self._read)
        except OSError:
            return None
        return max(0, found.f_bavail * found.f_frsize - log), found.f_blocks * found.f_frsize

    def _read(self) -> tuple[os.statvfs_result, int]:
        return os.statvfs(self._folder), _size(self._log) or 0 if self._log else 0


def _append(file: BinaryIO, hashed: Callable[[bytes], None], chunk: bytes) -> None:
    hashed(chunk)
    file.write(chunk)


def _touched(path: Path) -> bool:
    """Touch the file; return whether it exists."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _touched_at(path: Path) -> float:
    """Return when it was touched last; open it, so that NFS asks the server, not its cache."""
    with path.open("rb") as file:
        return os.fstat(file.fileno()).st_mtime


def _older(folder: Path, before: float) -> list[str]:
    """Return the older blobs of a folder; NFS adds files with other names."""
    found: list[str] = []
    with os.scandir(folder) as files:
        for file in files:
            name = folder.name + file.name
            with suppress(FileNotFoundError):  # another process removed it
                if _SHA256.fullmatch(name) and file.stat().st_mtime < before:
                    found.append(name)
    return found


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _beginning(path: Path, size: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except FileNotFoundError:
        return None


def own_name() -> str:
    """Return a name that no other process has; pids can be equal on two machines."""
    return secrets.token_hex(16)


@contextmanager
def _written(path: Path, content: bytes) -> Generator[Path]:
    """Write `content` to a synced file beside `path` with mode 0600; remove it at the end."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{own_name()}")
    # Set the mode at creation, so that no other user can read it in between.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            _sync(file)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def remove_left_overs(folder: Path) -> None:
    """Remove old half-written secrets of processes that died."""
    before = time.time() - LEFT_OVER_S
    for one in list(folder.iterdir()):
        with suppress(OSError):  # another process did it, or it can wait
            if _LEFT_OVER.fullmatch(one.name) and one.stat().st_mtime < before:
                one.unlink()


def _let_go(file: BinaryIO, temporary: Path) -> None:
    """Close the file before removing it: NFS keeps an open file under another name."""
    try:
        file.close()
    finally:
        temporary.unlink(missing_ok=True)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Sync a folder: syncing a file does not make its name durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
