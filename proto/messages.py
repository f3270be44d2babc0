"""What pilots and the central say to each other (docs/protocol.md), version 1.

Frozen stdlib dataclasses, because a pilot has no compiled packages. `proto.wire` turns them into
JSON and back on a pilot; msgspec decodes the same classes on the central, where `proto.limits`
checks the ranges that msgspec does not. Durations end in `_s`, sizes in `_mb` (10^6 bytes) or
`_bytes`; no message carries an end time. New fields go last, with a default: older peers omit them.
"""

import enum
from dataclasses import dataclass, field
from typing import Annotated, Optional

from .attempts import How as How, Stream as Stream, Why as Why
from .storages import BadCopy, DataBody, Published, Removed

PROTOCOL = "1.1"  # major.minor; the central serves the two last minor versions
# What a pilot speaks that does not say: fields that hold their default are left out of a message,
# so this one never changes.
PROTOCOL_UNSAID = "1.0"
KEPT_FOLDER = ".pilotage"  # of the outputs: the ends of both streams, which jobs may not name
KEPT_BYTES = 1_000_000  # of each stream, from its end
FOLLOWS = (
    "pilotage-follows"  # a header of whoever sends each request to the leader that a 421 names
)
# Marks of what jobs can ask of a node: the matcher and the files of sites have the same fields.
FACT, VERSION = "fact", "version"
CHECKPOINT_FILE = KEPT_FOLDER + "/checkpoint.tar"  # left by one attempt, an input of the next


class Answer(str, enum.Enum):
    """The central's answer to one report. All are final: the pilot stops repeating it."""

    OK = "ok"
    ALREADY = "already"
    STALE = "stale"
    MISSING = "missing"  # blobs named in the report are not here: upload them, then repeat


@dataclass(frozen=True)
class Attempt:
    """One try of a job: the epoch is the fencing token and grows with each match."""

    job: int
    epoch: int


@dataclass(frozen=True)
class Benchmark:
    """How fast one core of a node is, by a short measurement of the pilot. It is no HS23."""

    method: str  # figures of two methods do not compare
    score: float  # 1.0: the method's reference core
    integer_per_s: float = 0.0
    float_per_s: float = 0.0
    memory_mb_per_s: float = 0.0


@dataclass(frozen=True)
class Node:
    """What a pilot found on its node. It does not change while the pilot lives."""

    host: str
    os: str = "any"  # family and major version: el9, debian13; `any`: not known, ANY: all of them
    architecture: str = "x86_64"
    architecture_level: Annotated[int, FACT] = 1  # x86-64-v1 … v4; 1 elsewhere
    glibc: Annotated[str, FACT, VERSION] = ""  # "2.34"; empty where unknown
    user_namespaces: Annotated[bool, FACT] = False
    isolation: str = "session"  # the best rung of the ladder that works here
    containers: tuple[str, ...] = ()  # apptainer, podman
    cvmfs: tuple[str, ...] = ()  # repositories that are mounted
    cpu_model: str = ""
    hs23_per_core: float = 0.0  # 0 where it is not calibrated
    python: str = ""
    batch_system: str = ""
    batch_id: str = ""
    benchmark: Optional[Benchmark] = None  # None where it was not made
    namespaces: Annotated[bool, FACT] = False  # no other pilot saw it when it started


