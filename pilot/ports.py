"""What a pilot asks of the world, each behind a Protocol.

`pilot/__main__.py` gives the real drivers to `pilot/agent.py`; `tests/fakes.py` has honest ones in
memory, so that the shipped agent runs whole on a virtual clock.
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
        """Seconds on CLOCK_BOOTTIME: goes on while the node is suspended."""
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
    """More bytes came than were to come. They come again if it is asked for again."""


class DiskWriteFailed(Exception):
    """The disk did not take what came; says why."""


@dataclass(frozen=True)
class Downloaded:
    """What a GET into a file gave: the hash is of the bytes that were written."""

    status: int
    sha256: str
    size_bytes: int = 0
    body: bytes = b""  # of an answer that is not 200


# Hears that a try to move a file of an attempt has failed, and why.
Failed = Callable[[int, str], None]


def nobody_hears(attempt_id: int, why: str) -> None:
    """Tell nobody that a try has failed."""


class Http(Protocol):
    """HTTPS to the central: one kept connection for messages, a second one for blobs."""

    async def post(
        self, path: str, body: bytes, *, token: str, timeout_s: float, aside: bool = False
    ) -> HttpReply:
        """Send JSON and return the answer; `aside`: where blobs go, since it may wait.

        Raises NoReply.
        """
        ...

    def go_to(self, url: str, *, aside: bool = False) -> bool:
        """Send messages there from now on; empty: where all went at first.

        With `aside`: files and what is said aside, instead of messages. False where that is no
        address to trust: nothing has changed.
        """
        ...

    async def upload(self, path: str, content: Union[Path, bytes], *, token: str) -> HttpReply:
        """PUT a file, or bytes that are at hand. Raises NoReply."""
        ...

    async def download(self, path: str, file: Path, *, token: str, bytes_max: int) -> Downloaded:
        """GET into a file. Raises NoReply, MoreCame, NotWritten; then there is no file."""
        ...


class Bus(Protocol):
    """The message bus as a pilot sees it. Hints only: every call is safe while it is down."""

    @property
    def up(self) -> bool: ...

    def publish(self, topic: str, payload: bytes) -> None:
        """Send at QoS 0 without waiting; lost when the bus is down."""
        ...

    async def run(
        self, inbound: Callable[[bytes], Awaitable[None]], changed: Callable[[bool], None]
    ) -> None:
        """Keep the connection, for ever: what comes on our `down` topic goes to `inbound`.

        `changed` hears that the bus is up, once our topic is subscribed, and that it is down.
        """
        ...


# Built once the login is known: login, CA certificates (PEM, may be empty), community, pilot, and
# the payload of the last will. None where there is no client of the bus.
BusFactory = Callable[[BrokerLogin, str, str, str, bytes], Optional[Bus]]


@dataclass(frozen=True)
class Ended:
    """What the guard says of a payload that is gone, with every process of it."""

    attempt_id: int
    exit_code: Optional[int]
    signal: Optional[int]
    frozen_s: float
    usage: Usage
    why: str = ""  # wall, memory, fence, killed … when the guard ended it
    detail: str = ""  # the figures that led to it
    warned: bool = False  # it had its warning signal


@dataclass(frozen=True)
class GuardNews:
    """One thing the guard reports: exactly one of the fields beside the attempt is set."""

    attempt_id: int
    started: bool = False
    not_started: str = ""  # the reason
    frozen: bool = False
    thawed: bool = False
    stuck: str = ""  # killed long ago, and not dead: its slot stays taken until it is
    ended: Optional[Ended] = None
    warned: str = ""  # how it got its warning signal


class ImageEntry(Protocol):
    """How a payload gets into an image."""

    def wrap(
        self,
        environment: Mapping[str, str],
        *,
        first_on_path: Sequence[str],
        marks: Mapping[str, str],
    ) -> Wrapping:
        """Return what stands around a command of which this is the environment."""
        ...


@dataclass(frozen=True)
class Outfit:
    """What a payload gets beside its folder: an image, software, modules."""

    isolation: str  # the rung that it runs on
    environment: Mapping[str, str]  # in addition to what the job says, and before it
    on_path: tuple[str, ...] = ()  # folders that come first on PATH
    shown: tuple[str, ...] = ()  # what it needs of the node's /tmp, where it has a private one
    entry: Optional[ImageEntry] = None  # None: it runs on the node's own files


class Outfitter(Protocol):
    """Finds what a payload is to run with, on this node."""

    async def outfit(self, assignment: Assignment, folder: Path) -> Outfit:
        """Find image, software and modules. Raises NotHere, which says what is missing."""
        ...


class OutfitMissing(Exception):
    """What the payload was to run with is not on this node, or does not work; says what."""


class Guard(Protocol):
    """The process beside the payloads that starts them and holds their fences.

    If it dies, its payloads die with it. Commands return at once; news come through `news`.
    """

    @property
    def isolation(self) -> str:
        """The rung of the isolation ladder in use: bubblewrap, unshare or session."""
        ...

    def prepare(self, folder: Path) -> None:
        """A payload may soon start in `folder`: do ahead what can be done.

        A hint, which a later one replaces.
        """
        ...

    def start(
        self, assignment: Assignment, folder: Path, fence: float, outfit: Optional[Outfit] = None
    ) -> None:
        """Start the payload in `folder/work`, output to `folder/stdout` and `folder/stderr`.

        Without an outfit it runs on the node's own files, on the rung `isolation`.
        """
        ...

    def fence(self, attempt_id: int, fence: float) -> None:
        """Move the fence (seconds of CLOCK_BOOTTIME); a frozen payload thaws if it is ahead."""
        ...

    def stop(self, attempt_id: int, grace_s: float) -> None:
        """SIGTERM, after `grace_s` SIGKILL; 0: at once. `ended` comes when it is verified empty."""
        ...

    def ends(self, at: float) -> None:
        """All payloads will be stopped then: who wants a warning gets it in time."""
        ...

    def warn(self) -> None:
        """All payloads may be stopped soon: who wants a warning gets it now."""
        ...

    async def news(self) -> GuardNews:
        """Return the next piece of news. Raises GuardGone."""
        ...

    @property
    def life(self) -> str:
        """A word that tells this guard from all others."""
        ...

    def seen_dead(self, attempt_id: int, boot_id: str, namespace: str, life: str) -> bool:
        """Whether an attempt is known to be dead on this host and boot.

        `boot_id` and `namespace` are what NodeProbe said when it was assigned, `life` is of the
        guard that had it.
        """
        ...


class GuardGone(Exception):
    """The guard process has died, and with it all payloads."""


class Journal(Protocol):
    """What must survive the pilot's own restart.

    Entries of attempts are bytes without a newline; they are durable once `sync` has returned, so
    that what arrives together is synced together.
    """

    def keep_identity(self, identity: bytes) -> None:
        """Durable when it returns."""
        ...

    def identity(self) -> Optional[bytes]: ...

    def keep_assignment(self, attempt_id: int, entry: bytes) -> None:
        """To be synced before the payload starts."""
        ...

    def keep_ended(self, attempt_id: int, report: bytes) -> None:
        """To be synced before `ended` is sent."""
        ...

    def forget(self, attempt_id: int) -> None:
        """The central has answered `ended`. It need not be synced: at worst it is told twice."""
        ...

    def sync(self) -> None:
        """Return when everything that was kept is durable."""
        ...

    def assignments(self) -> dict[int, bytes]: ...

    def ended(self) -> dict[int, bytes]: ...


class Workspace(Protocol):
    """Folders of the payloads."""

    def make(self, attempt_id: int) -> Path:
        """Make the folder of an attempt, with `work` inside, empty."""
        ...

    def ahead(self) -> Path:
        """Return the folder that the next `make` will give. Raises OSError."""
        ...

    def room(self, folder: Path, size_bytes: int, *, bytes_max: Optional[int] = None) -> int:
        """Return how many bytes input may still take of the disk, which has to be `size_bytes`.

        Raises OSError where it is less: a TooLarge where the job was promised no `bytes_max`.
        """
        ...

    async def unpack(
        self, file: Path, into: Path, name: str, unpack: bool, *, bytes_max: Optional[int] = None
    ) -> int:
        """Lay an input file, or the members of an archive, below `into`; return their bytes.

        `bytes_max` is what the job was promised of the disk, None where that is nothing. Raises
        UnsafePath, TooLarge, and OSError where the disk is full or does not answer; the folder is
        empty then.
        """
        ...

    async def collect(
        self, work: Path, patterns: tuple[tuple[str, bool], ...]
    ) -> tuple[list[tuple[Output, Path]], list[str]]:
        """Return the files that match (hashed) and the required patterns that matched none.

        Raises UnsafePath, TooLarge.
        """
        ...

    async def pack(self, folder: Path, name: str) -> Optional[tuple[Output, Path]]:
        """Return the folder `name` of the payload as an archive; None where nothing is in it.

        Raises UnsafePath, TooLarge, and OSError where the disk is full.
        """
        ...

    async def restore(self, file: Path, folder: Path, name: str) -> None:
        """Put what `pack` made in the place of the payload's folder `name`.

        Raises UnsafePath, TooLarge, and OSError where the disk is full.
        """
        ...

    def tail(self, folder: Path, stream: str, offset: int, size_max: int) -> bytes:
        """Return at most `size_max` bytes of a stream's file from `offset` on."""
        ...

    def size(self, folder: Path, stream: str) -> int: ...

    async def remove(self, attempt_id: int) -> None:
        """Remove the folder of an attempt, if there is one, without holding up the loop."""
        ...


