"""The messages between pilots and the central (docs/protocol.md), version 1.

They are frozen stdlib dataclasses, because a pilot has no compiled packages. A pilot converts them
to JSON and back with `proto.wire`. The central decodes the same classes with msgspec, and
`proto.limits` checks the ranges that msgspec does not. Durations end in `_s`, sizes in `_mb` (10^6
bytes) or `_bytes`; no message carries an end time. New fields go last, with a default, because
older peers omit them.
"""

import enum
from dataclasses import dataclass, field
from typing import Annotated, Optional

from .attempts import How as How, Stream as Stream, Why as Why
from .storages import BadCopy, DataBody, Leftover, Published, Removed

PROTOCOL = "1.1"  # major.minor; the central serves the last two minor versions
# The version of a pilot that sends none. It never changes, because a message leaves out the fields
# that hold their default.
PROTOCOL_UNSAID = "1.0"
KEPT_FOLDER = ".pilotage"  # of the outputs: the ends of both streams; jobs may not use this name
KEPT_BYTES = 1_000_000  # of each stream, from its end
FOLLOWS = "pilotage-follows"  # header of pilots that can send each request to the leader in a 421
# Marks of facts that jobs can ask for. The matcher and the site files have the same fields.
FACT, VERSION = "fact", "version"
# The tag of pilots that fetch tokens for payloads. An older pilot would start them without.
TOKENS_TAG = "tokens"
CHECKPOINT_FILE = KEPT_FOLDER + "/checkpoint.tar"  # left by one attempt, an input of the next


class Answer(str, enum.Enum):
    """The central's answer to a report. The pilot stops repeating it."""

    OK = "ok"
    ALREADY = "already"
    STALE = "stale"
    MISSING = "missing"  # the named blobs are missing: upload them, then repeat the report


@dataclass(frozen=True)
class Attempt:
    """One attempt of a job. The epoch is the fencing token and grows with each match."""

    job: int
    epoch: int


@dataclass(frozen=True)
class Benchmark:
    """Speed of one core, from a short measurement by the pilot. It is not HS23."""

    method: str  # scores of different methods do not compare
    score: float  # 1.0: the reference core of the method
    integer_per_s: float = 0.0
    float_per_s: float = 0.0
    memory_mb_per_s: float = 0.0


@dataclass(frozen=True)
class Node:
    """Findings of a pilot about its node. They do not change while the pilot lives."""

    host: str
    os: str = "any"  # family and major version: el9, debian13; `any`: unknown; ANY: all of them
    architecture: str = "x86_64"
    architecture_level: Annotated[int, FACT] = 1  # x86-64-v1 … v4; 1 elsewhere
    glibc: Annotated[str, FACT, VERSION] = ""  # "2.34"; empty: unknown
    user_namespaces: Annotated[bool, FACT] = False
    isolation: str = "session"  # the best level that works here
    containers: tuple[str, ...] = ()  # apptainer, podman
    cvmfs: tuple[str, ...] = ()  # mounted repositories
    cpu_model: str = ""
    hs23_per_core: float = 0.0  # 0: not calibrated
    python: str = ""
    batch_system: str = ""
    batch_id: str = ""
    benchmark: Optional[Benchmark] = None  # null: not measured
    namespaces: Annotated[bool, FACT] = False  # other pilots could not see it when it started