@dataclass(frozen=True)
class Offer:
    """Capacity that a pilot puts up for matching: what it has, and what of it is free.

    Sent with every ask: at the start and each time a payload ends. It replaces the pilot's offer
    before it; a parked one lives as long as the pilot's beats do. Site and element are the
    pilot's own by its token: what the pilot says of them is for display.
    """

    cores: int
    cores_free: int
    memory_mb: int
    memory_free_mb: int
    wall_left_s: float  # until the pilot must have stopped its payloads
    scratch_free_mb: int = 0
    gpus_free: int = 0
    gpu_model: str = ""
    gpu_memory_mb: Annotated[int, FACT] = 0  # of each GPU
    cpu_work_left_hs23_s: float = 0.0  # of all cores together; 0 where it is not known
    tags: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()  # only jobs that name all of these
    groups: tuple[str, ...] = ()  # only jobs of these groups; empty: of all
    owners: tuple[str, ...] = ()  # only jobs of these owners; empty: of all
    node: Optional[Node] = None
    scratch_mb: int = 0  # of the disk what nothing has written to yet, taken or not
    types: tuple[str, ...] = ()  # only jobs of these types; empty: of all
    gpus: int = 0  # taken or not; all alike
    gpu_vendor: Annotated[str, FACT] = ""  # nvidia, amd, intel
    gpu_compute_capability: Annotated[str, FACT, VERSION] = ""  # "8.0"
    gpu_driver: Annotated[str, FACT, VERSION] = ""  # "535.104.05"
    amounts: dict[str, int] = field(default_factory=dict[str, int])  # by name, taken or not
    amounts_free: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class Register:
    """First word of a pilot. Repeated with the same nonce it gives the same pilot again."""

    secret: str
    nonce: str
    protocol: str = PROTOCOL_UNSAID
    node: Optional[Node] = None


@dataclass(frozen=True)
class BrokerLogin:
    """Where and as whom a pilot reaches the message bus."""

    url: str  # mqtt://host:port or mqtts://host:port
    user: str
    password: str


@dataclass(frozen=True)
class Registered:
    """The pilot's identity. Durable before it is sent."""

    pilot: str
    community: str
    site: str
    element: str
    gen: str  # the store's generation: another one means that our past is gone
    session: int
    token: str
    expires_in_s: float
    renewal_secret: str
    broker: Optional[BrokerLogin] = None
    ca_pem: str = ""
    beat_s: float = 40.0  # H: how often to beat while nothing is held
    # Where to say asks, reports and beats; blobs go where the pilot first went. None: all there.
    urls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hello:
    """A pilot that was restarted says what it still has. Its older session dies."""

    pilot: str
    renewal_secret: str
    nonce: str
    unanswered: tuple[Attempt, ...] = ()
    protocol: str = PROTOCOL_UNSAID
    session: int = 0  # the one that it opens, one more than the last of its journal; 0: the next
    renewal_nonce: str = ""  # of this use of the secret, in the journal before it is sent


@dataclass(frozen=True)
class TokenRequest:
    """Fetch a new token and the next renewal secret. The same nonce gives the same secret again."""

    pilot: str
    renewal_secret: str
    nonce: str = ""  # of this use of the secret; only pilots of protocol 1.0 leave it out


@dataclass(frozen=True)
class TokenReply:
    token: str
    expires_in_s: float
    renewal_secret: str = ""  # for the next use; empty: the same secret and nonce again


@dataclass(frozen=True)
class InputFile:
    """A file that is laid into the payload's folder before it starts."""

    name: str  # relative path, no '..'
    sha256: str
    size_bytes: int
    unpack: bool = False  # a tar archive whose members are laid there instead


@dataclass(frozen=True)
class OutputRule:
    """Which files of the payload's folder are kept."""

    pattern: str  # glob, relative
    required: bool = True


@dataclass(frozen=True)
class Limits:
    """What ends a payload beside the wall time, the memory and the disk of its grant; 0: no limit.

    Before the wall limit, and before any other end that can be foreseen, its first process gets a
    signal, where the job asks for one.
    """

    cpu_s: int = 0  # of all its processes together
    streams_mb: int = 0  # of standard output and error together
    processes: int = 0  # at once
    stall_s: int = 0  # without use of the CPU
    warning_s: int = 0  # how long before its end it is told
    warning_signal: str = "USR1"  # USR1, USR2, TERM, INT


