"""The pilot's interfaces to the world, each a Protocol.

`pilot/__main__.py` passes the real drivers to `pilot/agent.py`. `tests/fakes.py` has faithful
drivers in memory, so that the whole agent runs on a virtual clock.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Protocol, Union

from pilotage.proto.messages import Assignment, BrokerLogin, Node, Output, PilotLine, Usage

from .gpus import Gpus
from .outfit.wrapping import Wrapping


class Clock(Protocol):
    def now(self) -> float:
        """Return seconds on CLOCK_BOOTTIME, which also runs while the node is suspended."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class Randomness(Protocol):
    def token(self) -> str:
        """Return an unguessable string: the nonce of register and hello."""
        ...

    def uniform(self, low: float, high: float) -> float: ...


@dataclass(frozen=True)
class HttpReply:
    status: int
    body: bytes


class NoReply(Exception):
    """No answer came: refused, cut, or too late. The request may or may not have arrived."""


class TooManyBytes(Exception):
    """More bytes came than were announced. A repeated request would get them again."""


class DiskWriteFailed(Exception):
    """The disk did not accept the received bytes; the message says why."""


@dataclass(frozen=True)
class Downloaded:
    """The result of a GET into a file: the hash is that of the written bytes."""

    status: int
    sha256: str
    size_bytes: int = 0
    body: bytes = b""  # of an answer other than 200


# Called with the attempt and the reason when a try to transfer a file has failed.
Failed = Callable[[int, str], None]


def nobody_hears(attempt_id: int, why: str) -> None:
    """Ignore a failed try."""


class Http(Protocol):
    """HTTPS to the central: one kept connection for messages, a second one for blobs."""

    async def post(
        self, path: str, body: bytes, *, token: str, timeout_s: float, aside: bool = False
    ) -> HttpReply:
        """Send JSON and return the answer; `aside`: over the connection of blobs.

        Raises NoReply.
        """
        ...

    def go_to(self, url: str, *, aside: bool = False) -> bool:
        """Send messages to this URL from now on; empty: to the first address.

        With `aside`, this applies to files and other requests outside of messages. Return False for
        an address that is not trusted: nothing has changed.
        """
        ...

    async def upload(self, path: str, content: Union[Path, bytes], *, token: str) -> HttpReply:
        """PUT a file, or bytes. Raises NoReply."""
        ...

    async def download(self, path: str, file: Path, *, token: str, bytes_max: int) -> Downloaded:
        """GET into a file.

        Raises NoReply, TooManyBytes or DiskWriteFailed; then there is no file.
        """
        ...


class Bus(Protocol):
    """The message bus of a pilot. It carries hints only: every call is safe while it is down."""

    @property
    def up(self) -> bool: ...

    def publish(self, topic: str, payload: bytes) -> None:
        """Send at QoS 0 without waiting; the message is lost when the bus is down."""
        ...

    async def run(
        self, inbound: Callable[[bytes], Awaitable[None]], changed: Callable[[bool], None]
    ) -> None:
        """Keep the connection until cancelled, and pass messages on the `down` topic to `inbound`.

        `changed` is called when the bus is up, once the topic is subscribed, and when it is down.
        """
        ...


# Builds the bus once the login is known, from the login, the CA certificates (PEM, may be empty),
# the community, the pilot, and the payload of the last will. Returns None if no client of the bus
# is installed.
BusFactory = Callable[[BrokerLogin, str, str, str, bytes], Optional[Bus]]


@dataclass(frozen=True)
class Ended:
    """The guard's report of a payload that has ended with all its processes."""

    attempt_id: int
    exit_code: Optional[int]
    signal: Optional[int]
    frozen_s: float
    usage: Usage
    why: str = ""  # wall, memory, fence, killed … if the guard ended it
    detail: str = ""  # the figures behind that
    warned: bool = False  # it got its warning signal


@dataclass(frozen=True)
class GuardNews:
    """One message from the guard: besides the attempt, exactly one field is set."""

    attempt_id: int
    started: bool = False
    not_started: str = ""  # the reason
    frozen: bool = False
    thawed: bool = False
    stuck: str = ""  # killed long ago, but still alive: its slot stays taken
    ended: Optional[Ended] = None
    warned: str = ""  # how it got its warning signal


