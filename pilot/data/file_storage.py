"""Storages that are folders: on a shared file system, or on a disk of this node."""

import contextlib
import errno
import os
import stat
import urllib.parse
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Optional

from .file_sweep import part_of, swept
from .storages import (
    BLOCK_BYTES,
    BlockChecksums,
    CopyChecksums,
    CopyDiffers,
    CopyLocation,
    CopyMissing,
    GoOn,
    LocalFault,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    check_stored,
    copied,
    local_blocks,
    open_again,
    open_here,
    path_parts,
    swept_parts,
)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR)
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)
PUT_TRIES = 3


class FileStorage:
    """Driver of storages.Storage for `file:///folder`.

    The root folder is never created: if it is missing, its file system is not mounted. Links that
    lead out of the root are neither read nor written through.
    """

    def get(self, place: CopyLocation, to: Path, *, bytes_max: int, go_on: GoOn) -> CopyChecksums:
        with _opened(place) as handle, open_here(to) as out:
            return copied(_blocks(handle), out, BlockChecksums(bytes_max, place.verified_by), go_on)

    def get_rest(
        self, place: CopyLocation, to: Path, *, bytes_max: int, go_on: GoOn
    ) -> CopyChecksums:
        summing = BlockChecksums(bytes_max, place.verified_by)
        with _opened(place) as handle, open_again(to, summing, go_on) as out:
            with _troubles():
                os.lseek(handle, summing.sums.size_bytes, os.SEEK_SET)
            return copied(_blocks(handle), out, summing, go_on)

    def put(self, source: Path, place: CopyLocation, *, go_on: GoOn) -> CopyChecksums:
        last = ""
        for _ in range(PUT_TRIES):
            try:
                return self._put(source, place, go_on)
            except CopyMissing as why:  # a sweep has removed its folder, which was empty
                last = str(why)
        raise StorageUnavailable(f"its folder disappears: {last}")

    def _put(self, source: Path, place: CopyLocation, go_on: GoOn) -> CopyChecksums:
        with open(source, "rb") as file, _troubles():
            target = _target(place, make=True)
            # Pilots on other machines, or in containers, have the same process numbers.
            writer = os.urandom(8).hex()
            part = target.with_name(part_of(target.name, writer))
            try:
                sums = _write(file, part, go_on)
                os.replace(part, target)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(part)
                raise
            _sync_folder(target.parent)
            _check_size(target, sums)
            return sums

    def size(self, place: CopyLocation) -> int:
        with _opened(place) as handle:
            return os.fstat(handle).st_size

    def remove(self, place: CopyLocation) -> None:
        with contextlib.suppress(CopyMissing), _troubles():
            os.unlink(_target(place, make=False))

    def sweep(
        self, place: CopyLocation, *, is_folder: bool, go_on: GoOn, size: Optional[int] = None
    ) -> None:
        with _troubles():
            parts = swept_parts(place, is_folder=is_folder)
            swept(_root(place.url), parts, is_folder=is_folder, go_on=go_on)


def _root(url: str) -> Path:
    """Return the folder of a storage. Raises StorageRefused or StorageUnavailable."""
    parts = urllib.parse.urlsplit(url)
    folder = urllib.parse.unquote(parts.path)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or folder[:1] != "/":
        raise StorageRefused(f"{url!r} is not a URL such as file:///folder")
    root = Path(os.path.realpath(folder))
    try:
        mode = root.stat().st_mode
    except OSError as why:
        raise StorageUnavailable(f"{folder}: {why.strerror}: perhaps it is not mounted") from None
    if not stat.S_ISDIR(mode):
        raise StorageRefused(f"{folder} is not a folder")
    return root


def _target(place: CopyLocation, *, make: bool) -> Path:
    """Create the folder of a file, and return its path.

    Refuse a path that leads out of the root.
    """
    root = _root(place.url)
    parts = path_parts(place.path)
    target = root.joinpath(*parts)
    if make:
        folder = root
        for part in parts[:-1]:  # one by one, so that nothing is created through a link
            folder = folder / part
            _make(folder)
    if Path(os.path.realpath(target.parent)) != target.parent:
        raise StorageRefused(f"{place.path!r} leads through a link")
    return target


def _make(folder: Path) -> None:
    """Create a folder that others may read, because other users fetch the files."""
    try:
        folder.mkdir()
    except FileExistsError:
        if folder.is_symlink():
            raise StorageRefused(f"{folder} is a link") from None
    else:
        os.chmod(folder, 0o755)  # noqa: S103 (the pilot's own mask would leave it to itself)


@contextlib.contextmanager
def _opened(place: CopyLocation) -> Generator[int, None, None]:
    """Open the file on the storage for reading: a regular file, no link."""
    with _troubles():
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(_target(place, make=False), flags)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise StorageRefused(f"{place.path} is not a regular file")
        yield handle
    finally:
        os.close(handle)


def _blocks(handle: int) -> Iterator[bytes]:
    while True:
        with _troubles():
            block = os.read(handle, BLOCK_BYTES)
        if not block:
            return
        yield block


def _write(source: Any, part: Path, go_on: GoOn) -> CopyChecksums:
    """Copy an open local file to the storage, durably, and return its checksums."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(part, flags, 0o644), "wb") as out:
        os.fchmod(out.fileno(), 0o644)  # readable for others, as the folders
        sums = copied(local_blocks(source, go_on), out, BlockChecksums(), go_on)
        out.flush()
        os.fsync(out.fileno())
    return sums


def _check_size(target: Path, sums: CopyChecksums) -> None:
    try:
        check_stored(sums, lambda: (target.lstat().st_size, ""))
    except CopyDiffers:
        # Otherwise it would stay without a name, because it may be stored elsewhere.
        target.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some file systems do not support it
            os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _troubles() -> Generator[None, None, None]:
    """Translate errors of the system to errors of a storage."""
    try:
        yield
    except LocalFault as why:
        raise why.why from None
    except OSError as why:
        raise _trouble(why) from None


def _trouble(why: OSError) -> StorageError:
    said: Any = why.strerror or str(why)
    if why.errno in _FULL:
        return StorageFull(said)
    if why.errno in _NOT_THERE:
        return CopyMissing(said)
    if why.errno in _REFUSED:
        return StorageRefused(said)
    return StorageUnavailable(said)
