"""Logins on this machine: one file for each central, with its token and renewal secret.

The token lives for minutes. A request that comes near its end renews it first. Processes that share
a file take a lock, so that one renews and the others read. A nonce is on the disk before a renewal
secret is sent, so that a renewal whose answer was lost can be repeated.
"""

import asyncio
import errno
import os
import secrets
import stat
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from pilotage.proto.api.logins import LoginTokens, Renewal

from ..credentials import (
    LATEST,
    CredentialsFile,
    check_logins,
    login_file,
    read_credentials,
)
from ..errors import UnreadableCredentials

EARLY_S: Final = 60.0  # before the end of a token, it is renewed
LOCK_LOOK_S: Final = 0.05
LOCK_MAX_S: Final = 60.0

Renew = Callable[[Renewal], Awaitable[LoginTokens]]


async def save_login(environment: Mapping[str, str], url: str, tokens: LoginTokens) -> Path:
    """Write the file of a new login, mode 0600, and make its central the default one.

    Raises UnreadableCredentials, UnsafeLogins.
    """
    prepare_logins(environment)
    path = login_file(environment, url)
    async with _locked(path.with_suffix(".lock")):  # a renewal of an earlier login may be going on
        _write(path, _content(url, tokens))
    _replace(path.parent / LATEST, url.encode() + b"\n")
    return path


def prepare_logins(environment: Mapping[str, str]) -> None:
    """Make the folder of logins, with mode 0700. Raises UnreadableCredentials, UnsafeLogins."""
    folder = check_logins(environment)
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as why:
        raise _unwritable(folder, why) from None
    check_logins(environment)


async def forget_login(environment: Mapping[str, str], url: str) -> None:
    """Remove the file of a login; its central is no longer the default one.

    Raises UnreadableCredentials, UnsafeLogins.
    """
    check_logins(environment)
    path = login_file(environment, url)
    async with _locked(path.with_suffix(".lock")):
        path.unlink(missing_ok=True)


class LoginKeeper:
    """Keeps the token of one login fresh."""

    def __init__(self, path: Path, renew: Renew) -> None:
        self._path, self._renew = path, renew
        self._kept = read_credentials(path)
        self._turn = asyncio.Lock()

    async def token(self, *, is_refused: bool = False) -> str:
        """Return a token that is valid for a minute or more.

        `is_refused`: the central has refused the last one.

        Raises UnreadableCredentials, UnsafeCredentials, and the errors of `renew`.
        """
        used = self._kept.token
        async with self._turn:
            if is_refused and self._kept.token == used:
                return await self._renewed(used)
            if time.time() >= self._kept.expires_at - EARLY_S:
                return await self._renewed()
            return self._kept.token

    async def _renewed(self, refused: str = "") -> str:
        async with _locked(self._path.with_suffix(".lock")):
            kept = read_credentials(self._path)  # another process may have renewed it
            if kept.token != refused and time.time() < kept.expires_at - EARLY_S:
                self._kept = kept
                return kept.token
            if not kept.renewal:
                raise UnreadableCredentials(str(self._path), "it has no login: `pilotage login`")
            if not kept.nonce:
                kept = msgspec.structs.replace(kept, nonce=secrets.token_urlsafe(24))
                _write(self._path, kept)
            tokens = await self._renew(Renewal(renewal=kept.renewal, nonce=kept.nonce))
            self._kept = _content(kept.url, tokens)
            _write(self._path, self._kept)
            return self._kept.token


def _content(url: str, tokens: LoginTokens) -> CredentialsFile:
    return CredentialsFile(
        url=url,
        token=tokens.token,
        expires_at=time.time() + tokens.expires_in_s,
        renewal=tokens.renewal,
    )


def _write(path: Path, kept: CredentialsFile) -> None:
    """Replace a file, readable by its owner only. Raises UnreadableCredentials."""
    _replace(path, msgspec.json.encode(kept) + b"\n")


def _unwritable(path: Path, why: OSError) -> UnreadableCredentials:
    return UnreadableCredentials(str(path), f"a login cannot be kept here: {why.strerror}")


def _replace(path: Path, content: bytes) -> None:
    """Put a new file in the place of an old one. Until it is whole on the disk, the old one stays.

    A link in that place is replaced too, not followed.
    """
    try:
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
        try:
            with os.fdopen(number, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as why:
        raise _unwritable(path, why) from None


def _opened_lock(path: Path) -> int:
    """Open a lock file and return its descriptor. A link or a pipe in its place is refused."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    try:
        number = os.open(path, flags, 0o600)
        if stat.S_ISREG(os.fstat(number).st_mode):
            return number
        os.close(number)
        said = "it is not a regular file: remove it"
    except OSError as why:
        is_link = why.errno == errno.ELOOP
        said = "it is a link: remove it" if is_link else why.strerror or "unusable"
    raise UnreadableCredentials(str(path), f"a login cannot be locked here: {said}")


@asynccontextmanager
async def _locked(path: Path) -> AsyncGenerator[None]:
    """Hold the lock of a login. Go on without it after LOCK_MAX_S, or without locks."""
    try:
        import fcntl
    except ImportError:  # a system without flock
        yield
        return
    number = _opened_lock(path)
    try:
        until = time.monotonic() + LOCK_MAX_S
        while time.monotonic() < until:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(LOCK_LOOK_S)
            except OSError:  # a file system without locks
                break
        yield
    finally:
        os.close(number)
