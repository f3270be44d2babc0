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


# -- submission -----------------------------------------------------------------------------------


class Submission(_In, frozen=True):
    """Submit jobs, all or none. Give either `jobs` or `template`.

    With `template` there is one job for each entry of `parameters`. An entry is an object of
    strings and numbers; their names stand in braces in the template.

    In NDJSON (`application/x-ndjson`) the first line is this object without `jobs` and
    `parameters`. Each further line is a job, or an entry of parameters if there is a template.
    """

    #: idempotency key: the same key gives the same jobs
    key: Annotated[str, Meta(min_length=1, max_length=200)]
    name: Annotated[str, Meta(max_length=128)] = ""
    jobs: list[msgspec.Raw] = []
    template: Job | None = None
    parameters: list[msgspec.Raw] = []
    #: run at most this many of its jobs at once; 0: no limit
    running_max: Annotated[int, Meta(ge=0, le=10_000_000)] = 0


class IdRange(_Out, frozen=True):
    first: int
    count: int


class Submitted(_Out, frozen=True):
    """The jobs are durable and visible. `ids` are in the order of the jobs."""

    submission: int
    count: int
    ids: list[IdRange]
    repeated: bool = False  # the key was used before: these are the jobs of the first call


# -- jobs -----------------------------------------------------------------------------------------


class JobFilter(_In, frozen=True):
    """A filter for jobs. All clauses must hold; an empty clause always holds."""

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
    """A job as its owner sees it."""

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
    status: str = ""  # set by the application
    priority: int = PRIORITY_DEFAULT
    epoch: int = 0
    round: int = 1
    failures: int = 0  # failures of the payload, counted against `retries`
    losses: int = 0  # attempts lost after their start, or for lack of inputs
    site: str = ""
    pilot: str = ""
    exit_code: int | None = None
    submitted_at: str = ""
    started_at: str = ""
    ended_at: str = ""


class JobPage(_Out, frozen=True):
    """A page of jobs, in order of id."""

    jobs: list[JobView]
    after: int | None = None


class Occurrence(_Out, frozen=True):
    """A line of the history of a job."""

    at: str
    source: str  # submitter, central, pilot or a person
    event: str
    epoch: int = 0
    detail: str = ""
    failure: str = ""  # class of the failure, at the end of an attempt (docs/failures.md)


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
    """One attempt of a job, with usage as the pilot measured it. Usage is empty if it was lost."""

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
    curve: bool = False
    checkpoint_bytes: int = 0
    stdout_bytes: int = 0  # written bytes; the last 10^6 of each stream are kept
    stderr_bytes: int = 0
    failure: str = ""  # class of the failure (docs/failures.md)
    amounts: dict[str, int] = {}


class CurvePoint(_Out, frozen=True):
    """Use of all processes of a payload together."""

    at_s: float  # since the start of the payload
    cpu_s: float  # total so far
    memory_mb: float  # maximum since the last point
    scratch_mb: float
    processes: int  # maximum since the last point


class Curve(_Out, frozen=True):
    """Resource use of an attempt over time (docs/resource-curve.md)."""

    job: int
    epoch: int = 0  # 0: no attempt has a curve
    live: bool = False
    cores: int = 0
    memory_mb: int = 0
    scratch_mb: int = 0
    wall_s: float = 0.0
    points: list[CurvePoint] = []
    gpus: int = 0
    amounts: dict[str, int] = {}


class Peek(_Out, frozen=True):
    """The end of both streams of a job: live while it runs, else as kept."""

    job: int
    epoch: int = 0  # 0: it has not run
    live: bool = False
    complete: bool = True  # false: the pilot did not send everything in time
    # Time of this output: the end of the attempt, now, or the pilot's last heartbeat if it has not
    # sent everything.
    at: str = ""
    stdout: str = ""
    stderr: str = ""
    stdout_bytes: int = 0  # size of the whole stream
    stderr_bytes: int = 0
    usage: CurvePoint | None = None


class JobDetail(_Out, frozen=True):
    """Everything about one job.

    It is sealed for callers that may not read its outputs: hashes are 64 zeros, and values of
    environment variables are empty.
    """

    view: JobView
    job: Job | None  # null if another release stored it: see `unreadable`
    outputs: list[OutputView] = []
    usage: dict[str, float] = {}
    sealed: bool = False
    attempts: list[AttemptView] = []  # at most 100, oldest first
    transformation: str = ""  # name, if the job is a task of one
    transformation_id: int = 0  # 0: none
    task: int = 0
    unreadable: str = ""
    reads: list[str] = []  # files of the catalogue, at most 100
    made: list[str] = []  # published files, at most 100
    running_max: int = 0  # most running jobs of its submission; 0: no limit


class SummaryBy(str, enum.Enum):
    STATE = "state"
    SITE = "site"
    TYPE = "type"
    GROUP = "group"
    OWNER = "owner"


