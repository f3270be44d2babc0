"""What a pilot asks of a storage, behind a Protocol: one driver for each type.

Drivers block, in a thread that nobody waits for (`files.beside`): they call `go_on` at every block.
"""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Optional, Protocol

FOLDER_PARTS: Final = 4  # COMMUNITY/GENERATION/JOB/EPOCH: no folder above is ever removed whole

GoOn = Callable[[], None]  # raises what there is to be said against going on

BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class CopyLocation:
    """Where one copy lies: a path below the URL of a storage."""

    url: str
    path: str


@dataclass(frozen=True)
class CopyChecksums:
    """Size and checksums of bytes that were copied, taken while they were."""

    size_bytes: int
    adler32: str
    sha256: str


class Storage(Protocol):
    """Driver of one type of storage. It keeps nothing, and may be asked the same again."""

    def get(self, place: CopyLocation, to: Path, *, bytes_max: int, go_on: GoOn) -> CopyChecksums:
        """Copy a file here. Raises StorageTrouble, TooLong, and OSError of the file here.

        `to` is made anew, or written over; after a failure nothing is promised of it.
        """
        ...

    def put(self, source: Path, place: CopyLocation, *, go_on: GoOn) -> CopyChecksums:
        """Copy a file there: whole under its name, or not at all; its size was read back.

        A file of that name that is there is replaced: names are of one attempt, which may try
        twice. Raises StorageTrouble, and OSError of the file here.
        """
        ...

    def size(self, place: CopyLocation) -> int:
        """Return how many bytes the file there has. Raises StorageTrouble."""
        ...

    def remove(self, place: CopyLocation) -> None:
        """Remove the file there; that there is none is no failure. Raises StorageTrouble."""
        ...

    def sweep(
        self, place: CopyLocation, *, is_folder: bool, go_on: GoOn, size: Optional[int] = None
    ) -> None:
        """Remove the file there, or the folder with all that is in it; that it is gone is right.

        Nothing that is something else, or that leads elsewhere, is removed; `size` is how many
        bytes the file had, None where that is not known. Raises StorageTrouble.
        """
        ...


class StorageError(ValueError):
    """Something is wrong with a storage, or with a copy there."""


class StorageUnavailable(StorageError):
    """It does not answer, or not now: the same may go well in a while."""


class StorageRefused(StorageError):
    """It will not have it, or is not here at all: not to be tried again from this node."""


class StorageFull(StorageRefused):
    """It has no room left for this."""


class CopyMissing(StorageError):
    """It has no such file."""


class CopyTooLong(StorageError):
    """The copy has more bytes than the file."""


def path_parts(path: str) -> "list[str]":
    """Return the parts of a path below a storage. Raises Refused where it may lead elsewhere."""
    parts = path.split("/")
    if {"", ".", ".."} & set(parts) or "\0" in path:
        raise StorageRefused(f"{path!r} is no path below a storage")
    return parts


def swept_parts(place: CopyLocation, *, is_folder: bool) -> "list[str]":
    """Return the parts of a path that is swept. Raises Refused for one that never may be."""
    parts = path_parts(place.path)
    if is_folder and len(parts) != FOLDER_PARTS:
        raise StorageRefused(f"{place.path!r} is not the folder of an attempt")
    return parts


class BlockChecksums:
    """Takes the sums of blocks as they pass."""

    def __init__(self, bytes_max: int = -1) -> None:
        self._bytes_max = bytes_max
        self._size, self._adler, self._sha = 0, 1, hashlib.sha256()

    def add(self, block: bytes) -> None:
        """Take a block in. Raises TooLong."""
        self._size += len(block)
        if 0 <= self._bytes_max < self._size:
            raise CopyTooLong(f"it has more than {self._bytes_max} bytes")
        self._adler = zlib.adler32(block, self._adler)
        self._sha.update(block)

    @property
    def sums(self) -> CopyChecksums:
        return CopyChecksums(self._size, f"{self._adler & 0xFFFFFFFF:08x}", self._sha.hexdigest())


def copied(
    blocks: Iterable[bytes], out: Any, summing: BlockChecksums, go_on: GoOn
) -> CopyChecksums:
    """Write blocks to an open file and return their sums."""
    for block in blocks:
        go_on()
        summing.add(block)
        out.write(block)
    return summing.sums


def open_here(to: Path) -> Any:
    """Open a file of ours for writing: no link is followed that somebody has laid there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    return open(os.open(to, flags, 0o600), "wb")
