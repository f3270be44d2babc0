"""A credential in a file: a token, or an X.509 certificate with its key.

The file is read for each use: a new content counts at once, and a removed file ends the access.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from pilotage.proto.decoding.patterns import whole

from ...observe.times import shown
from ...ports import Clock
from ...regular_files import read_regular
from ..credential import Credential
from ..errors import CredentialExpired
from ..file_reader import ReaderThread
from .lifetime import expires_at

T = TypeVar("T")
SIZE_MAX = 262_144
OTHERS = 0o077  # mode bits by which other users reach a file
LEFT_MIN_S = 60.0  # a credential that ends sooner is refused


FilePath = Annotated[
    str,
    Meta(
        pattern=whole(r"/[^\x00-\x1f\x7f]+"),
        max_length=1024,
        description="an absolute path without control characters",
    ),
]


class FileOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of the source `file`."""

    path: FilePath


class FileSource:
    """Reads one file for each use; only its current content counts."""

    def __init__(self, options: FileOptions, clock: Clock) -> None:
        self._path, self._clock, self._reader = Path(options.path), clock, ReaderThread()

    async def current(self) -> Credential:
        """Return the credential that is in the file now. Raises CredentialExpired."""
        text = await read_in(self._reader, self._path, lambda: read_text(self._path))
        return fresh(text, str(self._path), self._clock)


async def read_in(reader: ReaderThread, path: Path, read: Callable[[], T]) -> T:
    """Return the result of `read`, in the reader's thread.

    Raises CredentialExpired, also if the file system does not answer.
    """
    try:
        return await reader.do(read)
    except TimeoutError:
        raise CredentialExpired(f"{path}: its file system does not answer") from None


def read_text(path: Path) -> str:
    """Return the content of a file. Raises CredentialExpired."""
    try:
        text = read_regular(path, SIZE_MAX).decode("ascii").strip()
    except OSError as why:
        raise CredentialExpired(f"{path}: cannot be read: {why.strerror}") from None
    except UnicodeDecodeError:
        raise CredentialExpired(f"{path}: is not the text of a credential") from None
    if not text:
        raise CredentialExpired(f"{path}: is empty")
    return text


def read_private(path: Path) -> str:
    """Return the content of a file that only its owner may read. Raises CredentialExpired."""
    text = read_text(path)
    if path.stat().st_mode & OTHERS:
        raise CredentialExpired(f"{path}: other users may read it: chmod 0600 it")
    return text


def fresh(text: str, where: str, clock: Clock) -> Credential:
    """Return the credential in a text if it is still valid for a while.

    Raises CredentialExpired.
    """
    until = expires_at(text)
    if until is not None:
        check_left(until, where, clock)
    return Credential(text, until)


def check_left(until: float, where: str, clock: Clock) -> None:
    """Check that a credential is still valid for a while. Raises CredentialExpired."""
    left_s = until - clock.wall()
    if left_s >= LEFT_MIN_S:
        return
    when = f"expired {-left_s:.0f} s ago" if left_s < 0 else f"expires in {left_s:.0f} s"
    raise CredentialExpired(f"{where}: {when}, at {shown(until)}: renew it", until)
