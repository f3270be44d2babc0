"""The interface of a pilot to a storage, a Protocol with one driver for each type.

Drivers block, in a thread that nobody waits for (`files`), and call `go_on` at every block.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import time
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Optional, Protocol, Union, runtime_checkable

from pilotage.proto.storages import StorageOptions

# COMMUNITY/GENERATION/JOB/EPOCH: no folder above is ever removed as a whole.
FOLDER_PARTS: Final = 4

GoOn = Callable[[], None]  # raises an error if the work should stop

BLOCK_BYTES: Final = 1 << 20
_ALONE_BYTES: Final = 4 << 20  # of a file, whose checksums need no thread
# Blocks that may wait for their checksums: else each thread waits for each block of the other.
SUMMED_LATER: Final = 3
ADLER32, SHA256 = "adler32", "sha256"  # fields of CopyChecksums
EXPIRY_MARGIN_S: Final = 60.0  # a credential that ends so soon counts as expired
_BEARER: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1


@dataclass(frozen=True)
class Credential:
    """What a request to a storage carries. Its values are secret: they must appear in no text."""

    token: str = field(default="", repr=False)
    urls: Mapping[tuple[str, str], str] = field(  # signed ones, by method and path
        default_factory=dict[tuple[str, str], str], repr=False
    )


@dataclass(frozen=True)
class CopyLocation:
    """The place of one copy: a path below the URL of a storage."""

    url: str
    path: str
    options: StorageOptions = StorageOptions()
    credential: Optional[Credential] = None
    # The checksum that a download must compute; empty: all.
    verified_by: str = field(default="", compare=False)


@dataclass(frozen=True)
class CopyChecksums:
    """Size and checksums of copied bytes, computed during the copy; empty ones are unknown."""

    size_bytes: int
    adler32: str
    sha256: str


class Storage(Protocol):
    """Driver of one type of storage. It keeps no state, and requests may be repeated."""

    def get(self, place: CopyLocation, to: Path, *, bytes_max: int, go_on: GoOn) -> CopyChecksums:
        """Copy a file from the storage.

        Raises StorageError, CopyTooLong, and OSError for the local file.

        The checksum `place.verified_by` is computed, all if it is empty; others may be.
        `to` is created or overwritten; after a failure its content is undefined.
        """
        ...

    def put(self, source: Path, place: CopyLocation, *, go_on: GoOn) -> CopyChecksums:
        """Copy a file to the storage, completely or not at all; its size is read back.

        `file` and `http` replace a file of that name. All others refuse it: an attempt that tries
        again must choose another name.
        Raises StorageError, and OSError for the local file.
        """
        ...

    def size(self, place: CopyLocation) -> int:
        """Return the size of the file in bytes. Raises StorageError."""
        ...

    def remove(self, place: CopyLocation) -> None:
        """Remove the file. A missing file is not a failure. Raises StorageError."""
        ...

    def sweep(
        self, place: CopyLocation, *, is_folder: bool, go_on: GoOn, size: Optional[int] = None
    ) -> None:
        """Remove the file, or the folder with its contents; a missing one counts as removed.

        Nothing else is removed, and links are not followed. `size` is the size of the file in
        bytes, None if unknown. Raises StorageError.
        """
        ...


@runtime_checkable
class ResumingStorage(Protocol):
    """A driver that can also continue a download which another process began."""

    def get_rest(
        self, place: CopyLocation, to: Path, *, bytes_max: int, go_on: GoOn
    ) -> CopyChecksums:
        """Copy a file as `get` does, but keep the bytes of `to`, and fetch those that follow.

        The checksums are those of the whole file. Raises what `get` raises.
        """
        ...


@runtime_checkable
class ProgramsStorage(Protocol):
    """A driver that needs programs of the node. A pilot that finds them all offers its tag."""

    tag: str
    programs: tuple[str, ...]


class StorageError(ValueError):
    """A storage, or a copy there, is at fault."""

    is_sent = True  # false: no part of a file was sent to the storage


class StorageUnavailable(StorageError):
    """The storage does not answer now: the same request may succeed later."""


class CopyDiffers(StorageUnavailable):
    """The storage has other bytes than were sent."""


class CredentialRejected(StorageUnavailable):
    """The storage does not accept the credential. A new one may help."""


class StorageRefused(StorageError):
    """The storage refuses, or is not there: do not try again from this node."""


class NameTaken(StorageRefused):
    """A file of that name exists there, and is not replaced."""

    def __init__(self, said: str = "") -> None:
        super().__init__(": ".join(filter(None, ("a file of that name exists there", said))))


class StorageFull(StorageRefused):
    """The storage has no space left."""


class CopyMissing(StorageError):
    """The storage has no such file."""


class CopyTooLong(StorageError):
    """The copy is longer than the file."""


class CreatingStorage:
    """The base of drivers that only create files: the central removes them."""

    def remove(self, place: CopyLocation) -> None:
        raise StorageRefused("the central sweeps storages of this type")

    def sweep(
        self, place: CopyLocation, *, is_folder: bool, go_on: GoOn, size: Optional[int] = None
    ) -> None:
        self.remove(place)


def path_parts(path: str) -> "list[str]":
    """Return the parts of a path below a storage.

    Raises StorageRefused if it may lead elsewhere.
    """
    parts = path.split("/")
    if {"", ".", ".."} & set(parts) or "\0" in path:
        raise StorageRefused(f"{path!r} is not a path below a storage")
    return parts


def swept_parts(place: CopyLocation, *, is_folder: bool) -> "list[str]":
    """Return the parts of a path to sweep.

    Raises StorageRefused for a path that never may be swept.
    """
    parts = path_parts(place.path)
    if is_folder and len(parts) != FOLDER_PARTS:
        raise StorageRefused(f"{place.path!r} is not the folder of an attempt")
    return parts


def bearer_token(place: CopyLocation) -> str:
    """Return the token for requests to a storage; empty: none. Raises StorageRefused."""
    token = place.credential.token if place.credential is not None else ""
    if token and not _BEARER.fullmatch(token):
        raise StorageRefused("the credential is not a bearer token: it has other characters")
    if not token and place.options.needs_credential:
        raise StorageRefused("the storage needs a token, but the central gave none")
    return token


def has_expired(token: str) -> bool:
    """Return whether a JSON Web Token (RFC 7519) says that it ends within a minute, or has ended.

    False if its end is unknown. The storage checks signatures, not the pilot.
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"]) < time.time() + EXPIRY_MARGIN_S
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError):
        return False