class ImageEntry(Protocol):
    """The way of a payload into an image."""

    def wrap(
        self,
        environment: Mapping[str, str],
        *,
        first_on_path: Sequence[str],
        marks: Mapping[str, str],
    ) -> Wrapping:
        """Return the wrapping of a command with this environment."""
        ...


@dataclass(frozen=True)
class Outfit:
    """The outfit of a payload besides its folder: an image, software, modules."""

    isolation: str  # the rung that it runs on
    environment: Mapping[str, str]  # in addition to that of the job, and before it
    on_path: tuple[str, ...] = ()  # folders that come first on PATH
    shown: tuple[str, ...] = ()  # what it needs of the node's /tmp, if its own is private
    entry: Optional[ImageEntry] = None  # None: it runs on the node's own files
    image: str = ""  # the image as found: a path of the node, or a name with its digest


class Outfitter(Protocol):
    """Finds the outfits of payloads on this node."""

    async def outfit(self, assignment: Assignment, folder: Path) -> Outfit:
        """Find image, software and modules. Raises OutfitMissing, which names what is missing."""
        ...


class OutfitMissing(Exception):
    """The payload's image, software or modules are missing on this node, or do not work."""


class Guard(Protocol):
    """The process that starts payloads and enforces their fences.

    If it dies, its payloads die with it. Commands return at once; news come through `news`.
    """

    @property
    def isolation(self) -> str:
        """Return the rung of the isolation ladder in use: bubblewrap, unshare or session."""
        ...

    def prepare(self, folder: Path) -> None:
        """Prepare for a payload that may soon start in `folder`.

        It is a hint, which a later one replaces.
        """
        ...

    def start(
        self, assignment: Assignment, folder: Path, fence: float, outfit: Optional[Outfit] = None
    ) -> None:
        """Start the payload in `folder/work`, with output to `folder/stdout` and `folder/stderr`.

        Without an outfit, it runs on the node's own files, on the rung `isolation`.
        """
        ...

    def fence(self, attempt_id: int, fence: float) -> None:
        """Move the fence (seconds of CLOCK_BOOTTIME); a frozen payload thaws if it is ahead."""
        ...

    def stop(self, attempt_id: int, grace_s: float) -> None:
        """Send SIGTERM, and SIGKILL after `grace_s`; 0: at once.

        `ended` comes after the last process.
        """
        ...

    def ends(self, at: float) -> None:
        """Set the time at which all payloads will be stopped, so that warnings come in time."""
        ...

    def warn(self) -> None:
        """Warn the payloads that asked for it now, because all may be stopped soon."""
        ...

    async def news(self) -> GuardNews:
        """Return the next message. Raises GuardGone."""
        ...

    @property
    def life(self) -> str:
        """Return a word that identifies this guard."""
        ...

    def seen_dead(self, attempt_id: int, boot_id: str, namespace: str, life: str) -> bool:
        """Return whether an attempt is known to be dead on this host and boot.

        `boot_id` and `namespace` come from NodeProbe at the time of its assignment, and `life` from
        its guard.
        """
        ...


class GuardGone(Exception):
    """The guard process has died, and all payloads with it."""


class Journal(Protocol):
    """The data that must survive the pilot's own restart.

    Entries of attempts are bytes without a newline. They are durable once `sync` has returned, so
    that entries that arrive together are synced together.
    """

    def keep_identity(self, identity: bytes) -> None:
        """Write the identity; it is durable on return."""
        ...

    def identity(self) -> Optional[bytes]: ...

    def keep_assignment(self, attempt_id: int, entry: bytes) -> None:
        """Keep an assignment; sync it before the payload starts."""
        ...

    def keep_ended(self, attempt_id: int, report: bytes) -> None:
        """Keep a last report; sync it before `ended` is sent."""
        ...

    def forget(self, attempt_id: int) -> None:
        """Forget an attempt whose `ended` was answered.

        Without a sync, it is at worst reported twice.
        """
        ...

    def sync(self) -> None:
        """Return when all entries are durable."""
        ...

    def assignments(self) -> dict[int, bytes]: ...

    def ended(self) -> dict[int, bytes]: ...


