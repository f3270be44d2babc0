"""Bodies of the HTTP requests and answers between submitters, operators and the central."""

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

from ..claims import Role
from ..decoding.patterns import whole
from ..documents.job import PRIORITY_DEFAULT, Count, Job, Mark, Priority
from ..ids import ID_MAX
from ..job_states import JobState
from ..pilot_states import PilotState
from .bodies import ReplyStruct as _Out, RequestStruct as _In

JOBS_A_SUBMISSION_MAX = 1_000_000
PAGE_MAX = 1_000

COMMUNITY_OR_NONE = "([A-Za-z0-9][A-Za-z0-9._-]{0,63})?"  # it is a word of bus topics too

Id = Annotated[int, Meta(ge=0, le=ID_MAX)]
SiteWord = Annotated[str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9._-]*"), max_length=64)]
REASON_MAX = 500
SEALED_SHA256 = "0" * 64  # in a sealed JobDetail, in place of a hash


# -- submission ---------------------------------------------------------------------------------


class Submission(_In, frozen=True):
    """Jobs to submit, all or none. Exactly one of `jobs` and `template` is given.

    With `template`, one job is made for each entry of `parameters`: an object of strings and
    numbers whose names stand in braces in the template.

    The same as NDJSON (`application/x-ndjson`): the first line is this object without `jobs` and
    `parameters`, each further line one job, or one entry of parameters where there is a template.
    """

    key: Annotated[str, Meta(min_length=1, max_length=200)]  # idempotency: same key, same jobs
    name: Annotated[str, Meta(max_length=128)] = ""
    jobs: list[msgspec.Raw] = []
    template: Job | None = None
    parameters: list[msgspec.Raw] = []
    running_max: Annotated[int, Meta(ge=0, le=10_000_000)] = 0  # of its jobs at once; 0: no limit


class IdRange(_Out, frozen=True):
    first: int
    count: int


class Submitted(_Out, frozen=True):
    """Durable and visible. `ids` come in the order of the jobs."""

    submission: int
    count: int
    ids: list[IdRange]
    repeated: bool = False  # the key was known: these are the jobs of the first call


# -- jobs ---------------------------------------------------------------------------------------


class JobFilter(_In, frozen=True):
    """Which jobs. All clauses must hold; an empty one holds for all."""

    states: tuple[JobState, ...] = ()
    ids: Annotated[tuple[Id, ...], Meta(max_length=10_000)] = ()
    submission: Id | None = None
    owner: str = ""
    group: str = ""
    type: str = ""
    site: str = ""
    name: str = ""
    include_deleted: bool = False


class JobView(_Out, frozen=True):
    """A job as its owner sees it. Times are RFC 3339 UTC."""

    id: int
    submission: int
    name: str
    type: str
    community: str
    group: str
    owner: str
    state: JobState
    marks: tuple[Mark, ...] = ()
    reason: str = ""
    status: str = ""  # the application's own word
    priority: int = PRIORITY_DEFAULT
    epoch: int = 0
    round: int = 1
    failures: int = 0  # of the payload; counted against `retries`
    losses: int = 0  # attempts lost after their start, or for want of their input
    site: str = ""
    pilot: str = ""
    exit_code: int | None = None
    submitted_at: str = ""
    started_at: str = ""
    ended_at: str = ""


class JobPage(_Out, frozen=True):
    """One page, in order of the id. `after` is the next page's cursor, None on the last one."""

    jobs: list[JobView]
    after: int | None = None


class Occurrence(_Out, frozen=True):
    """One line of a job's history."""

    at: str
    source: str  # submitter, central, pilot or a person
    event: str
    epoch: int = 0
    detail: str = ""
    failure: str = ""  # of the end of an attempt: its class (docs/failures.md)


class History(_Out, frozen=True):
    job: int
    occurrences: list[Occurrence]


class OutputView(_Out, frozen=True):
    name: str
    size_bytes: int
    sha256: str
    epoch: int


