"""Transformations, their tasks and inputs, as a store keeps them, and the verbs for it.

A file is in one row of a transformation, and a task takes it by a compare-and-set in the
transaction that stores the task's job: so no two tasks that live or are Done have it. How a job
ends is told by a trigger in the transaction that ends it, whatever ends it.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from pilotage.proto.job_states import JobState
from pilotage.proto.transformation_states import (
    InputState,
    TaskState,
    TransformationState,
)

from .records import NewJob, NewSubmission

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


class Transformations(Protocol):
    """The verbs. Those that change something return what was changed, and are atomic."""

    async def add_transformation(self, new: NewTransformation) -> TransformationRow:
        """Store a transformation. One of this community and name that is neither Archived nor
        Cleaned is returned in its place: the caller compares."""
        ...

    async def transformation(self, transformation_id: int) -> TransformationRow | None: ...

    async def transformation_named(self, community: str, name: str) -> TransformationRow | None:
        """Return the one of this name that is neither Archived nor Cleaned."""
        ...

    async def transformations(
        self,
        community: str | None,
        *,
        states: Sequence[TransformationState],
        after: int,
        limit: int,
    ) -> list[TransformationRow]:
        """Return them in order of the id; no states: all."""
        ...

    async def move_transformation(self, move: TransformationMove) -> bool: ...

    async def extend_transformation(
        self, transformation_id: int, *, old: int, new: int, at: float
    ) -> bool:
        """Compare-and-set of how many tasks are wanted."""
        ...

    async def set_flushing(self, transformation_id: int, flushing: bool) -> None: ...

    async def add_inputs(
        self,
        inputs: Sequence[NewInput],
        at: float,
        *,
        looked: tuple[str, int] | None = None,
        moves: Sequence[InputMove] = (),
    ) -> tuple[list[bool], list[bool]]:
        """Store inputs that are not known yet, after `moves`; return which are new, which moved.

        `looked`: a community, and up to which change of its catalogue was looked.
        """
        ...

    async def seed(
        self,
        transformation_id: int,
        inputs: Sequence[NewInput],
        at: float,
        *,
        place: str,
        is_end: bool,
        moves: Sequence[InputMove] = (),
    ) -> tuple[list[bool], list[bool]]:
        """As `add_inputs`, and note how far the files were looked through for it."""
        ...

    async def looked_until(self, community: str) -> int:
        """Return up to which change of the catalogue was looked; 0: nothing yet."""
        ...

    async def make_tasks(
        self, transformation_id: int, made: int, new: NewSubmission, tasks: Sequence[NewTask]
    ) -> list[MadeTask]:
        """Store tasks with their jobs, all or none; numbers follow `made`.

        None are stored where the transformation makes no tasks now, has made others since, or an
        input is not Unused any more.
        """
        ...

    async def task_ends(self, limit: int) -> list[TaskEnd]:
        """Return ends without consequences yet, in order of the task."""
        ...

    async def lost_tasks(self) -> int:
        """Note the ends of tasks whose jobs are not there; return how many."""
        ...

    async def close_tasks(self, closes: Sequence[TaskClose]) -> list[bool]:
        """Draw the consequences, of each end once: all of its moves, or nothing.

        Nothing either where the moves are not those of all inputs that the task has.
        """
        ...

    async def move_inputs(self, moves: Sequence[InputMove], at: float) -> list[bool]: ...

    async def derive_inputs(self, parent_id: int, child_id: int, at: float) -> int:
        """Give the child all inputs of its parent; return how many of them it has to process.

        What nobody works on is Moved at the parent. What a task has stays Assigned at both: its
        end counts for both. What is Processed is so at the child. It is done in pieces between
        which others write, and goes on where it had ended when it is called again.
        """
        ...

    async def derived_from(self, transformation_id: int) -> int | None:
        """Return the child of a transformation."""
        ...

    async def inputs(
        self,
        transformation_id: int,
        *,
        states: Sequence[InputState],
        after: tuple[int, int],
        limit: int,
    ) -> list[InputRow]:
        """Return inputs in order of (file_id, input_no); no states: all."""
        ...

    async def tasks(
        self, transformation_id: int, *, states: Sequence[TaskState], after: int, limit: int
    ) -> list[TaskRow]:
        """Return tasks in order of the number; no states: all."""
        ...

    async def last_ends(self, transformation_id: int, since: float, limit: int) -> list[TaskState]:
        """Return how the last tasks ended, the newest first, of those that ended after `since`."""
        ...

    async def transformation_counts(self, transformation_ids: Sequence[int]) -> dict[int, Counts]:
        """Return the counters of each."""
        ...

    async def tasks_of_jobs(self, job_ids: Sequence[int]) -> dict[int, TaskOfJob]:
        """Return the task of each job that has one, also where the job is gone."""
        ...
