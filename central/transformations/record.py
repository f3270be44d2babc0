"""Stores transformations, their tasks and inputs."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, Protocol

import msgspec

from pilotage.proto.ids import ID_MAX
from pilotage.proto.job_states import JobState
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import (
    InputState,
    TaskState,
    TransformationState,
)

from ..jobs import record_submissions as submissions
from ..jobs.record_types import NewJob, NewSubmission
from ..store.engine import Store, weighs
from ..store.errors import KeyReused
from ..store.session import Session, json_list

TASKS_A_CHUNK_MAX: Final = 1_000


class _Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Plain values without reference cycles."""


class NewTransformationRow(_Record, frozen=True, kw_only=True):
    community: str
    group: str
    owner_id: int
    name: str
    state: TransformationState
    doc: bytes  # JSON of proto.transformation.Transformation
    tasks_wanted: int = 0
    scouts_until: int = 0
    parent_id: int | None = None  # the transformation that it was derived from
    priority: int | None = None  # of its jobs; None: each job's own
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
    tasks_wanted: int  # for one without inputs
    tasks_made: int
    scouts_until: int  # the last task number while it is scouting; 0: it is not
    scouted: bytes  # JSON of the findings from scouts; empty: none
    closing: bool  # a user has closed it: no more inputs will come
    flushing: bool  # partial groups become tasks, once
    seeded: bool  # all earlier files have been checked
    seed_place: str  # how far they have been checked
    made_at: float
    changed_at: float
    judged_from: float  # tasks that ended earlier do not count for its brake
    priority: int | None = None  # of its jobs; None: each job's own


class TransformationMove(_Record, frozen=True, kw_only=True):
    """A compare-and-set of the state; None leaves a field unchanged."""

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


class TakenInput(_Record, frozen=True, kw_only=True):
    """An input that a task takes: it must be Unused."""

    file_id: int
    input_no: int


class NewTask(_Record, frozen=True, kw_only=True):
    job: NewJob
    inputs: tuple[TakenInput, ...] = ()
    shared: tuple[int, ...] = ()  # side inputs
    recipe: str | None = None  # a hash of all that its result depends on; None: never reuse it


class Takes(Protocol):
    """A task that takes inputs."""

    @property
    def inputs(self) -> tuple[TakenInput, ...]: ...

    @property
    def shared(self) -> tuple[int, ...]: ...


class MadeTask(_Record, frozen=True, kw_only=True):
    task_id: int
    number: int
    job_id: int


class EndInput(_Record, frozen=True, kw_only=True):
    """An input of an ended task, at its transformation or at one derived since."""

    transformation_id: int
    file_id: int
    input_no: int
    errors: int  # so far
    has_heir: bool  # a derived transformation has it too, and continues with failed inputs


class TaskEnd(_Record, frozen=True, kw_only=True):
    """An ended job of a task that is not closed yet."""

    task_id: int
    transformation_id: int
    number: int
    job_id: int
    state: JobState | None  # None: the job does not exist
    inputs: tuple[EndInput, ...]
    how: str = ""  # of the last attempt
    reason: str = ""


class InputMove(_Record, frozen=True, kw_only=True):
    """A compare-and-set of an input."""

    transformation_id: int
    file_id: int
    input_no: int
    old: InputState
    new: InputState
    task_id: int | None = None  # the task that must have it, if it is Assigned
    error: bool = False  # add an error
    no_errors: bool = False  # reset its errors
    replay: bool = False  # add a replay


class TaskClose(_Record, frozen=True, kw_only=True):
    """The changes after the end of a task."""

    task_id: int
    state: TaskState
    reason: str
    at: float
    is_retried: bool = False  # it failed, and a rule retries its inputs in other tasks
    inputs: tuple[InputMove, ...] = ()


class NewInput(_Record, frozen=True, kw_only=True):
    transformation_id: int
    file_id: int
    input_no: int
    state: InputState
    files_max: int = 0  # it is not stored if the input has so many files; 0: always


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
    is_reused: bool = False  # its job is that of an earlier task