class Outputs(_Out, frozen=True):
    job: int
    outputs: list[OutputView]


class AttemptView(_Out, frozen=True):
    """One try of a job: where, what it was given, how it ended and what it used.

    While it lives it has no end. What it used is as its pilot measured it, and empty where no pilot
    has told: of an attempt that was lost.
    """

    epoch: int
    round: int
    site: str
    pilot: str
    host: str
    cores: int
    memory_mb: int
    scratch_mb: int
    gpus: int
    wall_s: float
    matched_at: str
    started_at: str = ""
    ended_at: str = ""
    how: str = ""  # exited, signalled, wall, drained …, or lease_over
    exit_code: int | None = None
    detail: str = ""
    isolation: str = ""
    usage: dict[str, float] = {}
    curve: bool = False  # whether its resource curve is kept
    checkpoint_bytes: int = 0  # that it left for the next one
    stdout_bytes: int = 0  # that it wrote; the last 10^6 of each stream are kept
    stderr_bytes: int = 0
    failure: str = ""  # what it failed of: one of thirteen classes (docs/failures.md)
    amounts: dict[str, int] = {}  # named amounts that it was given


class CurvePoint(_Out, frozen=True):
    """What all processes of a payload together used, at one moment."""

    at_s: float  # since the payload's start
    cpu_s: float  # so far
    memory_mb: float  # the most since the point before
    scratch_mb: float
    processes: int  # the most since the point before


class Curve(_Out, frozen=True):
    """What an attempt used over time (docs/resource-curve.md), beside what it was given."""

    job: int
    epoch: int = 0  # 0: no attempt of the job has a curve
    live: bool = False  # it runs: the curve is as far as it has come
    cores: int = 0
    memory_mb: int = 0
    scratch_mb: int = 0
    wall_s: float = 0.0
    points: list[CurvePoint] = []
    gpus: int = 0
    amounts: dict[str, int] = {}  # named amounts


class Peek(_Out, frozen=True):
    """The last that a job wrote: of one that runs as it is now, else what was kept."""

    job: int
    epoch: int = 0  # 0: it has not run
    live: bool = False
    complete: bool = True  # False: not all has come from its pilot in time
    # From when this is: the end of the attempt, now, or when its pilot was last heard of, where
    # that has not said all.
    at: str = ""
    stdout: str = ""
    stderr: str = ""
    stdout_bytes: int = 0  # the whole stream has
    stderr_bytes: int = 0
    usage: CurvePoint | None = None  # the newest


class JobDetail(_Out, frozen=True):
    """Everything of one job.

    Sealed for who may not read its outputs: each hash is 64 zeros, each value of its environment
    is empty.
    """

    view: JobView
    job: Job | None  # None: it cannot be read any more, as `unreadable` says
    outputs: list[OutputView] = []
    usage: dict[str, float] = {}
    sealed: bool = False
    attempts: list[AttemptView] = []  # the newest hundred, the oldest of them first
    transformation: str = ""  # of which it is a task, by name …
    transformation_id: int = 0  # … and by id; 0: of none
    task: int = 0  # its number there
    unreadable: str = ""  # why what it runs cannot be said: it was stored by another release
    reads: list[str] = []  # files of the catalogue, the first hundred
    made: list[str] = []  # files that it has published, the first hundred
    running_max: int = 0  # jobs of its submission that run at once; 0: no limit


class SummaryBy(str, enum.Enum):
    STATE = "state"
    SITE = "site"
    TYPE = "type"
    GROUP = "group"
    OWNER = "owner"


class SummaryRow(_Out, frozen=True):
    key: str  # a site, type, group or owner; empty with by=state
    counts: dict[JobState, int]


class Summary(_Out, frozen=True):
    by: SummaryBy
    total: int
    rows: list[SummaryRow]


class ActionName(str, enum.Enum):
    KILL = "kill"
    HOLD = "hold"
    RELEASE = "release"
    RESCHEDULE = "reschedule"
    DELETE = "delete"
    PRIORITY = "priority"


