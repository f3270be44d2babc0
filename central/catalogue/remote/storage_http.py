"""The port through which the central speaks to storages. No bytes of files pass it.

The central removes what no file needs, orders copies between storages, and checks storages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol
from xml.etree import ElementTree

import msgspec

from ...ports import Clock

SILENT_S: Final = 60.0  # without a byte of an answer
WHOLE_S: Final = 600.0  # for a whole answer
GONE: Final = (404, 410)
_LATER: Final = (408, 423, 425, 429)
LIST_MAX: Final = 16 << 20  # bytes of a list; in memory it takes thirty times as much
_SAID_MAX: Final = 1 << 14  # bytes of the server's words, so that no token in them is cut


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
        whole_s: float = WHOLE_S,
    ) -> StorageAnswer:
        """Return the answer with its whole body, for which the storage has `whole_s`.

        It must send a byte at least every `silent_s`. Raises StorageAway, StorageRefuses.
        """
        ...


class Xrdfs(Protocol):
    """The program of XRootD for files on its servers, on the host of the central."""

    async def run(
        self, server: str, words: Sequence[str], *, token: str, ca_file: str = ""
    ) -> str | None:
        """Return what a command prints; None: the file or folder is not there.

        `server` is a URL without a path. Raises StorageAway, StorageRefuses.
        """
        ...


class S3Keys(NamedTuple):
    """The access key and the secret of an account."""

    access: str
    secret: str

    def __repr__(self) -> str:
        return f"S3Keys({self.access}, …)"


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
    xrdfs: Xrdfs
    clock: Clock


def expect(answer: StorageAnswer, *good: int, secrets: tuple[str, ...] = ()) -> None:
    """Raise StorageAway or StorageRefuses for other statuses, with the server's words.

    They never contain `secrets`, which the request carried.
    """
    if answer.status in good:
        return
    said = said_safely(answer.body[:_SAID_MAX].decode(errors="replace"), *secrets)
    if answer.status >= 500 or answer.status in _LATER:
        raise StorageAway(f"HTTP {answer.status} {said}".strip())
    raise StorageRefuses(f"HTTP {answer.status} {said}".strip())


def said_safely(text: str, *secrets: str) -> str:
    """Return a text of a server without our secrets and odd characters."""
    for one in filter(None, secrets):
        text = text.replace(one, "…")
    return "".join(char for char in text if char.isprintable())[:300]


def xml_list(body: bytes) -> ElementTree.Element:
    """Return the list of a folder. Raises StorageRefuses."""
    if len(body) > LIST_MAX:
        raise StorageRefuses(f"its list of the folder has more than {LIST_MAX} bytes")
    try:
        return ElementTree.fromstring(body)
    except (ElementTree.ParseError, LookupError, ValueError) as why:  # also of its encoding
        raise StorageRefuses(f"its list of the folder is no XML: {why}") from None


def check_same(found: int | None, expected: int | None) -> None:
    """Raise StorageRefuses if a stored file has another size than the one to remove, in bytes.

    None: no file is there, or its expected size is unknown.
    """
    if found is not None and expected is not None and found != expected:
        why = f"{found} bytes are stored, but {expected} were expected"
        raise StorageRefuses(f"{why}: it is another file")
