"""Transformations, their tasks and inputs, as a store keeps them.

A file is in one row of a transformation, and a task takes it by a compare-and-set in the
transaction that stores the task's job: so no two tasks that live or are Done have it. How a job
ends is told by a trigger in the transaction that ends it, whatever ends it.
"""

from typing import Final, NamedTuple

import msgspec

from pilotage.proto.job_states import JobState
from pilotage.proto.transformation_states import (
    InputState,
    TaskState,
    TransformationState,
)

from .records import NewJob

TASKS_A_CHUNK_MAX: Final = 1_000


class _Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Values alone, in no cycle."""


class NewTransformation(_Record, frozen=True, kw_only=True):
    community: str
    group: str
    owner_id: int
    name: str
    state: TransformationState
    doc: bytes  # JSON of proto.transformation.Transformation
    tasks_wanted: int = 0
    scouts_until: int = 0
    parent_id: int | None = None  # it was derived from this one
    priority: int | None = None  # of its jobs; None: as they say
    at: float


class TransformationRow(_Record, frozen=True, kw_only=True):
    transformation_id: int
    community: str
    group: str
    owner_id: int
    name: str
    state: TransformationState
    reason: str
    doc: bytes
    parent_id: int | None
    tasks_wanted: int  # without inputs
    tasks_made: int
    scouts_until: int  # it is scouting while this is not 0: no task beyond this number
    scouted: bytes  # JSON of what scouts have set, empty: nothing
    closing: bool  # by hand: no more inputs will come
    flushing: bool  # partial groups go, once
    seeded: bool  # all files that were there were looked at
    seed_place: str  # how far they were looked through
    made_at: float
    changed_at: float
    judged_from: float  # tasks that ended before do not count for its brake
    priority: int | None = None  # of its jobs; None: as they say


class TransformationMove(_Record, frozen=True, kw_only=True):
    """A compare-and-set of the state; None leaves a mark as it is."""

    transformation_id: int
    old: TransformationState
    new: TransformationState
    reason: str
    at: float
    closing: bool | None = None
    seed_anew: bool = False
    judge_anew: bool = False
    scouts_until: int | None = None
    scouted: bytes | None = None


class Taken(_Record, frozen=True, kw_only=True):
    """An input that a task takes: it must be Unused."""

    file_id: int
    input_no: int


class NewTask(_Record, frozen=True, kw_only=True):
    job: NewJob
    inputs: tuple[Taken, ...] = ()
    shared: tuple[int, ...] = ()  # files beside them that it also gets


class MadeTask(_Record, frozen=True, kw_only=True):
    task_id: int
    number: int
    job_id: int


class EndInput(_Record, frozen=True, kw_only=True):
    """What a task that has ended had: at its transformation, or at one that was derived since."""

    transformation_id: int
    file_id: int
    input_no: int
    errors: int  # so far
    has_heir: bool  # one that was derived from this one has it too, and goes on with what failed


class TaskEnd(_Record, frozen=True, kw_only=True):
    """A job of a task has ended, and nobody has drawn the consequences yet."""

    task_id: int
    transformation_id: int
    number: int
    job_id: int
    state: JobState | None  # None: the job is not there
    inputs: tuple[EndInput, ...]
    how: str = ""  # the last attempt's
    reason: str = ""


class InputMove(_Record, frozen=True, kw_only=True):
    """A compare-and-set of an input."""

    transformation_id: int
    file_id: int
    input_no: int
    old: InputState
    new: InputState
    task_id: int | None = None  # whose it must be, where it is Assigned
    error: bool = False  # one more
    no_errors: bool = False  # its errors are forgotten
    replay: bool = False  # one more


class TaskClose(_Record, frozen=True, kw_only=True):
    """What follows from the end of a task."""

    task_id: int
    state: TaskState
    reason: str
    at: float
    inputs: tuple[InputMove, ...] = ()


class NewInput(_Record, frozen=True, kw_only=True):
    transformation_id: int
    file_id: int
    input_no: int
    state: InputState


class InputRow(_Record, frozen=True, kw_only=True):
    file_id: int
    input_no: int
    state: InputState
    task_id: int | None
    errors: int
    replays: int
    inherited: bool
    changed_at: float
    number: int | None = None  # of that task


class TaskRow(_Record, frozen=True, kw_only=True):
    task_id: int
    number: int
    job_id: int
    state: TaskState
    reason: str
    made_at: float
    ended_at: float | None


class TaskOfJob(NamedTuple):
    """Of which task a job is."""

    task_id: int
    transformation_id: int
    number: int


class Counts(_Record, frozen=True, kw_only=True):
    """How many inputs and tasks of a transformation stand in each state."""

    inputs: dict[tuple[int, InputState], int]  # by (input_no, state)
    tasks: dict[TaskState, int]
