"""Bodies of requests and answers about jobs, their output and their events."""

import enum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ..documents.job import PRIORITY_DEFAULT, Count, Job, Mark, Priority
from ..ids import ID_MAX
from ..job_states import JobState
from .bodies import ReplyStruct as _Out, RequestStruct as _In
from .notifications import NotifyEvent

JOBS_A_SUBMISSION_MAX = 1_000_000
PAGE_MAX = 1_000

Id = Annotated[int, Meta(ge=0, le=ID_MAX)]
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
    #: what to notify its owner of: end, fail, half
    notify: Annotated[tuple[NotifyEvent, ...], Meta(max_length=3)] = ()


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
    submission_name: str = ""  # of the newest 1,000 submissions with this name


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
    # Of the last attempt. Use is known when it has ended, the run time while it runs.
    host: str = ""
    cores: int = 0
    memory_mb: int = 0
    run_s: float = 0.0
    cpu_s: float = 0.0
    memory_peak_mb: float = 0.0


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
    submission_name: str = ""
    after: list[str] = []  # the jobs that it waits for, or waited for: at most 100 ranges
    after_count: int = 0  # number of all these ranges


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
    SET = "set"
    RETRY = "retry"


class Action(_In, frozen=True):
    """Act on jobs, by ids or a filter. With a filter, `expected` is the number of matching jobs.

    If the number differs when the central reads the request, nothing is done. A repeated key gives
    the first answer and changes nothing, for `retention.action_days`; it also completes an action
    that a failure interrupted.

    `set` changes needs and priority of Waiting and Held jobs. `retry` runs Failed and Held jobs
    again, with these changes. A change applies to each of a job's alternative needs.
    """

    action: ActionName
    ids: Annotated[tuple[Id, ...], Meta(max_length=100_000)] = ()
    filter: JobFilter | None = None
    expected: Count | None = None
    priority: Priority | None = None
    reason: Annotated[str, Meta(max_length=REASON_MAX)] = ""
    key: Annotated[str, Meta(max_length=200)] = ""
    #: new values by field of a need: {"memory_mb": 8000, "sites": ["PIC"]}
    needs: dict[str, Any] = {}
    #: factors by field of a need with a size or time: {"memory_mb": 2}
    times: dict[str, Annotated[float, Meta(gt=0, le=1_000)]] = {}
    dry_run: bool = False  # answer what would be done, and do nothing


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


# -- blobs and events -----------------------------------------------------------------------------


class Blob(_Out, frozen=True):
    sha256: str
    size_bytes: int


class BlobQuery(_In, frozen=True):
    """Ask which files the central lacks, so that only those are uploaded."""

    sha256: Annotated[tuple[str, ...], Meta(max_length=10_000)]


class BlobAnswer(_Out, frozen=True):
    missing: list[str]
    bytes_max: int = 0  # size of the largest file that the central accepts; 0: unknown


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
