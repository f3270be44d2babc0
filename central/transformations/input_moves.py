"""The moves of inputs after the end of a task, or a change of a file. Pure."""

from collections.abc import Callable, Mapping
from typing import Final

from pilotage.proto.catalogue import FileState
from pilotage.proto.job_states import JobState
from pilotage.proto.transformation_states import (
    INPUT_START,
    TASK_START,
    InputEvent,
    InputState,
    TaskEvent,
    left_by,
    next_input,
    next_task,
)

from .record import EndInput, InputMove, TaskClose, TaskEnd

_EVENTS: Final[Mapping[JobState | None, TaskEvent]] = {
    JobState.DONE: TaskEvent.JOB_DONE,
    JobState.FAILED: TaskEvent.JOB_FAILED,
    JobState.KILLED: TaskEvent.JOB_KILLED,
    None: TaskEvent.JOB_GONE,
}
_ERRORS: Final = frozenset(
    {InputEvent.TASK_FAILED, InputEvent.TASK_FAILED_LAST, InputEvent.BAD_DATA}
)
_OF_FILES: Final[Mapping[FileState, InputEvent]] = {
    FileState.REMOVED: InputEvent.REMOVE,
    FileState.LOST: InputEvent.BAD_DATA,
    FileState.MISSING: InputEvent.NOT_THERE,
    FileState.AVAILABLE: InputEvent.BACK,
}

Bad = Mapping[int, InputEvent]  # by file: no retry, or TASK_SPARED


def consequences(
    end: TaskEnd,
    *,
    at: float,
    errors_max: Callable[[int], int],
    bad: Bad | None = None,
    is_split: bool = False,
    is_retried: bool = False,
) -> TaskClose:
    """Return the moves that follow from the end of a task.

    `errors_max` returns how many failed tasks an input of a transformation may have. `bad` has the
    files that made the task fail or must not be retried; the other files of the task then get no
    error, nor do those of a task that `is_split`: smaller tasks show which file is at fault.
    `is_retried`: a rule retries all inputs.
    """
    event = _EVENTS[end.state]
    return TaskClose(
        task_id=end.task_id,
        state=next_task(TASK_START, event),
        reason=end.reason,
        at=at,
        is_retried=is_retried,
        inputs=tuple(
            _move(end, one, _event_of(event, one, errors_max, bad or {}, is_split=is_split))
            for one in end.inputs
        ),
    )


def _event_of(
    event: TaskEvent,
    one: EndInput,
    errors_max: Callable[[int], int],
    bad: Bad,
    *,
    is_split: bool,
) -> InputEvent:
    if event is TaskEvent.JOB_DONE:
        return InputEvent.TASK_DONE
    if one.file_id in bad:
        return bad[one.file_id]
    if one.has_heir:
        return InputEvent.TASK_FAILED_MOVED
    if bad or is_split:
        return InputEvent.TASK_SPARED
    if one.errors + 1 >= errors_max(one.transformation_id):
        return InputEvent.TASK_FAILED_LAST
    return InputEvent.TASK_FAILED


def _move(end: TaskEnd, one: EndInput, event: InputEvent) -> InputMove:
    return InputMove(
        transformation_id=one.transformation_id,
        file_id=one.file_id,
        input_no=one.input_no,
        old=InputState.ASSIGNED,
        new=next_input(InputState.ASSIGNED, event),
        task_id=end.task_id,
        error=event in _ERRORS,
    )


def moves_of(
    state: FileState,
    transformation_id: int,
    file_id: int,
    input_no: int,
    *,
    start: InputState = INPUT_START,
) -> list[InputMove]:
    """Return the moves of an input without a task after its file got a state.

    They cover all states of the input, so at most one is written. `start` is its first state.
    """
    event = _OF_FILES[state]
    if event is InputEvent.BACK and start is InputState.SHARED:
        event = InputEvent.BACK_BESIDE
    return [
        InputMove(
            transformation_id=transformation_id,
            file_id=file_id,
            input_no=input_no,
            old=old,
            new=next_input(old, event),
        )
        for old in left_by(event)
    ]
