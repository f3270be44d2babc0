"""What goes into the store and comes out of it.

Where the state of a job is kept: `job.state` is the state while no attempt is live (Waiting, Held,
Completing and the final ones); while an attempt is live its row says Matched or Running, and the
job's row is not touched. So a job's row is written once, at the end.
"""

import msgspec

from pilotage.matcher.types import Grant
from pilotage.proto.documents.job import PRIORITY_DEFAULT
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.messages import How, Output, Usage, Why

from ..catalogue.record_types import JobInput, NewFile
from ..catalogue.remnants import SweepResult
from ..store.records import Record

# -- who and what kind --------------------------------------------------------------------------


class JobClassRow(Record, frozen=True, kw_only=True):
    """Jobs that are matched as one. Both texts are JSON in normal form.

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
    body_hash: str  # of the whole request: the same key with another body is refused
    name: str
    template: bytes | None  # JSON of proto.job.Job with its braces, or None: each job has its own
    at: float


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
    repeated: bool = False  # the key was known: this is the first one


class NewJob(Record, frozen=True):
    """A job's row. `body` is its parameters (JSON object) or, without a template, the whole job."""

    class_id: int
    body: bytes
    priority: int = PRIORITY_DEFAULT
    retries: int = 0
    queue_until: float | None = None  # wall clock
    name: str | None = None  # None: the template's
    inputs: tuple[JobInput, ...] = ()  # in their order
    stores: tuple[str, ...] = ()  # storages that its outputs may go to


# -- jobs ---------------------------------------------------------------------------------------


class JobStanding(Record, frozen=True):
    """Where a job stands, live attempt included: enough to decide a move."""

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
    """Everything that is shown of a job in a list."""

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


class JobBody(Record, frozen=True):
    """What a job runs, as it was handed in, and what its round has cost so far."""

    job_id: int
    template: bytes | None
    body: bytes
    round: int = 1
    retries: int = 0
    failures: int = 0
    losses: int = 0


class JobMove(Record, frozen=True):
    """A move of a job without a live attempt: compare-and-set on `old`.

    `close` closes an attempt that is still open, so that nothing of it counts any more.
    """

    job_id: int
    old: JobState
    new: JobState
    at: float
    event: str
    who: str  # a subject, or "central"
    reason: str = ""
    close: bool = True
    new_round: bool = False  # of a final job: failures, losses start anew, no queue time any more

    @property
    def runs_again(self) -> bool:
        """Whether an ended job counts towards quotas again."""
        return self.old in FINAL and self.new not in FINAL


class AttemptWant(Record, frozen=True):
    """What the central wants of a live attempt. Compare-and-set: it is still live."""

    attempt_id: int
    job_id: int
    wanted: Why
    at: float
    who: str
    reason: str = ""


class JobSearch(Record, frozen=True):
    """A filter in terms of the store. Empty clauses hold for all."""

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


class CountRow(Record, frozen=True):
    """Jobs per combination; the counters in memory are built from these at start."""

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
    """A match, to be written: Waiting and `epoch - 1` → Matched and `epoch` (PROTOCOL C1)."""

    attempt_id: int
    job_id: int
    epoch: int
    pilot: str
    session: int
    ask: int
    site: str
    element: str
    host: str
    grant: Grant
    at: float
    lease_s: float = 0.0  # L, as its pilot is told (PROTOCOL P4)


class AttemptRow(Record, frozen=True):
    """One attempt, with its history packed inside."""

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
    open: bool  # a late result of it would still count
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
    event: str = ""  # how its lease ended, in the words of job_states
    reason: str = ""  # of that; while live, of what is wanted
    lease_s: float = 0.0  # 0: nobody noted it


class LiveAttempt(Record, frozen=True):
    """What the dispatch keeps of an attempt in memory, as read at start.

    Attempts that are live, and those that are still open while their job waits again
    (`live` false): a late beat or result of the latter may still count.
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
    reason: str = ""  # of what is wanted
    lease_s: float = 0.0  # 0: nobody noted it


class ShareLevels(Record, frozen=True):
    """What groups and owners had used by their shares at a time, without what was running."""

    at: float
    levels: dict[str, float]  # by path: community/group, community/group/owner


class AttemptStart(Record, frozen=True):
    """Matched → Running. Compare-and-set: live and Matched."""

    attempt_id: int
    job_id: int
    at: float
    isolation: str = ""


class ApplicationStatus(Record, frozen=True):
    """The application's own word; appended to the history of a live attempt."""

    attempt_id: int
    job_id: int
    at: float
    status: str


class TakeBack(Record, frozen=True):
    """Waiting → Running for an attempt that is open and the job's last (PROTOCOL C10)."""

    attempt_id: int
    job_id: int
    at: float


class Requeue(Record, frozen=True):
    """End of a lease without a result: the job moves, the attempt is live no more.

    Compare-and-set: the attempt is live and its `wanted` is as we knew it. With `close` nothing of
    it counts any more; without, a late result or beat still may. What its pilot said of it stays
    with the attempt: its streams and its checkpoint are no result of the job.
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
    usage: Usage | None = None  # None: nobody has told
    outputs: tuple[Output, ...] = ()


class Publication(msgspec.Struct, kw_only=True):
    """What a result publishes, all of it or nothing, in the transaction that writes the result.

    Where the catalogue does not take it the job fails: what is written then is `refused`, with the
    reason. Whoever writes says so in `clash`, so that memory can follow.
    """

    community: str
    files: tuple[NewFile, ...]
    refused: "AttemptResult"
    clash: str = ""

    def as_refused(self) -> "AttemptResult":
        """Return the end that is written where the files are not taken."""
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
    started_at: float | None = None  # kept if the start was never reported
    publication: Publication | None = None
    swept: SweepResult | None = None


class AdriftEnd(Record, frozen=True):
    """An attempt that is adrift has ended without a result: nothing of it counts any more.

    Compare-and-set: it is open and not live. Its job waits, and is not touched; what its pilot said
    of it stays with the attempt.
    """

    attempt_id: int
    job_id: int
    epoch: int
    how: How
    detail: str = ""
    isolation: str = ""
    usage: Usage | None = None
    outputs: tuple[Output, ...] = ()


Change = AttemptStart | ApplicationStatus | TakeBack | Requeue | AttemptResult | AdriftEnd


class UncountedReport(Record, frozen=True):
    """A report that does not count, kept. No foreign key: its job may be gone."""

    job_id: int
    epoch: int
    at: float
    pilot: str
    why: str
    report: bytes


class Note(Record, frozen=True):
    """Something a person or the central did to a job outside of an attempt."""

    job_id: int
    at: float
    who: str
    event: str
    detail: str


# -- pilots -------------------------------------------------------------------------------------


# -- tokens -------------------------------------------------------------------------------------


# -- what goes ----------------------------------------------------------------------------------


class EndedJob(Record, frozen=True):
    """A job that may go, and under what it is counted."""

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