class SummaryRow(_Out, frozen=True):
    key: str  # empty with `by=state`
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
    """Act on jobs, by ids or a filter. With a filter, `expected` is the number of matching jobs.

    If the number differs when the central reads the request, nothing is done. A repeated key gives
    the first answer and changes nothing, for `retention.action_days`; it also completes an action
    that a failure interrupted.
    """

    action: ActionName
    ids: Annotated[tuple[Id, ...], Meta(max_length=100_000)] = ()
    filter: JobFilter | None = None
    expected: Count | None = None
    priority: Priority | None = None
    reason: Annotated[str, Meta(max_length=REASON_MAX)] = ""
    key: Annotated[str, Meta(max_length=200)] = ""


class ActionRefusal(_Out, frozen=True):
    id: int
    code: str
    message: str


class ActionReply(_Out, frozen=True):
    """`done` counts completed and accepted actions: a running payload ends when its pilot confirms
    it.
    """

    done: int
    unchanged: int
    refused: list[ActionRefusal] = []


# -- pilots and sites -----------------------------------------------------------------------------


class PilotView(_Out, frozen=True):
    """A pilot. For what it offers and its node see docs/pilot-messages.md."""

    id: str
    community: str
    site: str
    element: str
    host: str
    state: PilotState
    session: int
    silent_s: float | None = None
    parked: bool = False
    attempts: int = 0  # attempts that it holds now
    registered_at: str = ""
    # The capacity of the pilot at its last ask; 0 and empty: it has not asked yet, or the value is
    # unknown.
    cores: int = 0
    cores_free: int = 0
    memory_mb: int = 0
    memory_free_mb: int = 0
    scratch_mb: int = 0
    scratch_free_mb: int = 0
    wall_left_s: float | None = None  # at its last ask; null before that
    gpus: int = 0
    gpus_free: int = 0
    gpu_model: str = ""
    gpu_vendor: str = ""
    gpu_memory_mb: int = 0
    gpu_compute_capability: str = ""
    gpu_driver: str = ""
    tags: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    # The pilot's node.
    os: str = "any"
    architecture: str = ""
    architecture_level: int = 1
    glibc: str = ""
    user_namespaces: bool = False
    containers: tuple[str, ...] = ()
    isolation: str = ""  # level of isolation of payloads
    namespaces: bool = False
    cpu_model: str = ""
    hs23_per_core: float = 0.0
    python: str = ""
    batch_system: str = ""
    batch_id: str = ""
    cvmfs: tuple[str, ...] = ()
    amounts: dict[str, int] = {}
    amounts_free: dict[str, int] = {}
    # The life of the pilot, and its state at the compute element.
    reason: str = ""  # why it is in this state
    made_at: str = ""
    ended_at: str = ""
    # Only in the answer for one pilot, empty in lists.
    slot: str = ""  # its id in the batch system; empty: not submitted by the factory
    exit_code: int | None = None  # as the compute element reports it
    # The ends of the output of its script, if it failed. Only operators see them.
    stdout: str = ""
    stderr: str = ""
    # Speed of one core by the pilot's own benchmark, which is not HS23; 0 and empty: not measured.
    benchmark_method: str = ""
    benchmark_score: float = 0.0
    benchmark_integer_per_s: float = 0.0
    benchmark_float_per_s: float = 0.0
    benchmark_memory_mb_per_s: float = 0.0


class PilotPage(_Out, frozen=True):
    pilots: list[PilotView]
    after: str | None = None


class PilotLogFilter(_In, frozen=True):
    """A filter for lines of pilots' own logs. All clauses must hold; an empty one always holds."""

    pilot: str = ""
    site: str = ""
    host: str = ""
    batch_id: str = ""  # of the batch system that has started the pilot
    job: Annotated[int, Meta(ge=1, le=ID_MAX)] | None = None  # lines about it
    since: float | None = None  # seconds since 1970
    grep: str = ""  # a word in the line, in large or small letters
    warnings: bool = False  # these alone


class PilotLogLine(_Out, frozen=True):
    """A line of a pilot's log."""

    at: str
    pilot: str
    site: str
    host: str
    batch_id: str
    event: str
    text: str
    warning: bool = False
    job: int | None = None
    epoch: int | None = None


class PilotLogPage(_Out, frozen=True):
    lines: list[PilotLogLine]
    after: int
    more: bool


class CommunityShare(_Out, frozen=True):
    """Share of a community in the pilots of a site."""

    community: str
    pilots: int
    share_wanted: float | None = None  # from the site's file, 0 to 1; null: no file
    share_had: float | None = None  # share of pilot time since the central started; null: none yet


class SiteView(_Out, frozen=True):
    site: str
    pilots: int
    cores: int
    cores_free: int
    running: int
    done: int
    failed: int
    banned: bool = False  # only jobs of type Test run there
    banned_elements: tuple[str, ...] = ()
    draining: bool = False  # it gets no pilots; its pilots finish their jobs
    draining_elements: tuple[str, ...] = ()
    enabled: bool = True
    pledge: float | None = None  # null: it has no file; 0: opportunistic
    # Share of the time of all pilots since the central started, at sites with a pledge; from 0 to
    # 1.
    share_wanted: float | None = None  # from the pledges
    share_had: float | None = None  # null: no pilot yet
    trouble: str = ""
    communities: list[CommunityShare] = []  # the caller's, with pilots or a share there