@dataclass(frozen=True)
class Offer:
    """Capacity of a pilot for matching, in total and free.

    The pilot sends it with every ask: at the start, and each time a payload ends. It replaces the
    pilot's last offer. A parked offer lives as long as the pilot's heartbeats. The pilot's token
    decides its site and element.
    """

    cores: int
    cores_free: int
    memory_mb: int
    memory_free_mb: int
    wall_left_s: float  # seconds until the pilot must have stopped its payloads
    scratch_free_mb: int = 0
    gpus_free: int = 0
    gpu_model: str = ""
    gpu_memory_mb: Annotated[int, FACT] = 0  # of each GPU
    cpu_work_left_hs23_s: float = 0.0  # of all cores together; 0: unknown
    tags: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()  # only jobs that name all of these
    groups: tuple[str, ...] = ()  # only jobs of these groups; empty: all
    owners: tuple[str, ...] = ()  # only jobs of these owners; empty: all
    node: Optional[Node] = None
    scratch_mb: int = 0  # disk without data on it, taken or not
    types: tuple[str, ...] = ()  # only jobs of these types; empty: all
    gpus: int = 0  # all GPUs, taken or not, of one kind
    gpu_vendor: Annotated[str, FACT] = ""  # nvidia, amd, intel
    gpu_compute_capability: Annotated[str, FACT, VERSION] = ""  # "8.0"
    gpu_driver: Annotated[str, FACT, VERSION] = ""  # "535.104.05"
    amounts: dict[str, int] = field(default_factory=dict[str, int])  # by name, taken or not
    amounts_free: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class Register:
    """The first message of a pilot. The same nonce gives the same pilot again."""

    secret: str
    nonce: str
    protocol: str = PROTOCOL_UNSAID
    node: Optional[Node] = None


@dataclass(frozen=True)
class BrokerLogin:
    """The message bus and the pilot's login there."""

    url: str  # mqtt://host:port or mqtts://host:port
    user: str
    password: str


@dataclass(frozen=True)
class Registered:
    """The pilot's identity. It is durable before it is sent."""

    pilot: str
    community: str
    site: str
    element: str
    gen: str  # generation of the store; another one: the pilot's past is gone
    session: int
    token: str
    expires_in_s: float
    renewal_secret: str
    broker: Optional[BrokerLogin] = None
    ca_pem: str = ""
    beat_s: float = 40.0  # seconds between heartbeats while it holds nothing
    # URLs for asks, reports and heartbeats; blobs go to the first URL that the pilot used. Empty:
    # use that URL for everything.
    urls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hello:
    """A restarted pilot lists its attempts. Its older session ends."""

    pilot: str
    renewal_secret: str
    nonce: str
    unanswered: tuple[Attempt, ...] = ()
    protocol: str = PROTOCOL_UNSAID
    session: int = 0  # number of the new session; 0: the next
    renewal_nonce: str = ""  # of this use of the secret; in the journal before it is sent


@dataclass(frozen=True)
class TokenRequest:
    """Ask for a new token and the next renewal secret. The same nonce gives the same secret."""

    pilot: str
    renewal_secret: str
    nonce: str = ""  # of this use of the secret; only protocol 1.0 omits it


@dataclass(frozen=True)
class TokenReply:
    token: str
    expires_in_s: float
    renewal_secret: str = ""  # for the next use; empty: use the same secret and nonce again


@dataclass(frozen=True)
class InputFile:
    """A file to copy to the payload's folder before it starts."""

    name: str  # relative path without '..'
    sha256: str
    size_bytes: int
    unpack: bool = False  # unpack this tar archive there instead


@dataclass(frozen=True)
class OutputRule:
    """A pattern of files in the payload's folder to keep."""

    pattern: str  # relative glob
    required: bool = True


@dataclass(frozen=True)
class Limits:
    """Limits of a payload, besides the wall time, memory and disk of its grant; 0: no limit.

    If the job asks for it, its first process gets a signal before the wall limit, and before any
    other end that can be foreseen.
    """

    cpu_s: int = 0  # of all processes together
    streams_mb: int = 0  # of standard output and error together
    processes: int = 0  # at once
    stall_s: int = 0  # without CPU use
    warning_s: int = 0  # time from the signal to the end
    warning_signal: str = "USR1"  # USR1, USR2, TERM, INT