class Action(_In, frozen=True):
    """What to do to which jobs. A filter names the count that it expects, and works on the ids
    that match when the request is read; another count is refused and nothing is done.

    The same key again gives the first answer and changes nothing, for `retention.action_days`; what
    was left half done by a failure goes on. Without a key each request counts by itself."""

    action: ActionName
    ids: Annotated[tuple[Id, ...], Meta(max_length=100_000)] = ()
    filter: JobFilter | None = None
    expected: Count | None = None
    priority: Priority | None = None
    reason: Annotated[str, Meta(max_length=REASON_MAX)] = ""
    key: Annotated[str, Meta(max_length=200)] = ""  # idempotency; empty: none


class ActionRefusal(_Out, frozen=True):
    id: int
    code: str
    message: str


class ActionReply(_Out, frozen=True):
    """`done`: carried out or on its way; a running payload ends when its pilot says so."""

    done: int
    unchanged: int
    refused: list[ActionRefusal] = []


# -- pilots and sites ---------------------------------------------------------------------------


class PilotView(_Out, frozen=True):
    id: str
    community: str
    site: str
    element: str
    host: str
    state: PilotState
    session: int
    silent_s: float | None = None
    parked: bool = False
    attempts: int = 0  # held now
    registered_at: str = ""
    # What it offers, by its last ask; 0 and empty where it has not asked yet, or does not know.
    cores: int = 0
    cores_free: int = 0
    memory_mb: int = 0
    memory_free_mb: int = 0
    scratch_mb: int = 0
    scratch_free_mb: int = 0
    wall_left_s: float | None = None  # when it last asked; None before that
    gpus: int = 0
    gpus_free: int = 0
    gpu_model: str = ""
    gpu_vendor: str = ""
    gpu_memory_mb: int = 0  # of each
    gpu_compute_capability: str = ""
    gpu_driver: str = ""
    tags: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()  # only jobs that ask for all of these
    types: tuple[str, ...] = ()  # only jobs of these; empty: of all, as with groups and owners
    groups: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    # What its node is.
    os: str = "any"  # any: not known
    architecture: str = ""
    architecture_level: int = 1  # x86-64-v1 … v4; 1 elsewhere
    glibc: str = ""
    user_namespaces: bool = False
    containers: tuple[str, ...] = ()
    isolation: str = ""  # the rung that payloads run on
    namespaces: bool = False  # no other pilot saw it when it started
    cpu_model: str = ""
    hs23_per_core: float = 0.0  # 0: not measured
    python: str = ""
    batch_system: str = ""
    batch_id: str = ""
    cvmfs: tuple[str, ...] = ()  # repositories that are mounted
    amounts: dict[str, int] = {}  # named amounts that it offers
    amounts_free: dict[str, int] = {}
    # Its life, and what its element says of it.
    reason: str = ""  # why it stands where it stands
    made_at: str = ""
    ended_at: str = ""
    # Of one pilot alone: empty in lists.
    slot: str = ""  # what its element calls it; empty: no factory has submitted it
    exit_code: int | None = None  # by its element's word
    # The ends of what its script printed, once it has failed; operators alone see them.
    stdout: str = ""
    stderr: str = ""
    # One core by the pilot's own benchmark, which is no HS23; 0 and empty: not measured.
    benchmark_method: str = ""
    benchmark_score: float = 0.0  # 1: the method's reference core
    benchmark_integer_per_s: float = 0.0
    benchmark_float_per_s: float = 0.0
    benchmark_memory_mb_per_s: float = 0.0


class PilotPage(_Out, frozen=True):
    pilots: list[PilotView]
    after: str | None = None


class PilotLogFilter(_In, frozen=True):
    """Which lines of pilots' own logs. Empty clauses hold for all; of several all must hold."""

    pilot: str = ""
    site: str = ""
    host: str = ""
    batch_id: str = ""  # of the batch system that has started the pilot
    job: Annotated[int, Meta(ge=1, le=ID_MAX)] | None = None  # lines about it
    since: float | None = None  # seconds since 1970
    grep: str = ""  # a word in the line, in large or small letters
    warnings: bool = False  # these alone