class Sites(_Out, frozen=True):
    sites: list[SiteView]


class ElementView(_Out, frozen=True):
    """A compute element of the factory, or a site file with errors."""

    site: str
    element: str  # empty: the whole file
    kind: str = ""  # driver; empty: not in force
    pilots: int | None = None  # submitted pilots that have not ended; null: unknown
    queued: int | None = None
    pilots_max: int = 0
    pledge: float = 0.0
    paused_s: float = 0.0  # seconds without new pilots
    trouble: str = ""
    # Seconds until the credential for this element expires; negative: expired. None: unknown.
    credential_left_s: float | None = None
    held: str = ""  # banned, draining or disabled
    credential_fault: bool = False  # the source gives no credential, for another reason than expiry


class Elements(_Out, frozen=True):
    elements: list[ElementView]
    unmet_jobs: int = 0  # waiting jobs for which no element had room in the last round


class SeriesBy(str, enum.Enum):
    ALL = "all"
    SITE = "site"
    TYPE = "type"
    COMMUNITY = "community"


class SeriesLine(_Out, frozen=True):
    """A line of a series, with a value for each slot."""

    key: str  # empty: all, or no site yet
    waiting: list[float]  # mean number of jobs in the slot
    running: list[float]
    done: list[int]  # jobs that ended in the slot
    failed: list[int]
    cpu_s: list[float]  # used by attempts whose result came in the slot
    wall_s: list[float]
    core_s: list[float]  # wall time of all given cores
    hs23_s: list[float]  # `core_s` times the HS23 of each core
    bytes_in: list[int]
    bytes_out: list[int]


class Series(_Out, frozen=True):
    """Counts by slot. There are no slots for times when the central was down."""

    step_s: int
    at: list[str]
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
    """Sums over attempts with a result, and over jobs that ended with it."""

    key: str
    done: int
    failed: int
    cpu_s: float
    wall_s: float
    core_s: float  # wall time of all given cores
    hs23_s: float  # `core_s` times the HS23 of each core
    bytes_in: int
    bytes_out: int


class Accounts(_Out, frozen=True):
    """The resources that jobs have used, including removed jobs."""

    by: AccountsBy
    lines: list[AccountLine]


class SecretRequest(_In, frozen=True):
    """Make one-use secrets, with which pilots register."""

    site: SiteWord
    element: SiteWord = "local"
    community: Annotated[str, Meta(pattern=whole(COMMUNITY_OR_NONE))] = ""
    count: Annotated[int, Meta(ge=1, le=1_000)] = 1
    valid_s: Annotated[int, Meta(ge=60, le=2_592_000)] = 604_800


class Secret(_Out, frozen=True):
    pilot: str
    secret: str


class Secrets(_Out, frozen=True):
    secrets: list[Secret]


# -- tokens ---------------------------------------------------------------------------------------


class TokenIssue(_In, frozen=True):
    """A token for a person, with at most the caller's rights."""

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
    """A page of tokens, newest first. An empty page may have an `after`."""

    tokens: list[TokenView]
    after: str | None = None


# -- blobs, whoami, health ------------------------------------------------------------------------


class Blob(_Out, frozen=True):
    sha256: str
    size_bytes: int


class BlobQuery(_In, frozen=True):
    """Ask which files the central lacks, so that only those are uploaded."""

    sha256: Annotated[tuple[str, ...], Meta(max_length=10_000)]


class BlobAnswer(_Out, frozen=True):
    missing: list[str]
    bytes_max: int = 0  # size of the largest file that the central accepts; 0: unknown


class WhoAmI(_Out, frozen=True):
    subject: str
    issuer: str
    name: str
    community: str
    groups: tuple[str, ...]
    role: Role
    expires_in_s: float
    session: str = ""  # of a login; empty: a token that was issued by hand


class Health(_Out, frozen=True):
    status: str
    version: str
    gen: str
    jobs_waiting: int
    attempts: int
    pilots: int
    bus: str  # mqtt://…, or "down"
    uptime_s: float
    leader: str = ""  # URL of the leader, if several processes may lead
    undelivered: int = 0  # results that pilots could not deliver so far
    undelivered_s: float = 0.0  # age of the oldest of these results


class Readiness(_Out, frozen=True):
    """Whether the central takes requests, and why not."""

    ready: bool  # it has loaded, and the store can be written
    loaded: bool  # the queue is rebuilt, and no stop has begun
    store: str  # `ok`, or why it cannot be written
    bus: str  # up, down or none; without it everything works, only slower
    disk: str = "ok"  # `ok`, or the refused requests, to keep space for reports


class PilotFile(_Out, frozen=True):
    """The file `pilot.pyz` and its signature."""

    version: str
    size: int
    sha256: str
    signature: str  # Ed25519 signature of the whole file, base64
    key: str  # public key, hexadecimal


class Event(_Out, frozen=True):
    """A line of `GET /v1/events`. It is a hint: after a gap, read the job again."""

    seq: int
    at: str
    kind: str  # `job`, `pilot` or `gap`
    job: int | None = None
    state: JobState | None = None
    site: str = ""
    pilot: str = ""
    reason: str = ""