@dataclass(frozen=True)
class Body:
    """The payload to run. The pilot enforces durations and sizes."""

    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict[str, str])
    image: str = ""
    inputs: tuple[InputFile, ...] = ()
    outputs: tuple[OutputRule, ...] = ()
    success_codes: tuple[int, ...] = (0,)
    name: str = ""
    owner: str = ""
    software: tuple[str, ...] = ()  # folders; {level} is the best CPU level of the node
    modules: tuple[str, ...] = ()  # environment modules, in this order
    checkpoint: str = ""  # a folder that each attempt hands on to the next
    limits: Limits = field(default_factory=Limits)
    tokens: tuple[str, ...] = ()  # names of tokens to fetch for the payload
    stdout_file: str = ""  # file in the payload's folder that gets its standard output at the end
    stderr_file: str = ""  # the same for the standard error


@dataclass(frozen=True)
class Grant:
    """Resources that the match gave to this attempt."""

    cores: int
    memory_mb: int
    wall_s: float
    scratch_mb: int = 0
    gpus: int = 0
    amounts: dict[str, int] = field(default_factory=dict[str, int])  # by name; not enforced


@dataclass(frozen=True)
class Assignment:
    """An attempt that the pilot now holds."""

    job: int
    epoch: int
    attempt_id: int  # row of the central, repeated in reports to save a look-up
    lease_s: float
    token: str  # bound to (job, epoch), for blobs and logs only
    grant: Grant
    body: Body
    follow: bool = False  # send the output live
    data: Optional[DataBody] = None  # files on storages


@dataclass(frozen=True)
class Ask:
    """A request for work. The pilot repeats it with the same number until it is answered."""

    n: int
    offer: Offer
    holding: tuple[Attempt, ...] = ()
    jobs_max: int = 1


@dataclass(frozen=True)
class AskAnswer:
    """Assignments, or `parked`: the offer waits in the matcher until a wake-up."""

    n: int
    assignments: tuple[Assignment, ...] = ()
    parked: bool = False
    stale: bool = False  # a newer ask exists
    retry_in_s: float = 0.0  # neither matched nor parked: ask again after this time


class What(str, enum.Enum):
    """The subject of a report. `ended` implies `started`."""

    STARTED = "started"
    PROGRESS = "progress"
    ENDED = "ended"


@dataclass(frozen=True)
class Usage:
    """Use of resources by an attempt, as the pilot measured it."""

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
    of_bytes: int = 0  # size of the whole stream, if only its end is kept


@dataclass(frozen=True)
class Report:
    """News of an attempt. The pilot repeats `ended` from its journal until it is answered."""

    job: int
    epoch: int
    attempt_id: int
    n: int  # number within the attempt; the newest wins
    what: What
    how: Optional[How] = None  # with `ended`
    exit_code: Optional[int] = None
    detail: str = ""
    status: str = ""  # from the application, with `progress`
    isolation: str = ""
    usage: Optional[Usage] = None
    outputs: tuple[Output, ...] = ()
    ago_s: float = 0.0  # time from the event to sending, on the pilot's clock
    published: tuple[Published, ...] = ()  # with `ended`; valid only if the result is
    bad_copies: tuple[BadCopy, ...] = ()  # with `ended`: inputs that were read and are bad
    removed: tuple[Removed, ...] = ()  # with `ended`: results of its removals
    leftovers: tuple[Leftover, ...] = ()  # with `ended`: what failed uploads may have left
    image: str = ""  # the image that it runs in: a path, or a name with its digest


@dataclass(frozen=True)
class ReportAnswer:
    job: int
    epoch: int
    n: int
    answer: Answer
    missing: tuple[str, ...] = ()  # SHA-256 of blobs to upload first


@dataclass(frozen=True)
class Stop:
    """The central asks the pilot to stop this attempt."""

    job: int
    epoch: int
    why: Why = Why.KILL


@dataclass(frozen=True)
class Turn:
    """Any number of reports and at most one ask. The central handles each as if it came alone."""

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
    hurry: bool = False  # drain without waiting for the payloads


