"""What failover keeps of transformations: counters, tasks that it has not looked at yet, reports.

All of it changes with what it is about: a cycle that flushes counts the flush, a task that ends is
noted, in one transaction. So whoever dies between two cycles neither repeats nor forgets.
"""

from typing import Final

import msgspec

from pilotage.proto.transformation_states import InputState, TaskState

from .transformations import InputMove, TransformationMove

# Of a job that failover has killed: its inputs go to another task. They are counted by this word.
REASSIGNED: Final = "failover: lost too often, its inputs go to another task"
LOST_TOO_OFTEN: Final = "lost_too_often:"  # so begins the reason of a job that is Held for it
BACKFILL_MAX: Final = 1_000  # tasks that had ended before failover looked for the first time
DROPPED_MAX: Final = 1_000  # old reports that go with one call


class _Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pass


class FailoverRow(_Record, frozen=True, kw_only=True):
    """What failover knows of a transformation since its last cycle."""

    transformation_id: int
    cycle: int = 0  # cycles in which there was something to keep
    flushes: int = 0
    inputs: int = 0  # that it had then
    judged_from: float = 0.0  # tasks that ended before are not among the following
    first: tuple[str, ...] = ()  # what its first tasks failed of; empty: they did well
    last: tuple[str, ...] = ()  # its last ones, the newest last
    said: tuple[str, ...] = ()  # what stood then, and was told: it is not told again


class EndedTask(_Record, frozen=True, kw_only=True):
    """A task that has ended, and that no cycle has looked at."""

    transformation_id: int
    task_id: int
    number: int
    job_id: int
    state: TaskState
    ended_at: float
    decisions: bytes = b""  # JSON, as noted when it ended


class Decided(_Record, frozen=True, kw_only=True):
    """What was decided about the end of a task."""

    transformation_id: int
    task_id: int
    said: bytes  # JSON


class HeldTask(_Record, frozen=True, kw_only=True):
    """A task whose job is Held because its attempts were lost too often."""

    transformation_id: int
    task_id: int
    number: int
    job_id: int
    inputs: int  # that it has
    reassigned: int  # how often that input of it was, that was so most often


class TriedAgain(_Record, frozen=True, kw_only=True):
    """A task whose job waits, of inputs that have failed before."""

    transformation_id: int
    task_id: int
    job_id: int
    made_at: float
    file_ids: tuple[int, ...]


class OddInput(_Record, frozen=True, kw_only=True):
    """An input that a task was made of, as it stands now; side inputs are none of these."""

    file_id: int
    input_no: int
    state: InputState
    is_own: bool = True  # no other task has had it since
    other_did: bool = False  # another task has, and is Done
    errors: int = 0
    replays: int = 0
    is_there: bool = True  # in the catalogue, neither Lost nor Removed


class OddTask(_Record, frozen=True, kw_only=True):
    """A task that does not agree with its inputs or outputs."""

    transformation_id: int
    task_id: int
    number: int
    job_id: int
    state: TaskState | None  # None: there is no such task
    inputs: tuple[OddInput, ...] = ()
    outputs: int = 0  # files that its job has published
    outputs_gone: int = 0  # of them, Lost or Removed
    outputs_lost: int = 0  # of these, Lost
    is_read: bool = False  # one of them was read by what is Done, or is to be by what is not over


class Mend(_Record, frozen=True, kw_only=True):
    """What makes a task agree with its inputs and outputs again: all of it, or nothing."""

    task_id: int
    old: TaskState | None  # None: there is no such task, and its inputs alone move
    new: TaskState | None
    reason: str = ""  # of the new state
    inputs: tuple[InputMove, ...] = ()  # of one transformation; the task is the last they were in
    clean: bool = False  # what is left of its outputs is removed, unless somebody has read of it


class NewReport(_Record, frozen=True, kw_only=True):
    cause: str  # a FailureClass, or what was done
    title: str
    saved: int
    for_people: int
    body: bytes  # JSON of failover.report.Report


class CycleKept(_Record, frozen=True, kw_only=True):
    """What one cycle has decided about one transformation: all of it holds, or nothing."""

    row: FailoverRow  # as it is now; its cycle is one more than that of `was`
    was: int  # the cycle before
    seen: tuple[int, ...] = ()  # tasks that were looked at
    flush: bool = False
    move: TransformationMove | None = None
    reports: tuple[NewReport, ...] = ()
    mends: tuple[Mend, ...] = ()
    mail: bool = False  # they are to be mailed
    at: float = 0.0


class ReportRow(_Record, frozen=True, kw_only=True):
    """A report, with how it stands with its mail."""

    report_id: int
    transformation_id: int
    name: str  # of the transformation
    community: str
    cycle: int
    cause: str
    at: float
    title: str
    saved: int
    for_people: int
    body: bytes
    mail_due: float | None = None  # None: it is not to be mailed, or it was
    mailed_at: float | None = None
    mail_tries: int = 0
    mail_why: str = ""  # it was not mailed


class ReportSearch(_Record, frozen=True, kw_only=True):
    """Which reports, the newest first; None: any."""

    community: str | None = None
    owner_id: int | None = None
    groups: tuple[str, ...] | None = None
    transformation_id: int | None = None
    since: float = 0.0
    before: int | None = None  # this id
    limit: int = 100
