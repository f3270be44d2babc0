"""The records of jobs and attempts that the store reads and writes.

While no attempt is live, `job.state` is the state of the job: Waiting, Held, Completing or a final
one. While an attempt is live, its row has the state: Matched or Running. The job's row does not
change then. So the row of a job is usually updated once, at the end.
"""

import msgspec

from pilotage.matcher.types import Grant
from pilotage.proto.documents.job import PRIORITY_DEFAULT, When
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.messages import How, Output, Usage, Why

from ..catalogue.record_types import JobInput, NewFile
from ..catalogue.remnants import RemnantPlace, SweepResult
from ..rucio.outbox_record import Outgoing
from ..store.records import Record

# -- classes ------------------------------------------------------------------------------------


class JobClassRow(Record, frozen=True, kw_only=True):
    """A class: jobs that are matched as one. Needs and preference are JSON in normal form.

    For jobs of a submission with a limit, `preference` also holds its key and the limit.
    """

    class_id: int = 0
    community: str
    group: str
    owner_id: int
    type: str
    needs: bytes
    preference: bytes = b"null"


# -- submission ---------------------------------------------------------------------------------


class NewSubmission(Record, frozen=True):
    community: str
    owner_id: int
    key: str
    body_hash: str  # of the whole request; the same key with another body is refused
    name: str
    template: bytes | None  # JSON of a Job with placeholders; None: each job is complete
    at: float
    notify: str = ""  # events that its owner is told of, separated by commas


class SubmissionRecord(Record, frozen=True):
    submission_id: int
    community: str
    owner_id: int
    key: str
    body_hash: str
    name: str
    template: bytes | None
    at: float
    complete: bool
    ranges: tuple[tuple[int, int], ...]  # (first id, count), in the order of the jobs
    repeated: bool = False  # the key was known, and this is the first submission


class NewDependency(Record, frozen=True):
    """Jobs that a new job waits for: those with ids from `first` on.

    With `is_place`, `first` is a place in the same submission, from 0.
    """

    first: int
    count: int = 1
    when: When = "ok"
    is_place: bool = False


class NewJob(Record, frozen=True):
    """A new job. `body` is its parameters (a JSON object), or the whole job without a template."""

    class_id: int
    body: bytes
    priority: int = PRIORITY_DEFAULT
    retries: int = 0
    queue_until: float | None = None  # wall clock
    name: str | None = None  # None: the name of the template
    inputs: tuple[JobInput, ...] = ()  # in order
    stores: tuple[str, ...] = ()  # possible storages of its outputs
    has_tokens: bool = False  # its payload gets tokens of its owner
    id_placeholder: str = ""  # stands for its id in its name; empty: nothing does
    after: tuple[NewDependency, ...] = ()  # its parents
    policy: str = ""  # `after_failed` of the job


# -- jobs ---------------------------------------------------------------------------------------


class JobStanding(Record, frozen=True):
    """The standing of a job and its live attempt, as needed to decide about a move."""

    job_id: int
    state: JobState
    epoch: int  # of the last attempt, live or not
    round: int
    class_id: int
    priority: int
    retries: int
    failures: int
    losses: int
    queue_until: float | None
    attempt_id: int | None  # the live one; otherwise the open one, if any
    live: bool
    wanted: Why | None
    deleted: bool
    pilot: str | None  # of that attempt
    session: int | None
    site: str = ""  # of the live or last attempt


class JobRow(Record, frozen=True):
    """Everything that a list of jobs shows about one job."""

    job_id: int
    submission_id: int
    submission_name: str
    class_id: int
    community: str
    group: str
    owner: str  # subject
    owner_id: int
    type: str
    name: str | None
    state: JobState
    epoch: int
    round: int
    priority: int
    failures: int
    losses: int
    reason: str
    status: str
    site: str
    pilot: str
    wanted: Why | None
    exit_code: int | None
    submitted_at: float
    started_at: float | None
    ended_at: float | None
    deleted: bool
    # Of the live or last attempt, as the site and the pilot.
    host: str = ""
    cores: int = 0
    memory_mb: int = 0
    usage: Usage | None = None