@dataclass(frozen=True)
class Undelivered:
    """An attempt that has ended, with a result that has not reached the central."""

    job: int
    epoch: int
    for_s: float  # since the end, on the pilot's clock
    why: str = ""  # the last failure; empty: it only takes long


@dataclass(frozen=True)
class Beat:
    """A heartbeat. It renews the leases of the attempts that it lists, once it is answered."""

    gen: str
    session: int
    n: int
    parked: int = 0  # number of the parked ask; 0: none
    closed: int = 0  # the last ask that was answered or given up
    holding: tuple[Attempt, ...] = ()
    goodbye: bool = False  # the last heartbeat of a pilot
    draining: bool = False  # the pilot ends with its last attempt
    undelivered: tuple[Undelivered, ...] = ()  # attempts that it holds


@dataclass(frozen=True)
class BeatAnswer:
    n: int
    term: int
    stale: tuple[Attempt, ...] = ()
    stop: tuple[Stop, ...] = ()
    ask_again: bool = False
    drain: bool = False
    follow: tuple[Attempt, ...] = ()  # attempts whose output is watched
    old_session: bool = False  # end at once; for the bus, which has no status codes
    other_store: bool = False
    hurry: bool = False  # drain without waiting for the payloads
    leader: str = ""  # URL of the leader, for pilots that cannot reach another process


@dataclass(frozen=True)
class Wake:
    """There may be work for the parked ask `n`. The message promises nothing.

    A new leader knows no parked asks and sends 0, for whichever ask is parked. Older pilots ignore
    0, and ask after their next heartbeat.
    """

    n: int
    term: int
    leader: str = ""  # with 0: as in BeatAnswer


@dataclass(frozen=True)
class Down:
    """A message on the pilot's `down` topic. Exactly one field is set."""

    beat: Optional[BeatAnswer] = None
    wake: Optional[Wake] = None
    stop: Optional[Stop] = None
    drain: bool = False
    follow: Optional[Attempt] = None
    hurry: bool = False  # drain without waiting for the payloads


@dataclass(frozen=True)
class LogChunk:
    """Live output of a payload, sent only while a user follows it. Lost chunks show as a gap."""

    job: int
    epoch: int
    stream: Stream
    offset: int  # bytes of this stream before `text`
    text: str
    size: int = 0  # size of this stream now; an empty stream is reported once


@dataclass(frozen=True)
class PayloadTokenRequest:
    """Ask for a token for a payload. The attempt's own token authenticates the request."""

    job: int
    epoch: int
    name: str  # one of the names in Body.tokens


@dataclass(frozen=True)
class PayloadTokenReply:
    """The token now. A request after half of its life gives a new one."""

    token: str
    expires_in_s: float


@dataclass(frozen=True)
class PilotLine:
    """An event of the pilot's log."""

    n: int  # grows with each line, over all lives of the pilot
    ago_s: float  # time from writing to sending, on the pilot's clock
    event: str  # see docs/pilot-events.md
    text: str = ""  # further facts
    attempt_id: int = 0  # 0: not about an attempt
    warning: bool = False


@dataclass(frozen=True)
class PilotLog:
    """Lines of the pilot's log, oldest first, sent with its turns.

    The pilot may repeat it: the central ignores known numbers.
    """

    gen: str
    session: int
    lines: tuple[PilotLine, ...]


@dataclass(frozen=True)
class PilotLogKept:
    """The last line number on the central's disk. New lines get higher numbers."""

    n: int


@dataclass(frozen=True)
class Problem:
    """The body of every answer that is not 2xx."""

    code: str  # see docs/errors.md
    message: str
    field: str = ""


@dataclass(frozen=True)
class Misdirection(Problem):
    """The body of a 421: another process leads. Repeat the request there, or at the first URL."""

    leader: str = ""  # URL of the leader; empty: unknown now
