"""A credential that lies in a file, and that others may renew: a token, or an X.509 proxy.

The file is read for each use, so that whatever renews it (oidc-agent, htgettoken, voms-proxy-init
by cron) needs to tell nobody.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from ...ports import Clock
from ..credential import Credential
from ..errors import CredentialExpired
from .lifetime import expires_at

SIZE_MAX = 262_144
LEFT_MIN_S = 60.0  # a credential that ends while it is used is none


class FileOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of the source `file`."""

    path: Annotated[str, Meta(pattern="^/", max_length=1024)]


class FileSource:
    """Reads one file."""

    def __init__(self, options: FileOptions, clock: Clock) -> None:
        self._path, self._clock = Path(options.path), clock

    async def current(self) -> Credential:
        """Return what stands in the file now. Raises CredentialExpired."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> Credential:
        try:
            with self._path.open(encoding="ascii") as file:
                text = file.read(SIZE_MAX).strip()
        except (OSError, UnicodeDecodeError) as why:
            raise CredentialExpired(f"{self._path}: cannot be read: {why}") from None
        if not text:
            raise CredentialExpired(f"{self._path}: is empty")
        return fresh(text, str(self._path), self._clock)


def fresh(text: str, where: str, clock: Clock) -> Credential:
    """Return a credential that is still good for a while. Raises CredentialExpired."""
    until = expires_at(text)
    if until is not None and until - clock.wall() < LEFT_MIN_S:
        ago_s = clock.wall() - until
        when = f"ran out {ago_s:.0f} s ago" if ago_s > 0 else f"runs out in {-ago_s:.0f} s"
        raise CredentialExpired(f"{where}: {when}: renew it")
    return Credential(text, until)