class JobBody(Record, frozen=True):
    """The submitted description of a job, and the failures and losses of its round."""

    job_id: int
    template: bytes | None
    body: bytes
    round: int = 1
    retries: int = 0
    failures: int = 0
    losses: int = 0


class JobMove(Record, frozen=True):
    """A move of a job without a live attempt: compare-and-set on `old`.

    If `new` equals `old`, only needs and priority change, and the job keeps its reason.
    `close` closes an attempt that is still open, so that it no longer counts.
    """

    job_id: int
    old: JobState
    new: JobState
    at: float
    event: str
    who: str  # a subject, or "central"
    reason: str = ""
    close: bool = True
    new_round: bool = False  # a final job starts again: resets failures, losses and queue time
    # The class before and after a change of needs, compare-and-set; 0: the class stays.
    old_class: int = 0
    new_class: int = 0
    priority: int | None = None  # None: as before
    detail: str = ""  # for the history; empty: the reason

    @property
    def runs_again(self) -> bool:
        """Whether the ended job counts towards quotas again."""
        return self.old in FINAL and self.new not in FINAL


class AttemptWant(Record, frozen=True):
    """A request to end a live attempt. Compare-and-set: the attempt is still live."""

    attempt_id: int
    job_id: int
    wanted: Why
    at: float
    who: str
    reason: str = ""


class JobSearch(Record, frozen=True):
    """A search in the store. Empty clauses match all jobs."""

    community: str | None = None
    owner_id: int | None = None
    groups: tuple[str, ...] = ()
    states: tuple[JobState, ...] = ()
    ids: tuple[int, ...] = ()
    submission_id: int | None = None
    owner: str = ""
    type: str = ""
    site: str = ""
    name: str = ""
    include_deleted: bool = False
    submission_name: str = ""


class CountRow(Record, frozen=True):
    """The number of jobs with these properties. The start builds the counters from such rows."""

    community: str
    group: str
    owner_id: int
    owner: str
    type: str
    site: str  # of the live or last attempt; empty before the first
    state: JobState
    count: int


# -- attempts -----------------------------------------------------------------------------------


class NewAttempt(Record, frozen=True):
    """A match to write: Waiting and `epoch - 1` → Matched and `epoch` (PROTOCOL C1)."""

    attempt_id: int
    job_id: int
    class_id: int  # whose needs were matched; the job may have another one by now
    epoch: int
    pilot: str
    session: int
    ask: int
    site: str
    element: str
    host: str
    grant: Grant
    at: float
    lease_s: float = 0.0  # L, as sent to its pilot (PROTOCOL P4)


class AttemptRow(Record, frozen=True):
    """One attempt with its history."""

    attempt_id: int
    job_id: int
    epoch: int
    round: int
    pilot: str
    session: int
    ask: int
    site: str
    element: str
    host: str
    grant: Grant
    state: JobState | None  # Matched or Running while live, None afterwards
    live: bool
    open: bool  # a late result would still count
    wanted: Why | None
    matched_at: float
    started_at: float | None
    ended_at: float | None
    how: How | None
    exit_code: int | None
    detail: str
    isolation: str
    usage: Usage | None
    outputs: tuple[Output, ...]
    progress: tuple[tuple[float, str], ...]  # (wall clock, application status), the newest hundred
    event: str = ""  # the JobEvent that ended its lease
    reason: str = ""  # of the event; while live, of `wanted`
    lease_s: float = 0.0  # 0: unknown


class LiveAttempt(Record, frozen=True):
    """An attempt as the dispatch reads it at the start.

    It is live, or still open while its job waits again (`live` is false). A late heartbeat or
    result of an open attempt may still count.
    """

    attempt_id: int
    job_id: int
    epoch: int
    round: int
    class_id: int
    priority: int
    pilot: str
    session: int
    ask: int
    site: str
    element: str
    grant: Grant
    started: bool
    wanted: Why | None
    retries: int
    failures: int
    losses: int
    queue_until: float | None
    community: str
    matched_at: float
    live: bool = True
    reason: str = ""  # of `wanted`
    lease_s: float = 0.0  # 0: unknown


