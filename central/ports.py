"""What the central asks of the world, each behind a Protocol.

The real drivers are given to `central/app` by `operate/serve.py`; honest ones in memory stand in
`tests/fakes.py`. Nothing else in the central touches a clock, randomness, a socket or a file.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pilotage.proto.api.jobs import ElementView


class Clock(Protocol):
    """Time. Deadlines are kept on `monotonic`; `wall` is for display and accounting."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of the monotonic clock."""
        ...


class Randomness(Protocol):
    """Unpredictable bytes for secrets, and the spread of back-offs."""

    def token(self, size: int = 32) -> str:
        """Return an unguessable URL-safe string made of `size` random bytes."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        ...


class Blobs(Protocol):
    """Content-addressed files. What `put` has returned survives a power cut."""

    async def put(
        self,
        sha256: str,
        chunks: AsyncIterator[bytes],
        *,
        size_max: int,
        admit: Callable[[int], Awaitable[None]] | None = None,
    ) -> int:
        """Store the bytes under their hash, sync file and folder, return their number.

        `admit` is called with that number before the bytes get their name: what it raises stops
        it. Idempotent. Raises BlobMismatch (the bytes have another hash), BlobTooLarge, NoSpace;
        nothing is left behind then.
        """
        ...

    async def missing(self, hashes: list[str]) -> list[str]:
        """Return those of `hashes` that are not here; the others are touched.

        Whoever asks is about to name them, so they stay for the time of the hold.
        """
        ...

    async def size(self, sha256: str) -> int | None:
        """Return the number of bytes, or None where it is not here."""
        ...

    def read(self, sha256: str) -> AsyncIterator[bytes]:
        """Yield the bytes. Raises BlobNotFound at the first step."""
        ...

    def untouched(self, before: float) -> AsyncIterator[list[str]]:
        """Yield hashes of blobs that were neither stored nor asked for since `before`."""
        ...

    async def remove(self, hashes: list[str], before: float) -> int:
        """Remove those that are still untouched since `before`; return how many."""
        ...


class Space(Protocol):
    """The disk that the store and the blobs lie on."""

    async def read(self) -> tuple[int, int] | None:
        """Return the free and all bytes of the disk; None: unknown.

        Room that the store has yet to take, for what is in its log, is not free.
        """
        ...


Inbound = Callable[[str, bytes], Awaitable[None]]  # topic, payload


class Bus(Protocol):
    """The message bus as the central sees it: hints out, beats in, never the record.

    Every call is safe while the broker is gone: it returns and the message is lost.
    """

    @property
    def up(self) -> bool:
        """Whether the connection stands now."""
        ...

    @property
    def url(self) -> str:
        """Where pilots reach the broker: mqtt://host:port."""
        ...

    def counts(self) -> dict[str, int]:
        """Return how many messages became what since the start, for the log."""
        ...

    def publish(self, topic: str, payload: bytes) -> None:
        """Queue a QoS 0 message without waiting; the oldest is dropped when the queue is full."""
        ...

    async def add_login(self, community: str, pilot: str, password: str) -> None:
        """Let this pilot write its own `up` and read its own `down`. Idempotent."""
        ...

    async def remove_login(self, community: str, pilot: str) -> None:
        """Forget the login and cut the connection where the broker can. Idempotent."""
        ...

    async def run(self, inbound: Inbound) -> None:
        """Keep the connection and give what pilots say to `inbound`. Ends by cancellation."""
        ...


class Leadership(Protocol):
    """Whether this process leads: keeps the queue, and may answer pilots (PROTOCOL C5, C11)."""

    @property
    def leads(self) -> bool:
        """Whether its lease stands at this moment, on its own clock.

        Asked after what is answered was read: what came later is another's to answer.
        """
        ...

    @property
    def term(self) -> int:
        """The term that it leads or last led with; 0: it never did."""
        ...

    def url(self) -> str | None:
        """Return where the process that leads is reached, as last read; None: nobody leads."""
        ...


class Disk(Protocol):
    """Small files of the data directory that hold keys and secrets."""

    def read(self, path: Path) -> bytes | None:
        """Return the content, or None where there is no such file."""
        ...

    def write_secret(self, path: Path, content: bytes) -> None:
        """Create or replace the file atomically, mode 0600, synced."""
        ...

    def make_secret(self, path: Path, content: bytes) -> bytes:
        """Create the file as `write_secret` does, unless it is there; return what it has.

        Of several processes that make a key at once, one does, and all go on with that one.
        """
        ...


@dataclass(frozen=True)
class SiteFile:
    """What a site's file says, and what is known of its elements."""

    pledge: float | None  # None: it does not read, and never did
    contact: str = ""
    enabled: bool = True
    trouble: str = ""
    elements: tuple[ElementView, ...] = ()
    pilot_s: float = 0.0  # time of all its pilots, since the central has started
    shares: Mapping[str, float] = field(
        default_factory=dict[str, float]
    )  # of communities; 1 in all
    pilot_s_of: Mapping[str, float] = field(default_factory=dict[str, float])  # by community

    @property
    def gets_pilots(self) -> bool:
        """Whether an element of it is in force, and not disabled."""
        return any(one.held != "disabled" for one in self.elements)


class SiteFiles(Protocol):
    """The sites that get pilots from the central."""

    def files(self) -> Mapping[str, SiteFile]:
        """Return the sites that have a file; none before they were read."""
        ...
