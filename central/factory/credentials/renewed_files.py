"""A credential in a file that a program renews: oidc-agent, htgettoken, a cron job of the site.

The file is read again when it changes, and when the credential is near its end. A half-written,
missing or bad file does no harm while the last credential is valid.
"""

from collections.abc import Callable
from pathlib import Path

from ...ports import Clock
from ..credential import Credential
from ..errors import CredentialExpired
from ..file_reader import ReaderThread
from .files import FileOptions, check_left, fresh, read_in, read_text

NEAR_END_S = 300.0  # then read for each use: some file systems report changes late
Read = Callable[[Path, Clock], Credential]  # raises CredentialExpired
_Seen = tuple[int, int, int]  # of a file: values that differ after a change


class RenewedOptions(FileOptions, frozen=True):
    """The options of the source `renewed`."""


def read_any(path: Path, clock: Clock) -> Credential:
    """Return the credential in the file. Raises CredentialExpired."""
    return fresh(read_text(path), str(path), clock)


class RenewedSource:
    """Reads one file again and again, and keeps the last valid credential to its end."""

    def __init__(self, path: Path, clock: Clock, read: Read = read_any) -> None:
        self._path, self._clock, self._read = path, clock, read
        self._reader = ReaderThread()
        self._kept: Credential | None = None
        self._seen: _Seen | None = None

    async def current(self) -> Credential:
        """Return the credential in the file, or the last valid one. Raises CredentialExpired."""
        return await read_in(self._reader, self._path, self._current)

    def _current(self) -> Credential:
        seen = self._look()
        if self._kept is not None and seen == self._seen and not self._is_near_end(self._kept):
            return self._kept
        try:
            found = self._read(self._path, self._clock)
        except CredentialExpired as why:
            return self._borne(why)
        self._kept, self._seen = found, seen
        return found

    def _look(self) -> _Seen | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _is_near_end(self, kept: Credential) -> bool:
        until = kept.expires_at
        return until is not None and until - self._clock.wall() < NEAR_END_S

    def _borne(self, why: CredentialExpired) -> Credential:
        """Return the last valid credential if its end is known and not over."""
        kept = self._kept
        if kept is None or kept.expires_at is None:
            raise why
        try:
            check_left(kept.expires_at, f"{self._path}: the last credential from it", self._clock)
        except CredentialExpired as over:
            raise CredentialExpired(f"{why.why}; {over.why}", over.ended_at) from None
        return kept