def verified_by(adler32: str, sha256: str) -> str:
    """Return the checksum that a download must compute: the strongest known; empty: any."""
    return SHA256 if sha256 else ADLER32 if adler32 else ""


class BlockChecksums:
    """Computes checksums of blocks as they pass; those of large files in a thread beside.

    A block must stay as it is until SUMMED_LATER more are added. `only` names the checksum to
    compute, if one is enough.
    """

    def __init__(self, bytes_max: int = -1, only: str = "") -> None:
        self._bytes_max = bytes_max
        self._size, self._adler, self._sha = 0, 1, hashlib.sha256()
        self._has_adler, self._has_sha = only != SHA256, only != ADLER32
        self._beside: Optional[ThreadPoolExecutor] = None
        self._waiting: deque[Future[None]] = deque()

    def add(self, block: "Union[bytes, memoryview]") -> None:
        """Add a block. Raises CopyTooLong."""
        self._size += len(block)
        if 0 <= self._bytes_max < self._size:
            raise CopyTooLong(f"it has more than {self._bytes_max} bytes")
        if self._size <= _ALONE_BYTES:
            self._sum(block)
            return
        if self._beside is None:
            self._beside = ThreadPoolExecutor(1, "checksums")
        self._wait(SUMMED_LATER - 1)
        self._waiting.append(self._beside.submit(self._sum, block))

    def _sum(self, block: "Union[bytes, memoryview]") -> None:
        if self._has_adler:
            self._adler = zlib.adler32(block, self._adler)
        if self._has_sha:
            self._sha.update(block)

    def _wait(self, left: int) -> None:
        """Wait until at most so many blocks are not summed."""
        while len(self._waiting) > left:
            self._waiting.popleft().result()

    @property
    def sums(self) -> CopyChecksums:
        self._wait(0)
        adler32 = f"{self._adler & 0xFFFFFFFF:08x}" if self._has_adler else ""
        return CopyChecksums(self._size, adler32, self._sha.hexdigest() if self._has_sha else "")


def copied(
    blocks: "Iterable[Union[bytes, memoryview]]", out: Any, summing: BlockChecksums, go_on: GoOn
) -> CopyChecksums:
    """Write blocks to an open file and return their checksums."""
    for block in blocks:
        go_on()
        summing.add(block)
        out.write(block)
    return summing.sums


def open_here(to: Path) -> Any:
    """Open a local file for writing, without following a link at its place."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    return open(os.open(to, flags, 0o600), "wb")


@contextlib.contextmanager
def open_again(to: Path, summing: BlockChecksums, go_on: GoOn) -> Generator[Any, None, None]:
    """Open a local file to continue it, and add its bytes to the checksums."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(to, flags), "r+b") as out:
        while block := out.read(BLOCK_BYTES):
            go_on()
            summing.add(block)
        yield out


class LocalFault(Exception):
    """The local file cannot be read, which is no fault of the storage."""

    def __init__(self, why: OSError) -> None:
        super().__init__(str(why))
        self.why = why


def local_blocks(file: Any, go_on: GoOn, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield the blocks of an open local file. Raises LocalFault."""
    while True:
        go_on()
        try:
            block: bytes = file.read(size)
        except OSError as why:
            raise LocalFault(why) from why
        if not block:
            return
        yield block


def sums_of(path: Path, go_on: GoOn) -> CopyChecksums:
    """Return the checksums of a local file. Raises OSError."""
    summing = BlockChecksums()
    with open(path, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            go_on()
            summing.add(block)
    return summing.sums


def check_stored(sent: CopyChecksums, look: Callable[[], tuple[int, str]]) -> None:
    """Compare what was sent with what the storage has: its size in bytes, and adler32 if known.

    Raises StorageUnavailable (CopyDiffers for other bytes), and what `look` raises.
    """
    try:
        size, adler32 = look()
    except CopyMissing as why:
        text = f"it confirmed the file, but does not have it: {why}"
        raise StorageUnavailable(text) from None
    if size != sent.size_bytes:
        raise CopyDiffers(f"{size} bytes are stored, but {sent.size_bytes} were sent")
    if adler32 not in ("", sent.adler32):
        text = f"its adler32 of the file is {adler32}, but {sent.adler32} was sent"
        raise CopyDiffers(text)