class StateCounts(_Record, frozen=True, kw_only=True):
    """The numbers of inputs and tasks of a transformation by state."""

    inputs: dict[tuple[int, InputState], int]  # by (input_no, state)
    tasks: dict[TaskState, int]


# inputs in one transaction for a derived transformation: other writers wait for it
INHERITED_A_CHUNK: Final = 2_000
_FLAGS: Final = ("closing", "flushing", "seeded")


def add_transformation(session: Session, new: NewTransformationRow) -> TransformationRow:
    """Store a transformation.

    If the community has an active one of this name, return that one: the caller compares.
    """
    known = session.one("transformation_named", {"community": new.community, "name": new.name})
    if known is not None:
        return row_of(known)
    given = {**msgspec.structs.asdict(new), "state": new.state.value}
    session.run("insert_transformation", {**given, "transformation_id": _next(session)})
    return row_of(session.one("transformation_named", given))


def transformation(session: Session, transformation_id: int) -> TransformationRow | None:
    """Return a transformation; None: it does not exist."""
    given = {"community": None, "states": None, "after": transformation_id - 1, "limit": 1}
    found = session.one("transformations", given)
    row = None if found is None else row_of(found)
    return row if row is not None and row.transformation_id == transformation_id else None


def transformation_named(session: Session, community: str, name: str) -> TransformationRow | None:
    """Return the transformation of this name that is neither Archived nor Cleaned."""
    given = {"community": community, "name": name}
    found = session.one("transformation_named", given)
    return None if found is None else row_of(found)


def transformations(
    session: Session,
    community: str | None,
    *,
    states: Sequence[TransformationState],
    after: int,
    limit: int,
) -> list[TransformationRow]:
    """Return transformations in order of id; without states, all."""
    given = {
        "community": community,
        "states": _states(states),
        "after": after,
        "limit": limit,
    }
    return [row_of(row) for row in session.rows("transformations", given)]


def move_transformation(session: Session, move: TransformationMove) -> bool:
    """Move a transformation by a compare-and-set of its state."""
    given = {**msgspec.structs.asdict(move), "old": move.old.value, "new": move.new.value}
    return session.run("move_transformation", given).rowcount == 1


def extend_transformation(
    session: Session, transformation_id: int, *, old: int, new: int, at: float
) -> bool:
    """Set the number of wanted tasks by a compare-and-set."""
    given = {"transformation_id": transformation_id, "old": old, "new": new, "at": at}
    return session.run("extend_transformation", given).rowcount == 1


def set_flushing(session: Session, transformation_id: int, flushing: bool) -> None:
    """Set whether partial groups of its inputs become tasks too."""
    given = {"transformation_id": transformation_id, "flushing": flushing}
    session.run("set_flushing", given)


def add_inputs(
    session: Session,
    inputs: Sequence[NewInput],
    at: float,
    *,
    looked: tuple[str, int] | None = None,
    moves: Sequence[InputMove] = (),
) -> tuple[list[bool], list[bool]]:
    """Store new inputs, after `moves`; return which are new, and which moved.

    `looked`: a community, and the last checked change of its catalogue.
    """
    if looked is not None:
        session.run("set_looked", {"community": looked[0], "seq": looked[1]})
    return _add_inputs(session, inputs, moves, at)


def seed(
    session: Session,
    transformation_id: int,
    inputs: Sequence[NewInput],
    at: float,
    *,
    place: str,
    is_end: bool,
    moves: Sequence[InputMove] = (),
) -> tuple[list[bool], list[bool]]:
    """Like `add_inputs`; also note how far the earlier files were checked."""
    given = {"transformation_id": transformation_id, "place": place, "is_end": is_end}
    session.run("set_seeded", given)
    return _add_inputs(session, inputs, moves, at)


def looked_until(session: Session, community: str) -> int:
    """Return the last checked change of the catalogue; 0: none."""
    found = session.one("get_looked", {"community": community})
    return int(found[0]) if found else 0