class UntoldLog(Protocol):
    """The pilot's own log, as far as the central has not been told. It outlives a restart."""

    def about(self, job: int, epoch: int, attempt_id: int) -> None:
        """Events of this attempt have this number."""
        ...

    def waits_s(self) -> float:
        """Return for how long the oldest line has waited that does not wait for others; or 0."""
        ...

    def is_pressing(self) -> bool:
        """Whether something waits that somebody may look for."""
        ...

    def lines(self, lines_max: int, characters_max: int) -> tuple[PilotLine, ...]:
        """Return the oldest lines, at least one if there is any."""
        ...

    def told(self, n: int) -> None:
        """The central has all lines up to this number."""
        ...

    def renumber(self, above: int) -> None:
        """The central knows higher numbers of us: what waits gets others."""
        ...


class UnsafePath(ValueError):
    """An archive member or a file name leads out of the payload's folder."""


class TooLarge(OSError):
    """An archive or the outputs have more files or bytes than a payload may have."""


class NodeProbe(Protocol):
    """What the node has and how much of it is free."""

    def node(self) -> Node: ...

    def boot_id(self) -> str:
        """Return what names this boot of the host: kept with each assignment in the journal."""
        ...

    def pid_namespace(self) -> str:
        """Return the name of our own PID namespace, so that a later life knows what it can see."""
        ...

    def cores(self) -> int: ...

    def memory_mb(self) -> int: ...

    def scratch_free_mb(self) -> int: ...

    def gpus(self) -> Gpus: ...

    def wall_left_s(self) -> float: ...

    async def time_left_again(self) -> Optional[float]:
        """Ask anew until when we may run, and return the time left; None: nobody says so."""
        ...

    def tags(self) -> tuple[str, ...]: ...
