"""Protocols for everything outside the process that the central uses.

`operate/serve.py` passes the real drivers to `central/app`; `tests/fakes.py` has drivers in memory.
Nothing else in the central touches a clock, randomness, a socket or a file.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pilotage.proto.api.sites import ElementView


class Clock(Protocol):
    """Time. Deadlines use `monotonic`; `wall` is for display and accounting."""

    def monotonic(self) -> float:
        """Return the seconds since some fixed moment; they never decrease."""
        ...

    def wall(self) -> float:
        """Return the seconds since 1970-01-01 UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of the monotonic clock."""
        ...


class Randomness(Protocol):
    """Unpredictable bytes for secrets, and random delays for back-off."""

    def token(self, size: int = 32) -> str:
        """Return an unguessable URL-safe string made of `size` random bytes."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        ...


class Blobs(Protocol):
    """Content-addressed files. A file survives a power cut once `put` has returned."""

    async def put(
        self,
        sha256: str,
        chunks: AsyncIterator[bytes],
        *,
        size_max: int,
        admit: Callable[[int], Awaitable[None]] | None = None,
    ) -> int:
        """Store the bytes under their hash, sync file and folder, and return the number of bytes.

        `admit` is called with that number before the file gets its name; an exception from it stops
        the upload. Idempotent. Raises BlobMismatch (the bytes have another hash), BlobTooLarge or
        NoSpace; nothing is left behind then.
        """
        ...

    async def missing(self, hashes: list[str]) -> list[str]:
        """Return those of `hashes` that are not stored, and touch the others.

        The caller is about to use them, so they stay for the hold time.
        """
        ...

    async def size(self, sha256: str) -> int | None:
        """Return the number of bytes, or None if the blob is not stored."""
        ...

    def read(self, sha256: str) -> AsyncIterator[bytes]:
        """Yield the bytes. Raises BlobNotFound at the first step."""
        ...

    async def beginnings(self, hashes: Sequence[str], size: int) -> list[bytes | None]:
        """Return the first `size` bytes of each blob, or None if it is not stored.

        The caller bounds the bytes: it holds all of them.
        """
        ...

    def untouched(self, before: float) -> AsyncIterator[list[str]]:
        """Yield hashes of blobs that were neither stored nor asked about since `before`."""
        ...

    async def remove(self, hashes: list[str], before: float) -> int:
        """Remove those of `hashes` that are still untouched since `before`; return how many."""
        ...


class Space(Protocol):
    """The disk that holds the store and the blobs."""

    async def read(self) -> tuple[int, int] | None:
        """Return the free and the total bytes of the disk; None: unknown.

        Space that the store will take for data in its log does not count as free.
        """
        ...


Inbound = Callable[[str, bytes], Awaitable[None]]  # topic, payload


class Bus(Protocol):
    """The message bus as the central sees it: hints out, heartbeats in, never the record.

    Every call is safe while the broker is away: it returns, and the message is lost.
    """

    @property
    def up(self) -> bool:
        """Whether the connection is up."""
        ...

    @property
    def url(self) -> str:
        """The URL of the broker for pilots: mqtt:

        host:port.
        """
        ...

    def counts(self) -> dict[str, int]:
        """Return the messages since the start, counted by outcome, for the log."""
        ...

    def publish(self, topic: str, payload: bytes) -> None:
        """Queue a QoS 0 message without waiting; if the queue is full, drop the oldest."""
        ...

    async def add_login(self, community: str, pilot: str, password: str) -> None:
        """Allow this pilot to write its own `up` topic and read its own `down`. Idempotent."""
        ...

    async def remove_login(self, community: str, pilot: str) -> None:
        """Delete the login, and cut the connection if the broker can. Idempotent."""
        ...

    async def run(self, inbound: Inbound) -> None:
        """Keep the connection, and pass the pilots' messages to `inbound`. Ends by cancellation."""
        ...


class Leadership(Protocol):
    """Whether this process leads: it keeps the queue and may answer pilots (PROTOCOL C5, C11)."""

    @property
    def leads(self) -> bool:
        """Whether its lease holds at this moment, on its own clock.

        Check it after the request was read: another leader answers requests that came later.
        """
        ...

    @property
    def term(self) -> int:
        """The term of its current or last lead; 0: it never led."""
        ...

    def url(self) -> str | None:
        """Return the URL of the leader, as last read; None: there is no leader."""
        ...


class Disk(Protocol):
    """Small files of the data directory that hold keys and secrets."""

    def read(self, path: Path) -> bytes | None:
        """Return the content, or None if there is no such file."""
        ...

    def version(self, path: Path) -> tuple[int, ...] | None:
        """Return values that differ after a change of the file, or None if there is no file."""
        ...

    def write_secret(self, path: Path, content: bytes) -> None:
        """Create or replace the file atomically, with mode 0600, and sync it."""
        ...

    def make_secret(self, path: Path, content: bytes) -> bytes:
        """Create the file as `write_secret` does, unless it exists; return its content.

        If several processes make a key at once, one of them succeeds and all use its key.
        """
        ...


@dataclass(frozen=True)
class SiteFile:
    """The content of a site's file, and the known state of its elements."""

    pledge: float | None  # None: the file has never been readable
    contact: str = ""
    enabled: bool = True
    trouble: str = ""
    elements: tuple[ElementView, ...] = ()
    pilot_s: float = 0.0  # time of all its pilots since the start of the central
    shares: Mapping[str, float] = field(default_factory=dict[str, float])  # by community; 1 in all
    pilot_s_of: Mapping[str, float] = field(default_factory=dict[str, float])  # by community

    @property
    def gets_pilots(self) -> bool:
        """Whether one of its elements is in use and enabled."""
        return any(one.held != "disabled" for one in self.elements)


class SiteFiles(Protocol):
    """The sites that get pilots from the central."""

    def files(self) -> Mapping[str, SiteFile]:
        """Return the sites that have a file; empty until the files were read."""
        ...