class PilotLogLine(_Out, frozen=True):
    """One line of a pilot's own log, as the pilot wrote it."""

    at: str
    pilot: str
    site: str
    host: str
    batch_id: str
    event: str
    text: str
    warning: bool = False
    job: int | None = None  # an attempt of this pilot that it is about
    epoch: int | None = None


class PilotLogPage(_Out, frozen=True):
    lines: list[PilotLogLine]
    after: int  # where to go on
    more: bool  # there may be further lines by now


class CommunityShare(_Out, frozen=True):
    """What a community has of the pilots of a site."""

    community: str
    pilots: int
    share_wanted: float | None = None  # by the site's file, from 0 to 1; None: it has no file
    share_had: float | None = None  # of their time since the central has started; None: none yet


class SiteView(_Out, frozen=True):
    site: str
    pilots: int
    cores: int
    cores_free: int
    running: int
    done: int
    failed: int
    banned: bool = False  # it runs jobs of type Test alone
    banned_elements: tuple[str, ...] = ()  # these elements of it do
    draining: bool = False  # no new pilots, and those there finish what they hold
    draining_elements: tuple[str, ...] = ()  # these elements of it are
    enabled: bool = True  # by its file
    pledge: float | None = None  # None: no file names it; 0: it takes what is left
    # Of the time of all pilots since the central has started, at sites with a pledge; from 0 to 1.
    share_wanted: float | None = None  # by the pledges
    share_had: float | None = None  # None: there was no pilot yet
    trouble: str = ""  # with its file
    communities: list[CommunityShare] = []  # that have pilots there, or a share; the caller's alone


class Sites(_Out, frozen=True):
    sites: list[SiteView]


class ElementView(_Out, frozen=True):
    """A compute element that gets pilots from the central, or a file that does not read."""

    site: str
    element: str  # empty: the whole file
    kind: str = ""  # the driver; empty: it is not in force
    pilots: int | None = None  # submitted and not ended; None: it has not said
    queued: int | None = None  # of these, those that have not started
    pilots_max: int = 0
    pledge: float = 0.0
    paused_s: float = 0.0  # for so long it gets no further pilots
    trouble: str = ""
    # For so long the credential by which it knows us is good; below 0: it is over. None: unsaid.
    credential_left_s: float | None = None
    held: str = ""  # banned, draining or disabled
    credential_fault: bool = False  # its source gives none, and not because one has run out


class Elements(_Out, frozen=True):
    elements: list[ElementView]
    unmet_jobs: int = 0  # that wait, and for which no element had room in the last round


class SeriesBy(str, enum.Enum):
    ALL = "all"
    SITE = "site"
    TYPE = "type"
    COMMUNITY = "community"


class SeriesLine(_Out, frozen=True):
    """One line of a series, a value for each of its slots."""

    key: str  # a site, type or community; empty: all, or of no site yet
    waiting: list[float]  # jobs, the mean over the slot
    running: list[float]
    done: list[int]  # jobs that ended in the slot
    failed: list[int]
    cpu_s: list[float]  # what the attempts that brought a result in the slot had used
    wall_s: list[float]
    core_s: list[float]  # wall time of all cores that were given
    hs23_s: list[float]  # the same, weighed with what each core is worth
    bytes_in: list[int]
    bytes_out: list[int]


class Series(_Out, frozen=True):
    """What was counted, slot by slot. While the central was down there are no slots."""

    step_s: int
    at: list[str]  # when each slot began
    lines: list[SeriesLine]


class AccountsBy(str, enum.Enum):
    ALL = "all"
    DAY = "day"
    OWNER = "owner"
    GROUP = "group"
    TYPE = "type"
    SITE = "site"
    COMMUNITY = "community"