@dataclass(frozen=True)
class Body:
    """What to run. Durations and sizes are limits that the pilot enforces."""

    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict[str, str])
    image: str = ""
    inputs: tuple[InputFile, ...] = ()
    outputs: tuple[OutputRule, ...] = ()
    success_codes: tuple[int, ...] = (0,)
    name: str = ""
    owner: str = ""
    software: tuple[str, ...] = ()  # folders; {level} stands for the best that the node has
    modules: tuple[str, ...] = ()  # environment modules, in this order
    checkpoint: str = ""  # a folder that travels from each attempt to the next one
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Grant:
    """What the match gave to this attempt."""

    cores: int
    memory_mb: int
    wall_s: float
    scratch_mb: int = 0
    gpus: int = 0
    amounts: dict[str, int] = field(default_factory=dict[str, int])  # by name; nobody enforces them


@dataclass(frozen=True)
class Assignment:
    """One attempt that the pilot now holds."""

    job: int
    epoch: int
    attempt_id: int  # the central's row, repeated in reports so that it needs no look-up
    lease_s: float
    token: str  # attempt token, bound to (job, epoch): blobs and logs, nothing else
    grant: Grant
    body: Body
    follow: bool = False  # somebody watches the output: send it live
    data: Optional[DataBody] = None  # files on storages that it reads and leaves


@dataclass(frozen=True)
class Ask:
    """A request for work: numbered, repeated with its number until it is answered."""

    n: int
    offer: Offer
    holding: tuple[Attempt, ...] = ()
    jobs_max: int = 1


@dataclass(frozen=True)
class AskAnswer:
    """Assignments, or `parked`: the offer waits in the matcher and a wake-up will come."""

    n: int
    assignments: tuple[Assignment, ...] = ()
    parked: bool = False
    stale: bool = False  # an older ask than the last one
    retry_in_s: float = 0.0  # neither matched nor parked: ask again after this long


class What(str, enum.Enum):
    """What a report is about. They are cumulative: `ended` implies `started`."""

    STARTED = "started"
    PROGRESS = "progress"
    ENDED = "ended"