@weighs(3)
def make_tasks(
    session: Session,
    transformation_id: int,
    made: int,
    new: NewSubmission,
    tasks: Sequence[NewTask],
) -> list[MadeTask]:
    """Store tasks with their jobs, all or none; their numbers begin after `made`.

    Store none if the transformation makes no tasks now, has made others since, or an input is not
    Unused any more.
    """
    first = take_numbers(session, transformation_id, made, tasks)
    if first is None:
        return []
    record = submissions.submit(session, new, [task.job for task in tasks])
    if record.repeated:  # the jobs of another submission must not become tasks
        raise KeyReused(new.key)
    job = record.ranges[0][0]
    recipes = json_list([task.recipe for task in tasks])
    session.run("insert_tasks", (first, recipes, transformation_id, made + 1, job, new.at))
    session.run("mark_jobs_of_tasks", (first, job, len(tasks)))
    take_files(session, "assign_input", transformation_id, first, tasks, new.at)
    return [
        MadeTask(task_id=first + i, number=made + 1 + i, job_id=job + i) for i in range(len(tasks))
    ]


def take_numbers(
    session: Session, transformation_id: int, made: int, tasks: Sequence[Takes]
) -> int | None:
    """Take the numbers of new tasks; return the id of the first, or None if none can be made."""
    if len(tasks) > TASKS_A_CHUNK_MAX:
        raise ValueError(
            f"a chunk of {len(tasks)} tasks is too long: the limit is {TASKS_A_CHUNK_MAX}"
        )
    taken = [(one.file_id, one.input_no) for task in tasks for one in task.inputs]
    if len(set(taken)) != len(taken):
        raise ValueError("an input is twice among the inputs of the tasks")
    if taken and session.one("count_unused", (transformation_id, json_list(taken)))[0] != len(
        taken
    ):
        return None
    numbers = {"transformation_id": transformation_id, "made": made, "count": len(tasks)}
    if not tasks or session.run("take_numbers", numbers).rowcount != 1:
        return None
    return session.reserve("task", len(tasks))


def take_files(
    session: Session,
    statement: str,
    transformation_id: int,
    first: int,
    tasks: Sequence[Takes],
    at: float,
) -> None:
    """Give the inputs to their tasks, and note which files each task has."""
    rows = [
        (transformation_id, one.file_id, one.input_no, first + place, at)
        for place, task in enumerate(tasks)
        for one in task.inputs
    ]
    if rows:
        session.many(statement, rows)
    files = [
        (file_id, place)
        for place, task in enumerate(tasks)
        for file_id in (*(one.file_id for one in task.inputs), *task.shared)
    ]
    if files:
        session.run("insert_task_inputs", (first, json_list(files)))


def task_ends(session: Session, limit: int) -> list[TaskEnd]:
    """Return ended tasks that are not closed yet, ordered by task."""
    ends = session.rows("task_ends", {"limit": limit})
    if not ends:
        return []
    given = {"tasks": json_list([row[0] for row in ends])}
    had = _by_task(session.rows("inputs_of_tasks", given))
    return [_end(row, had.get(row[0], ())) for row in ends]


def lost_tasks(session: Session) -> int:
    """Note the ends of tasks whose jobs do not exist; return their number."""
    return session.run("note_lost_tasks").rowcount


def _rows_of_closes(closes: Sequence[TaskClose]) -> int:
    return sum(2 + len(one.inputs) for one in closes)


@weighs(_rows_of_closes)
def close_tasks(session: Session, closes: Sequence[TaskClose]) -> list[bool]:
    """Close tasks, each once: write all of its moves, or none.

    A task is not closed if the moves do not cover exactly its inputs.
    """
    has: dict[int, set[tuple[int, int, int]]] = {one.task_id: set() for one in closes}
    for task, *row in session.rows("inputs_of_tasks", {"tasks": json_list(list(has))}):
        has[task].add((row[0], row[1], row[2]))
    fits = [
        has[close.task_id]
        == {(one.transformation_id, one.file_id, one.input_no) for one in close.inputs}
        for close in closes
    ]
    fit = [close for close, it_fits in zip(closes, fits, strict=True) if it_fits]
    removed = session.each("remove_task_end", [{"task_id": one.task_id} for one in fit])
    done = [close for close, is_removed in zip(fit, removed, strict=True) if is_removed]
    session.many("close_task", [_ended(one) for one in done])
    session.many("move_input", [_move(one, close.at) for close in done for one in close.inputs])
    outcomes = iter(removed)
    return [it_fits and next(outcomes) for it_fits in fits]