class ShareLevels(Record, frozen=True):
    """The decayed usage of groups and owners at a time, without running attempts."""

    at: float
    levels: dict[str, float]  # by path: community/group, community/group/owner


class AttemptStart(Record, frozen=True):
    """Matched → Running. Compare-and-set: live and Matched."""

    attempt_id: int
    job_id: int
    at: float
    isolation: str = ""


class ApplicationStatus(Record, frozen=True):
    """A status from the application, appended to the history of a live attempt."""

    attempt_id: int
    job_id: int
    at: float
    status: str


class TakeBack(Record, frozen=True):
    """Waiting → Running for the job's last attempt, which is still open (PROTOCOL C10)."""

    attempt_id: int
    job_id: int
    at: float


class Requeue(Record, frozen=True):
    """The end of a lease without a result: the job moves, and the attempt is no longer live.

    Compare-and-set: the attempt is live, and its `wanted` has not changed. With `close` the attempt
    no longer counts. Otherwise a late result or heartbeat may still count. Reported streams and
    checkpoints are stored with the attempt, since they are no result of the job.
    """

    attempt_id: int
    job_id: int
    epoch: int
    new: JobState
    at: float
    event: str
    reason: str
    close: bool
    wanted: Why | None
    lost: bool  # counts towards `lost_too_often`
    how: How | None = None
    detail: str = ""
    isolation: str = ""
    usage: Usage | None = None  # None: unknown
    outputs: tuple[Output, ...] = ()


class Publication(msgspec.Struct, kw_only=True):
    """The files that a result publishes, all or none, in the transaction of the result.

    If the catalogue refuses them, the job fails: the writer stores `refused` instead, and sets
    `clash` to the reason, so that memory can follow.
    """

    community: str
    files: tuple[NewFile, ...]
    refused: "AttemptResult"
    leftovers: tuple[RemnantPlace, ...] = ()  # what failed uploads may have left
    outgoing: tuple[Outgoing, ...] = ()  # entries of the outbox for these files
    clash: str = ""

    def as_refused(self) -> "AttemptResult":
        """Return the result to write if the catalogue refuses the files."""
        reason = f"{self.refused.reason}{self.clash}"
        return msgspec.structs.replace(self.refused, reason=reason)


class AttemptResult(Record, frozen=True):
    """A result that counts (PROTOCOL C9). Compare-and-set: open, and `wanted` is not kill.

    The job moves to `new`; `failed` adds one to its failures.
    """

    attempt_id: int
    job_id: int
    epoch: int
    new: JobState
    at: float
    event: str
    reason: str
    failed: bool
    how: How
    exit_code: int | None
    detail: str
    isolation: str
    usage: Usage
    outputs: tuple[Output, ...]
    started_at: float | None = None  # used if the start was never reported
    publication: Publication | None = None
    swept: SweepResult | None = None


class AdriftEnd(Record, frozen=True):
    """The end, without a result, of an attempt that is adrift. It no longer counts.

    Compare-and-set: the attempt is open and not live. Its job waits and does not change. The
    pilot's report is stored with the attempt.
    """

    attempt_id: int
    job_id: int
    epoch: int
    how: How
    detail: str = ""
    isolation: str = ""
    usage: Usage | None = None
    outputs: tuple[Output, ...] = ()


AttemptChange = AttemptStart | ApplicationStatus | TakeBack | Requeue | AttemptResult | AdriftEnd


class UncountedReport(Record, frozen=True):
    """A stored report that did not count. It has no foreign key, since its job may be deleted."""

    job_id: int
    epoch: int
    at: float
    pilot: str
    why: str
    report: bytes


class Note(Record, frozen=True):
    """An action of a user or the central on a job, outside of its attempts."""

    job_id: int
    at: float
    who: str
    event: str
    detail: str


# -- retention ----------------------------------------------------------------------------------


class EndedJob(Record, frozen=True):
    """An ended job that may be removed, with the keys of its counters."""

    job_id: int
    class_id: int
    community: str
    group: str
    owner_id: int
    type: str
    site: str
    state: JobState
    ended_at: float
    deleted: bool