@dataclass(frozen=True)
class Usage:
    """What an attempt used, measured by the pilot."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    memory_peak_mb: float = 0.0
    scratch_peak_mb: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    frozen_s: float = 0.0


@dataclass(frozen=True)
class Output:
    """A kept file, already uploaded as a blob."""

    name: str
    sha256: str
    size_bytes: int
    of_bytes: int = 0  # the whole stream has, where only its end is kept


@dataclass(frozen=True)
class Report:
    """What became of an attempt. `ended` is repeated from the journal until it is answered."""

    job: int
    epoch: int
    attempt_id: int
    n: int  # numbered within the attempt; the newest wins
    what: What
    how: Optional[How] = None  # with `ended`
    exit_code: Optional[int] = None
    detail: str = ""
    status: str = ""  # application status, with `progress`
    isolation: str = ""
    usage: Optional[Usage] = None
    outputs: tuple[Output, ...] = ()
    ago_s: float = 0.0  # how long before the sending it happened, on the pilot's clock
    published: tuple[Published, ...] = ()  # with `ended`: what counts if its result does
    bad_copies: tuple[BadCopy, ...] = ()  # with `ended`: inputs that were read and are no good
    removed: tuple[Removed, ...] = ()  # with `ended`: what became of its removals


@dataclass(frozen=True)
class ReportAnswer:
    job: int
    epoch: int
    n: int
    answer: Answer
    missing: tuple[str, ...] = ()  # sha256 of blobs to upload first


@dataclass(frozen=True)
class Stop:
    """The central wants this attempt to end."""

    job: int
    epoch: int
    why: Why = Why.KILL


@dataclass(frozen=True)
class Turn:
    """Any reports and at most one ask in one request; each item is judged as if it came alone."""

    gen: str
    session: int
    reports: tuple[Report, ...] = ()
    ask: Optional[Ask] = None


@dataclass(frozen=True)
class TurnReply:
    term: int
    reports: tuple[ReportAnswer, ...] = ()
    ask: Optional[AskAnswer] = None
    stop: tuple[Stop, ...] = ()
    drain: bool = False
    hurry: bool = False  # drain, and do not wait for the payloads


@dataclass(frozen=True)
class Undelivered:
    """An attempt that has ended, and whose result has not reached the central yet."""

    job: int
    epoch: int
    for_s: float  # since it ended, on the pilot's clock
    why: str = ""  # what the last failed try said; empty: none has failed, it takes long


@dataclass(frozen=True)
class Beat:
    """Presence. It lists what is held; only what is listed is renewed, once it is answered."""

    gen: str
    session: int
    n: int
    parked: int = 0  # number of the ask that is parked, 0 for none
    closed: int = 0  # the last ask that is answered or given up
    holding: tuple[Attempt, ...] = ()
    goodbye: bool = False  # the last beat of a pilot that ends
    draining: bool = False  # it ends when what it holds has ended
    undelivered: tuple[Undelivered, ...] = ()  # of what it holds


@dataclass(frozen=True)
class BeatAnswer:
    n: int
    term: int
    stale: tuple[Attempt, ...] = ()
    stop: tuple[Stop, ...] = ()
    ask_again: bool = False
    drain: bool = False
    follow: tuple[Attempt, ...] = ()  # attempts whose output somebody watches
    old_session: bool = False  # over the bus, where there is no status code: end at once
    other_store: bool = False
    hurry: bool = False  # drain, and do not wait for the payloads
    leader: str = ""  # URL of the process that leads, of several: for who cannot reach another


@dataclass(frozen=True)
class Wake:
    """There may be work for the parked ask `n`. Binds nothing.

    A leader that has just begun knows of no parked ask: it says 0 to each pilot, which stands for
    whichever is parked. Older pilots ignore it, and ask after their next beat.
    """

    n: int
    term: int
    leader: str = ""  # with 0: as in the answer to a beat


@dataclass(frozen=True)
class Down:
    """What comes on a pilot's `down` topic: exactly one of the fields is set."""

    beat: Optional[BeatAnswer] = None
    wake: Optional[Wake] = None
    stop: Optional[Stop] = None
    drain: bool = False
    follow: Optional[Attempt] = None
    hurry: bool = False  # drain, and do not wait for the payloads


@dataclass(frozen=True)
class LogChunk:
    """Live output of a payload, sent only while somebody follows; lost chunks show as a gap."""

    job: int
    epoch: int
    stream: Stream
    offset: int  # bytes of this stream before `text`
    text: str
    size: int = 0  # of this stream now; where it has nothing, that is said once


@dataclass(frozen=True)
class PilotLine:
    """One event of a pilot's own log."""

    n: int  # grows from line to line of a pilot, over all its lives
    ago_s: float  # how long before the sending it was written, on the pilot's clock
    event: str  # one of those in pilot/events.py
    text: str = ""  # what comes with it
    attempt_id: int = 0  # of ours, if it is about one
    warning: bool = False


@dataclass(frozen=True)
class PilotLog:
    """Lines of a pilot's own log, the oldest first. Sent beside its turns, when there are some.

    It may be repeated: lines whose numbers are known are left out.
    """

    gen: str
    session: int
    lines: tuple[PilotLine, ...]


@dataclass(frozen=True)
class PilotLogKept:
    """Up to which number a pilot's lines are on the disk: new ones get higher numbers."""

    n: int


@dataclass(frozen=True)
class Problem:
    """Body of every answer that is not 2xx."""

    code: str  # one of proto.problems
    message: str
    field: str = ""


@dataclass(frozen=True)
class Misdirection(Problem):
    """Body of a 421: another process keeps the queue. Repeat there, or where you first went."""

    leader: str = ""  # its URL; empty: not known now
