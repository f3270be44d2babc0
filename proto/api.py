"""Bodies of the HTTP requests and answers between submitters, operators and the central."""

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

from .claims import Role
from .ids import ID_MAX
from .job import PRIORITY_DEFAULT, Count, Job, Mark, Priority
from .job_states import JobState
from .patterns import whole
from .pilot_states import PilotState

JOBS_A_SUBMISSION_MAX = 1_000_000
PAGE_MAX = 1_000

COMMUNITY_OR_NONE = "([A-Za-z0-9][A-Za-z0-9._-]{0,63})?"  # it is a word of bus topics too

Id = Annotated[int, Meta(ge=0, le=ID_MAX)]
SiteWord = Annotated[str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9._-]*"), max_length=64)]
SEALED_SHA256 = "0" * 64  # in a sealed JobDetail, in place of a hash


class _In(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """From a submitter: unknown fields are refused."""


class _Out(msgspec.Struct, frozen=True, kw_only=True):
    """From the central: clients ignore what they do not know."""


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


class JobDetail(_Out, frozen=True):
    """Everything of one job.

    Sealed for who may not read its outputs: each hash is 64 zeros, each value of its environment
    is empty.
    """

    view: JobView
    job: Job
    outputs: list[OutputView] = []
    usage: dict[str, float] = {}
    sealed: bool = False


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
    that match when the request is read; another count is refused and nothing is done."""

    action: ActionName
    ids: Annotated[tuple[Id, ...], Meta(max_length=100_000)] = ()
    filter: JobFilter | None = None
    expected: Count | None = None
    priority: Priority | None = None
    reason: Annotated[str, Meta(max_length=500)] = ""


class ActionRefusal(_Out, frozen=True):
    id: int
    code: str
    message: str


class ActionReply(_Out, frozen=True):
    """`done`: carried out or on its way; a running payload ends when its pilot says so."""

    done: int
    unchanged: int
    refused: list[ActionRefusal] = []


# -- explain ------------------------------------------------------------------------------------


class Obstacle(_Out, frozen=True):
    """One clause and how many of the live offers it excludes, alone or with others."""

    clause: str
    wanted: str
    excludes: int
    best: str = ""  # the nearest that any live offer has
    would_fit: int = 0  # offers that would fit if this clause alone were met


class Explanation(_Out, frozen=True):
    """Why a job waits, or that it does not."""

    job: int | None
    state: str
    offers: int
    fitting: int
    obstacles: list[Obstacle] = []
    ahead: int = 0  # jobs before it in the order among those that the same offers could run
    notes: list[str] = []


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
    cores: int = 0
    cores_free: int = 0
    memory_mb: int = 0
    isolation: str = ""
    attempts: int = 0  # held now
    registered_at: str = ""
    tags: tuple[str, ...] = ()


class PilotPage(_Out, frozen=True):
    pilots: list[PilotView]
    after: str | None = None


class SiteView(_Out, frozen=True):
    site: str
    pilots: int
    cores: int
    cores_free: int
    running: int
    done: int
    failed: int


class Sites(_Out, frozen=True):
    sites: list[SiteView]


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
    tokens: list[TokenView]


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