class Workspace(Protocol):
    """The folders of the payloads."""

    def make(self, attempt_id: int) -> Path:
        """Create the empty folder of an attempt, with `work` inside."""
        ...

    def ahead(self) -> Path:
        """Return the folder that the next `make` will return. Raises OSError."""
        ...

    def room(self, folder: Path, size_bytes: int, *, bytes_max: Optional[int] = None) -> int:
        """Return how many bytes input may still take on the disk, at least `size_bytes`.

        Raises OSError if there are fewer, or TooLarge if the job was promised no `bytes_max`.
        """
        ...

    async def unpack(
        self, file: Path, into: Path, name: str, unpack: bool, *, bytes_max: Optional[int] = None
    ) -> int:
        """Put an input file, or the members of an archive, below `into`; return their bytes.

        `bytes_max` is the disk space that the job was promised; None: nothing. Raises UnsafePath,
        TooLarge, and OSError if the disk is full or does not answer; the folder is then empty.
        """
        ...

    async def collect(
        self, work: Path, patterns: tuple[tuple[str, bool], ...]
    ) -> tuple[list[tuple[Output, Path]], list[str]]:
        """Return the matching files with hashes, and the required patterns without a match.

        Raises UnsafePath and TooLarge.
        """
        ...

    async def pack(self, folder: Path, name: str) -> Optional[tuple[Output, Path]]:
        """Return the payload's folder `name` as an archive; None if it is empty.

        Raises UnsafePath, TooLarge, and OSError if the disk is full.
        """
        ...

    async def restore(self, file: Path, folder: Path, name: str) -> None:
        """Replace the payload's folder `name` by the content of an archive from `pack`.

        Raises UnsafePath, TooLarge, and OSError if the disk is full.
        """
        ...

    def keep_token(self, folder: Path, name: str, token: str) -> None:
        """Write a token of a payload to `folder/tokens/name`, in place of an earlier one.

        Only the pilot's user may read the file, from its first moment, and it is always whole.
        Raises OSError; the earlier one then stays.
        """
        ...

    def drop_tokens(self, folder: Path) -> None:
        """Remove all tokens of a payload, as far as possible."""
        ...

    def tail(self, folder: Path, stream: str, offset: int, size_max: int) -> bytes:
        """Return at most `size_max` bytes of a stream's file from `offset` on."""
        ...

    def size(self, folder: Path, stream: str) -> int: ...

    def name_stream(self, folder: Path, stream: str, name: str) -> None:
        """Show an ended stream as the file `name` in the payload's folder, without a copy.

        A file that the payload itself has there stays. Raises OSError.
        """
        ...

    async def remove(self, attempt_id: int) -> None:
        """Remove the folder of an attempt, if it exists, without blocking the loop."""
        ...


class UntoldLog(Protocol):
    """The lines of the pilot's log that the central does not have yet. They survive a restart."""

    def about(self, job: int, epoch: int, attempt_id: int) -> None:
        """Set the central's number of an attempt, for its events."""
        ...

    def waits_s(self) -> float:
        """Return how long the oldest line that is sent on its own has waited; 0: none."""
        ...

    def is_pressing(self) -> bool:
        """Return whether a line waits that should be sent soon."""
        ...

    def lines(self, lines_max: int, characters_max: int) -> tuple[PilotLine, ...]:
        """Return the oldest lines, at least one if there is any."""
        ...

    def told(self, n: int) -> None:
        """Record that the central has all lines up to this number."""
        ...

    def renumber(self, above: int) -> None:
        """Give the waiting lines higher numbers, because the central knows higher ones."""
        ...


class UnsafePath(ValueError):
    """An archive member or a file name leads out of the payload's folder."""


class TooLarge(OSError):
    """An archive or the outputs have more files or bytes than a payload may have."""


class NodeProbe(Protocol):
    """The capacity of the node, and how much of it is free."""

    def node(self) -> Node: ...

    def boot_id(self) -> str:
        """Return the id of this boot of the host, which the journal keeps with each assignment."""
        ...

    def pid_namespace(self) -> str:
        """Return the name of the pilot's PID namespace: a later process may see other processes."""
        ...

    def cores(self) -> int: ...

    def memory_mb(self) -> int: ...

    def scratch_free_mb(self) -> int: ...

    def gpus(self) -> Gpus: ...

    def wall_left_s(self) -> float: ...

    async def time_left_again(self) -> Optional[float]:
        """Ask again for the end of the pilot, and return the time left; None: unknown."""
        ...

    def tags(self) -> tuple[str, ...]: ...
