"""The states of transformations, of their tasks and of their inputs: three tables.

They follow DIRAC's rules: a processed file stays processed, a file that failed too often waits for
a person, and a file of one task is given to no other task. Only these tables change a state.
"""

import enum
from typing import Final

from .state_machine import IllegalTransition

# -- transformations ------------------------------------------------------------------------------


class TransformationState(str, enum.Enum):
    """The state of a transformation. *Scouting* and *flushing* are marks shown beside a state."""

    NEW = "New"  # added, not started
    ACTIVE = "Active"  # inputs become tasks
    PAUSED = "Paused"  # by a person or a brake: new inputs wait, no task is made
    STOPPED = "Stopped"  # no inputs and no tasks are added; running jobs finish
    COMPLETING = "Completing"  # no more inputs will come; groups that are not full become tasks
    COMPLETED = "Completed"  # no work is left
    ARCHIVED = "Archived"  # kept for reference
    CLEANING = "Cleaning"  # its jobs are killed
    CLEANED = "Cleaned"


class TransformationEvent(str, enum.Enum):
    """An event that can change the state of a transformation."""

    START = "started"
    PAUSE = "paused"
    BRAKE = "braked"  # too many tasks fail, or no task can be made
    RESUME = "resumed"
    STOP = "stopped"
    LAST_INPUT = "closed"  # a person closed it, or its parent has completed
    ALL_ENDED = "ended"
    MORE = "given more work"  # extended, or an input is processed again
    ARCHIVE = "archived"
    CLEAN = "cleaned"
    EMPTIED = "emptied"  # none of its jobs lives


_S = TransformationState
_E = TransformationEvent
_KEPT = tuple(one for one in _S if one not in (_S.CLEANING, _S.CLEANED))

TRANSFORMATIONS: Final[dict[tuple[TransformationState, TransformationEvent], _S]] = {
    (_S.NEW, _E.START): _S.ACTIVE,
    (_S.NEW, _E.MORE): _S.NEW,
    (_S.ACTIVE, _E.PAUSE): _S.PAUSED,
    (_S.ACTIVE, _E.BRAKE): _S.PAUSED,
    (_S.ACTIVE, _E.STOP): _S.STOPPED,
    (_S.ACTIVE, _E.LAST_INPUT): _S.COMPLETING,
    (_S.ACTIVE, _E.MORE): _S.ACTIVE,
    (_S.PAUSED, _E.RESUME): _S.ACTIVE,
    (_S.PAUSED, _E.STOP): _S.STOPPED,
    (_S.PAUSED, _E.MORE): _S.PAUSED,
    (_S.STOPPED, _E.RESUME): _S.ACTIVE,
    (_S.STOPPED, _E.MORE): _S.STOPPED,
    (_S.STOPPED, _E.ARCHIVE): _S.ARCHIVED,
    (_S.COMPLETING, _E.PAUSE): _S.PAUSED,
    (_S.COMPLETING, _E.BRAKE): _S.PAUSED,
    (_S.COMPLETING, _E.STOP): _S.STOPPED,
    (_S.COMPLETING, _E.MORE): _S.ACTIVE,
    (_S.COMPLETING, _E.ALL_ENDED): _S.COMPLETED,
    (_S.COMPLETED, _E.MORE): _S.ACTIVE,
    (_S.COMPLETED, _E.ARCHIVE): _S.ARCHIVED,
    **{(state, _E.CLEAN): _S.CLEANING for state in _KEPT},
    (_S.CLEANING, _E.EMPTIED): _S.CLEANED,
}

START: Final = TransformationState.NEW
FINAL: Final = frozenset({_S.CLEANED})
MAKES_TASKS: Final = frozenset({_S.ACTIVE, _S.COMPLETING})
TAKES_INPUTS: Final = frozenset({_S.ACTIVE, _S.PAUSED, _S.COMPLETING})
# The states that the engine watches.
LIVE: Final = (_S.ACTIVE, _S.PAUSED, _S.STOPPED, _S.COMPLETING, _S.CLEANING)


# -- tasks ----------------------------------------------------------------------------------------


class TaskState(str, enum.Enum):
    """The state of a task. Its job has a state of its own."""

    CREATED = "Created"  # its job is stored and has not ended
    DONE = "Done"
    FAILED = "Failed"
    KILLED = "Killed"
    LOST = "Lost"  # its job no longer exists


class TaskEvent(str, enum.Enum):
    """An event that can change the state of a task."""

    JOB_DONE = "job_done"
    JOB_FAILED = "job_failed"
    JOB_KILLED = "job_killed"
    JOB_GONE = "job_gone"
    OUTPUTS_LOST = "outputs_lost"  # the outputs of a task that was Done
    OUTPUTS_FOUND = "outputs_found"  # all outputs of a task that was not Done


TASKS: Final[dict[tuple[TaskState, TaskEvent], TaskState]] = {
    (TaskState.CREATED, TaskEvent.JOB_DONE): TaskState.DONE,
    (TaskState.CREATED, TaskEvent.JOB_FAILED): TaskState.FAILED,
    (TaskState.CREATED, TaskEvent.JOB_KILLED): TaskState.KILLED,
    (TaskState.CREATED, TaskEvent.JOB_GONE): TaskState.LOST,
    (TaskState.DONE, TaskEvent.OUTPUTS_LOST): TaskState.FAILED,
    (TaskState.FAILED, TaskEvent.OUTPUTS_FOUND): TaskState.DONE,
    (TaskState.KILLED, TaskEvent.OUTPUTS_FOUND): TaskState.DONE,
    (TaskState.LOST, TaskEvent.OUTPUTS_FOUND): TaskState.DONE,
}