class AccountLine(_Out, frozen=True):
    """Sums over attempts that brought a result, and over the jobs that ended so."""

    key: str
    done: int
    failed: int
    cpu_s: float
    wall_s: float
    core_s: float  # wall time of all cores that were given
    hs23_s: float  # the same, weighed with what each core is worth
    bytes_in: int
    bytes_out: int


class Accounts(_Out, frozen=True):
    """Accounts of what jobs have used: they outlive the jobs."""

    by: AccountsBy
    lines: list[AccountLine]


class SecretRequest(_In, frozen=True):
    """Make one-use secrets with which pilots register."""

    site: SiteWord
    element: SiteWord = "local"
    community: Annotated[str, Meta(pattern=whole(COMMUNITY_OR_NONE))] = ""
    count: Annotated[int, Meta(ge=1, le=1_000)] = 1
    valid_s: Annotated[int, Meta(ge=60, le=2_592_000)] = 604_800


class Secret(_Out, frozen=True):
    pilot: str  # the stamp that the pilot will have
    secret: str


class Secrets(_Out, frozen=True):
    secrets: list[Secret]


# -- tokens -------------------------------------------------------------------------------------


class TokenIssue(_In, frozen=True):
    """A token for a person. Nobody hands out more than they have."""

    subject: Annotated[str, Meta(min_length=1, max_length=128)]
    community: str = ""
    groups: tuple[str, ...] = ()
    role: Role = Role.USER
    name: str = ""
    valid_s: Annotated[int, Meta(ge=60, le=31_536_000)] = 86_400


class TokenView(_Out, frozen=True):
    jti: str
    subject: str
    community: str
    groups: list[str]
    role: Role
    issued_at: str
    expires_at: str
    revoked: bool


class TokenIssued(_Out, frozen=True):
    token: str
    view: TokenView


class Tokens(_Out, frozen=True):
    """One page, newest first: it may be empty where more come. `after` is the next page's cursor,
    None on the last one."""

    tokens: list[TokenView]
    after: str | None = None


# -- blobs, whoami, health ----------------------------------------------------------------------


class Blob(_Out, frozen=True):
    sha256: str
    size_bytes: int


class BlobQuery(_In, frozen=True):
    """Which of these are here already? So that only new files travel."""

    sha256: Annotated[tuple[str, ...], Meta(max_length=10_000)]


class BlobAnswer(_Out, frozen=True):
    missing: list[str]


class WhoAmI(_Out, frozen=True):
    subject: str
    issuer: str
    name: str
    community: str
    groups: tuple[str, ...]
    role: Role
    expires_in_s: float


class Health(_Out, frozen=True):
    status: str
    version: str
    gen: str
    jobs_waiting: int
    attempts: int
    pilots: int
    bus: str  # mqtt://…, or "down"
    uptime_s: float
    leader: str = ""  # where the process that leads is reached, if several can
    undelivered: int = 0  # results that their pilots have failed to deliver so far
    undelivered_s: float = 0.0  # since the payload of the oldest of these has ended


class Readiness(_Out, frozen=True):
    """Whether requests are taken, and why not."""

    ready: bool  # loaded, and the store can be written
    loaded: bool  # memory is rebuilt, and no stop has begun
    store: str  # ok, or why nothing can be written
    bus: str  # up, down or none; without it everything works, only slower
    disk: str = "ok"  # or what is refused so that reports have room


class PilotFile(_Out, frozen=True):
    """What `pilot.pyz` is, and who has signed it."""

    version: str
    size: int  # bytes
    sha256: str  # hexadecimal
    signature: str  # Ed25519 over the whole file; base64
    key: str  # the public key; hexadecimal


class Event(_Out, frozen=True):
    """One line of `GET /v1/events`. A hint: whoever missed some reads the job again."""

    seq: int
    at: str
    kind: str  # job | pilot | gap
    job: int | None = None
    state: JobState | None = None
    site: str = ""
    pilot: str = ""
    reason: str = ""