def move_inputs(session: Session, moves: Sequence[InputMove], at: float) -> list[bool]:
    """Move inputs, each by a compare-and-set."""
    return session.each("move_input", [_move(one, at) for one in moves])


async def derive_inputs(store: Store, parent_id: int, child_id: int, at: float) -> int:
    """Give the child all inputs of its parent; return how many the child has to process.

    Inputs without a task are Moved at the parent. An input of an open task stays Assigned at both,
    and its end counts for both. A Processed input is Processed at the child. It works in chunks, so
    that others can write in between, and continues when it is called again.
    """
    after: tuple[int, int] | None = (0, -1)
    while after is not None:
        after = await store.write(_derive, parent_id, child_id, at, after)
    counts = (await store.read(transformation_counts, [child_id]))[child_id].inputs
    return sum(
        count
        for (_, state), count in counts.items()
        if state in (InputState.UNUSED, InputState.ASSIGNED)
    )


@weighs(INHERITED_A_CHUNK)
def _derive(
    session: Session, parent_id: int, child_id: int, at: float, after: tuple[int, int]
) -> tuple[int, int] | None:
    """Give a chunk of the inputs to the child; return the last one, None: there are no more."""
    given: dict[str, object] = {"parent_id": parent_id, "child_id": child_id, "at": at}
    given |= {"after_file": after[0], "after_input": after[1]}
    last = session.one("last_of_chunk", {**given, "skip": INHERITED_A_CHUNK - 1})
    given |= {"last_file": last[0] if last else ID_MAX, "last_input": last[1] if last else ID_MAX}
    session.run("inherit_inputs", given)
    session.run("move_to_heir", given)
    return (int(last[0]), int(last[1])) if last else None


def derived_from(session: Session, transformation_id: int) -> int | None:
    """Return the child of a transformation."""
    given = {"transformation_id": transformation_id}
    found = session.one("derived_from", given)
    return int(found[0]) if found else None


def inputs(
    session: Session,
    transformation_id: int,
    *,
    states: Sequence[InputState],
    after: tuple[int, int],
    limit: int,
) -> list[InputRow]:
    """Return inputs in order of (file_id, input_no); without states, all."""
    given: dict[str, object] = {
        "transformation_id": transformation_id,
        "after_file": after[0],
        "after_input": after[1],
        "limit": limit,
    }
    if tuple(states) == (InputState.UNUSED,):
        found = session.rows("unused_inputs", given)
    else:
        given["states"] = _states(states)
        found = session.rows("transformation_inputs", given)
    return [_struct(InputRow, row, ("inherited",)) for row in found]


def tasks(
    session: Session, transformation_id: int, *, states: Sequence[TaskState], after: int, limit: int
) -> list[TaskRow]:
    """Return tasks in order of number; without states, all."""
    given = {
        "transformation_id": transformation_id,
        "states": _states(states),
        "after": after,
        "limit": limit,
    }
    found = session.rows("transformation_tasks", given)
    return [_struct(TaskRow, row, ("is_reused",)) for row in found]


def last_ends(
    session: Session, transformation_id: int, since: float, limit: int
) -> list[TaskState]:
    """Return the ends of the last tasks that ended after `since`, newest first.

    Failed tasks whose inputs a rule retries do not count: the tasks of the retry do.
    """
    given = {"transformation_id": transformation_id, "since": since, "limit": limit}
    return [TaskState(row[0]) for row in session.rows("last_task_ends", given)]