TASK_START: Final = TaskState.CREATED


# -- inputs ---------------------------------------------------------------------------------------


class InputState(str, enum.Enum):
    """The state of a file in one transformation. *Inherited* is a mark shown beside a state."""

    UNUSED = "Unused"
    ASSIGNED = "Assigned"  # it belongs to a task that has not ended
    PROCESSED = "Processed"  # it belongs to a task that is Done
    STUCK = "Stuck"  # tasks with it failed too often
    PROBLEMATIC = "Problematic"  # its data are bad
    MISSING = "Missing"  # no copy can be read
    REMOVED = "Removed"  # it was removed from the catalogue
    MOVED = "Moved"  # it belongs to the transformation derived from this one
    SHARED = "Shared"  # every task that it fits gets it

    @classmethod
    def _missing_(cls, value: object) -> "InputState | None":
        """Accept the name that Stuck had up to release 0.1: rules files and scripts may have it."""
        return cls.STUCK if value == "MaxReset" else None


class InputEvent(str, enum.Enum):
    """An event that can change the state of an input."""

    ASSIGN = "assigned"
    TASK_DONE = "task_done"
    TASK_FAILED = "task_failed"
    TASK_FAILED_LAST = "task_failed_last"  # the last allowed failure
    # Its task ended, but not because of this file: killed, or another file's fault
    TASK_SPARED = "task_spared"
    TASK_FAILED_MOVED = "task_failed_moved"  # the derived transformation continues with it
    BAD_DATA = "bad_data"  # all copies are corrupt, or a person declared it bad
    NOT_THERE = "not_there"
    BACK = "back"  # a copy can be read again, or it was registered again
    BACK_BESIDE = "back_beside"  # the same for a file that every task gets
    RESET = "reset"  # by a person
    REPLAY = "replay"  # by a person, on purpose
    OUTPUTS_LOST = "outputs_lost"  # its task's outputs, before any task has read them
    OUTPUTS_FOUND = "outputs_found"  # the outputs of its task, which was considered failed
    REMOVE = "removed"
    DERIVE = "derived"


_I = InputState
_V = InputEvent
_LEFT = (_I.UNUSED, _I.STUCK, _I.PROBLEMATIC, _I.MISSING)  # no task works on these

INPUTS: Final[dict[tuple[InputState, InputEvent], InputState]] = {
    (_I.UNUSED, _V.ASSIGN): _I.ASSIGNED,
    (_I.ASSIGNED, _V.TASK_DONE): _I.PROCESSED,
    (_I.ASSIGNED, _V.TASK_FAILED): _I.UNUSED,
    (_I.ASSIGNED, _V.TASK_FAILED_LAST): _I.STUCK,
    (_I.ASSIGNED, _V.TASK_SPARED): _I.UNUSED,
    (_I.ASSIGNED, _V.TASK_FAILED_MOVED): _I.MOVED,
    (_I.ASSIGNED, _V.BAD_DATA): _I.PROBLEMATIC,
    (_I.ASSIGNED, _V.NOT_THERE): _I.MISSING,
    (_I.UNUSED, _V.BAD_DATA): _I.PROBLEMATIC,
    (_I.STUCK, _V.BAD_DATA): _I.PROBLEMATIC,
    (_I.UNUSED, _V.NOT_THERE): _I.MISSING,
    (_I.MISSING, _V.BACK): _I.UNUSED,
    (_I.REMOVED, _V.BACK): _I.UNUSED,
    (_I.REMOVED, _V.BACK_BESIDE): _I.SHARED,
    (_I.STUCK, _V.RESET): _I.UNUSED,
    (_I.PROBLEMATIC, _V.RESET): _I.UNUSED,
    (_I.MISSING, _V.RESET): _I.UNUSED,
    (_I.PROCESSED, _V.REPLAY): _I.UNUSED,
    (_I.PROCESSED, _V.OUTPUTS_LOST): _I.UNUSED,  # the only two ways out
    (_I.UNUSED, _V.OUTPUTS_FOUND): _I.PROCESSED,
    (_I.STUCK, _V.OUTPUTS_FOUND): _I.PROCESSED,
    **{(state, _V.REMOVE): _I.REMOVED for state in (*_LEFT, _I.SHARED)},
    **{(state, _V.DERIVE): _I.MOVED for state in _LEFT},
}

INPUT_START: Final = InputState.UNUSED


def left_by(event: InputEvent) -> tuple[InputState, ...]:
    """Return the states that an event ends, for inputs without a task."""
    return tuple(
        state for state, one in INPUTS if one is event and state is not InputState.ASSIGNED
    )


def next_transformation(
    state: TransformationState, event: TransformationEvent
) -> TransformationState:
    """Return the state that `event` leads to, or raise IllegalTransition."""
    try:
        return TRANSFORMATIONS[state, event]
    except KeyError:
        raise IllegalTransition("transformation", state.value, event.value) from None


def next_task(state: TaskState, event: TaskEvent) -> TaskState:
    """Return the state that `event` leads to, or raise IllegalTransition."""
    try:
        return TASKS[state, event]
    except KeyError:
        raise IllegalTransition("task", state.value, event.value) from None


def next_input(state: InputState, event: InputEvent) -> InputState:
    """Return the state that `event` leads to, or raise IllegalTransition."""
    try:
        return INPUTS[state, event]
    except KeyError:
        raise IllegalTransition("input", state.value, event.value) from None
