"""Logins on this machine: one file for each central, with its token and renewal secret.

The token lives for minutes. A request that comes near its end renews it first. Processes that share
a file take a lock, so that one renews and the others read. A nonce is on the disk before a renewal
secret is sent, so that a renewal whose answer was lost can be repeated.
"""

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from pilotage.proto.api.logins import LoginTokens, Renewal

from ..credentials import LATEST, CredentialsFile, login_file, read_credentials
from ..errors import UnreadableCredentials

EARLY_S: Final = 60.0  # before the end of a token, it is renewed
LOCK_LOOK_S: Final = 0.05
LOCK_MAX_S: Final = 60.0

Renew = Callable[[Renewal], Awaitable[LoginTokens]]


async def save_login(environment: Mapping[str, str], url: str, tokens: LoginTokens) -> Path:
    """Write the file of a new login, mode 0600, and make its central the default one.

    Raises UnreadableCredentials.
    """
    path = login_file(environment, url)
    _make_folder(path.parent)
    async with _locked(path.with_suffix(".lock")):  # a renewal of an earlier login may be going on
        _write(path, _content(url, tokens))
    _replace(path.parent / LATEST, url.encode() + b"\n")
    return path


async def forget_login(environment: Mapping[str, str], url: str) -> None:
    """Remove the file of a login."""
    path = login_file(environment, url)
    async with _locked(path.with_suffix(".lock")):
        path.unlink(missing_ok=True)
    latest = path.parent / LATEST
    with suppress(OSError, UnicodeDecodeError):
        if latest.read_text().strip() == url:
            latest.unlink()


class LoginKeeper:
    """Keeps the token of one login fresh."""

    def __init__(self, path: Path, renew: Renew) -> None:
        self._path, self._renew = path, renew
        self._kept = read_credentials(path)
        self._turn = asyncio.Lock()

    async def token(self, *, is_refused: bool = False) -> str:
        """Return a token that is still valid for a while. `is_refused`: the last one was not.

        Raises UnreadableCredentials, and what `renew` raises.
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


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as why:
        raise UnreadableCredentials(
            str(folder), f"a login cannot be kept here: {why.strerror}"
        ) from None


def _replace(path: Path, content: bytes) -> None:
    _make_folder(path.parent)
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
        raise UnreadableCredentials(
            str(path), f"a login cannot be kept here: {why.strerror}"
        ) from None


@asynccontextmanager
async def _locked(path: Path) -> AsyncGenerator[None]:
    """Hold the lock of a login. After LOCK_MAX_S, or where there are no locks, go on without."""
    try:
        import fcntl
    except ImportError:  # a system without flock
        yield
        return
    try:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as why:
        raise UnreadableCredentials(
            str(path), f"a login cannot be renewed here: {why.strerror}"
        ) from None
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
