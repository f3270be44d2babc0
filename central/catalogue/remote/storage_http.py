"""The port through which the central speaks to storages. No bytes of files pass it.

The central removes what no file needs, orders copies between storages, and checks storages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from ..types.s3 import S3Keys

SILENT_S = 60.0  # without a byte of an answer


class StorageAway(Exception):
    """The storage did not answer, or cannot do it now. A later request may succeed."""


class StorageRefuses(Exception):
    """The storage refuses. The same request will not succeed."""


class StorageAnswer(msgspec.Struct, frozen=True):
    """An answer. The names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class StorageHttp(Protocol):
    """Requests to storages. Redirects are not followed."""

    async def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        ca_file: str = "",
        body: bytes = b"",
        silent_s: float = SILENT_S,
    ) -> StorageAnswer:
        """Return the answer with its whole body, however long the storage works on it.

        It must send a byte at least every `silent_s`. Raises StorageAway, StorageRefuses.
        """
        ...


class StorageToken(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token. Its text is secret, and empty for an anonymous storage."""

    text: str = ""
    expires_at: float | None = None  # wall clock; None: unknown

    def __repr__(self) -> str:
        return "StorageToken(…)"


class StorageTokens(Protocol):
    """Gives tokens for storages: to attempts, to people, and for requests of the central."""

    async def token(self, storage: str, scopes: tuple[str, ...]) -> StorageToken:
        """Return a token with these scopes. Raises StorageAway, StorageRefuses."""
        ...

    async def keys(self, storage: str) -> S3Keys:
        """Return the keys of an object store. Raises StorageAway, StorageRefuses."""
        ...

    def width(self, storage: str) -> str:
        """Return how wide the tokens are, if they are wider than asked for; else nothing."""
        ...


def scope_for(operation: str, prefix: str, path: str) -> str:
    """Return a scope of the WLCG profile 1.3: read, create or modify below a storage's URL."""
    return f"storage.{operation}:{prefix.rstrip('/')}/{path}"


@dataclass(frozen=True)
class RemoteStorages:
    """The drivers with which the central itself works on storages."""

    http: StorageHttp
    tokens: StorageTokens