def transformation_counts(
    session: Session, transformation_ids: Sequence[int]
) -> dict[int, StateCounts]:
    """Return the counts of each."""
    found = {one: StateCounts(inputs={}, tasks={}) for one in transformation_ids}
    given = {"ids": json_list(list(transformation_ids))}
    for one, number, state, files in session.rows("input_counts", given):
        found[one].inputs[number, InputState(state)] = files
    for one, state, tasks in session.rows("task_counts", given):
        found[one].tasks[TaskState(state)] = tasks
    return found


def _next(session: Session) -> int:
    return session.reserve("transformation")


def _add_inputs(
    session: Session, inputs: Sequence[NewInput], moves: Sequence[InputMove], at: float
) -> tuple[list[bool], list[bool]]:
    moved = session.each("move_input", [_move(one, at) for one in moves])
    rows = [
        (one.transformation_id, one.file_id, one.input_no, one.state.value, at, one.files_max)
        for one in inputs
    ]
    return session.each("insert_input", rows), moved


def _ended(close: TaskClose) -> dict[str, object]:
    return {
        "task_id": close.task_id,
        "state": close.state.value,
        "reason": close.reason,
        "at": close.at,
        "is_retried": int(close.is_retried),
    }


def _move(move: InputMove, at: float) -> dict[str, object]:
    given = msgspec.structs.asdict(move)
    return {**given, "old": move.old.value, "new": move.new.value, "at": at}


def _states(states: Sequence[TransformationState | InputState | TaskState]) -> str | None:
    return json_list([state.value for state in states]) if states else None


def _by_task(rows: Sequence[Any]) -> dict[int, tuple[EndInput, ...]]:
    return {
        task: tuple(
            EndInput(
                transformation_id=row[1],
                file_id=row[2],
                input_no=row[3],
                errors=row[4],
                has_heir=bool(row[5]),
            )
            for row in some
        )
        for task, some in groupby(rows, key=lambda row: row[0])
    }


def _end(row: Sequence[Any], inputs: tuple[EndInput, ...]) -> TaskEnd:
    return TaskEnd(
        task_id=row[0],
        transformation_id=row[1],
        number=row[2],
        job_id=row[3],
        state=JobState(row[4]) if row[4] is not None else None,
        inputs=inputs,
        how=row[5],
        reason=row[6],
    )


def row_of(row: Sequence[Any]) -> TransformationRow:
    """Return a transformation from a row."""
    made: TransformationRow = _struct(TransformationRow, row, _FLAGS)
    return made


def _struct(kind: Any, row: Sequence[Any], flags: Sequence[str] = ()) -> Any:
    given = dict(zip(kind.__struct_fields__, row, strict=True))
    for flag in flags:
        given[flag] = bool(given[flag])
    return msgspec.convert(given, kind)


class TriedAgain(_Record, frozen=True, kw_only=True):
    """A retry whose job waits."""

    transformation_id: int
    task_id: int
    job_id: int
    made_at: float
    file_ids: tuple[int, ...]


def tried_again(session: Session, since: float, *, limit: int) -> list[TriedAgain]:
    """Return waiting retries that were made after `since`, newest first."""
    rows = session.rows("tried_again", {"since": since, "limit": limit})
    return [
        TriedAgain(
            transformation_id=some[0][0],
            task_id=task_id,
            job_id=some[0][2],
            made_at=some[0][3],
            file_ids=tuple(row[4] for row in some),
        )
        for task_id, found in groupby(rows, key=itemgetter(1))
        if (some := list(found))
    ]


class ProductionStep(_Record, frozen=True, kw_only=True):
    """The step that a transformation carries out."""

    production_id: int
    production: str
    step: str
    state: ProductionState  # of the production


def steps_of(session: Session, transformation_ids: Sequence[int]) -> dict[int, ProductionStep]:
    """Return the steps of transformations; those outside productions are omitted."""
    given = {"transformations": json_list(list(transformation_ids))}
    return {
        row[0]: ProductionStep(
            production_id=row[1], production=row[2], step=row[3], state=ProductionState(row[4])
        )
        for row in session.rows("steps_of_transformations", given)
    }
