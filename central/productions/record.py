"""Stores productions and their steps."""

import zlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import TransformationState

from ..store.engine import weighs
from ..store.errors import StoreError
from ..store.session import Session, json_list
from ..transformations.record import (
    NewTransformationRow,
    TransformationMove,
    TransformationRow,
    row_of,
)

STEPS_MAX: Final = 1_000  # of one production: other writers wait for this many rows at most
NAME_KEPT: Final = 40  # characters of the name of a production that its old steps keep


class _Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Plain values without reference cycles."""


class NewProductionRow(_Record, frozen=True, kw_only=True):
    community: str
    group: str
    owner_id: int
    name: str
    title: str
    state: ProductionState
    definition: bytes  # JSON of the workflow, with all of its files
    sha256: str  # of `definition`
    details: bytes  # JSON of facts that are only shown
    rules: str = ""  # of failover; empty: the default rules
    priority: int | None = None  # None: each job's own
    rerun_of: int | None = None
    is_cwl: bool = False  # a run of a CWL document makes its tasks
    at: float


class NewStep(_Record, frozen=True, kw_only=True):
    """A step, with the id that was reserved for its transformation."""

    step: str
    parents: tuple[int, ...]  # places of the steps that feed it
    transformation_id: int
    transformation: NewTransformationRow | None  # None: the transformation is there already


class Correction(_Record, frozen=True, kw_only=True):
    """Another definition of a production: some of its steps are replaced."""

    production_id: int
    old_sha256: str  # a compare-and-set, with the state
    old: ProductionState
    state: ProductionState
    new: NewProductionRow
    steps: list[NewStep]
    replaced: list[tuple[str, int]]  # old steps with their transformations …
    replaced_state: TransformationState
    holder: NewProductionRow  # … which get a production of their own


class ProductionRow(_Record, frozen=True, kw_only=True):
    production_id: int
    community: str
    group: str
    owner_id: int
    name: str
    title: str
    state: ProductionState
    reason: str
    sha256: str
    priority: int | None
    rerun_of: int | None
    made_at: float
    changed_at: float


class ProductionTexts(_Record, frozen=True, kw_only=True):
    """The long texts of a production, which never change."""

    definition: bytes
    details: bytes
    rules: str


class StepRow(_Record, frozen=True, kw_only=True):
    production_id: int
    place: int  # parents have lower places
    step: str
    parents: tuple[int, ...]
    row: TransformationRow  # with its document only on request


class ProductionMove(_Record, frozen=True, kw_only=True):
    """A compare-and-set of the state."""

    production_id: int
    old: ProductionState
    new: ProductionState
    reason: str
    at: float


class Extension(_Record, frozen=True, kw_only=True):
    """A compare-and-set of the number of tasks of a transformation."""

    transformation_id: int
    old: int
    new: int


class ProgressRow(_Record, frozen=True, kw_only=True):
    """The progress of a production at a time."""

    production_id: int
    at: float
    progress: float  # from 0 to 1
    tasks_done: int


class TaskMean(_Record, frozen=True, kw_only=True):
    """The mean time and memory of the last Done tasks of a transformation."""

    tasks: int  # number of tasks in the mean
    wall_s: float
    cpu_s: float
    memory_mb: float


class CwlEnd(_Record, frozen=True, kw_only=True):
    """The end of the run of a CWL document."""

    status: str  # success, temporaryFail or permanentFail; empty: it still runs
    why: str
    outputs: Any  # as CWL has them; files have the places that clients fetch them from


class NameTaken(StoreError):
    """A transformation has the name of a step already. Nothing was stored."""

    def __init__(self, name: str, transformation_id: int, step: str) -> None:
        super().__init__(f"{name!r} is the name of transformation {transformation_id}")
        self.name, self.transformation_id, self.step = name, transformation_id, step


MEANS_OF: Final = 50  # tasks before and after the number of the last ended one

_parents = msgspec.json.Decoder(tuple[int, ...]).decode


def reserve_transformations(session: Session, count: int) -> int:
    """Reserve transformation ids; return the first. They are never given out again."""
    return session.reserve("transformation", count)


@weighs(2)
def add_production(
    session: Session, new: NewProductionRow, steps: Sequence[NewStep]
) -> ProductionRow:
    """Store a production with its steps and their transformations, or nothing.

    If the community has an active production of this name already, return that one: the caller
    compares. Raises NameTaken.
    """
    if len(steps) > STEPS_MAX:
        raise ValueError(
            f"{len(steps)} steps are too many for one transaction: the limit is {STEPS_MAX}"
        )
    named = {"community": new.community, "name": new.name}
    known = session.one("production_named", named)
    if known is not None:
        return _row(known)
    given = {**msgspec.structs.asdict(new), "state": new.state.value}
    production_id = session.reserve("production")
    session.run("insert_production", {**given, "production_id": production_id})
    if new.is_cwl:
        session.run("insert_cwl_run", {"production_id": production_id})
    _add_steps(session, production_id, steps)
    return _row(session.one("production_named", named))


def _add_steps(session: Session, production_id: int, steps: Sequence[NewStep]) -> None:
    for place, one in enumerate(steps):
        its, one_id = one.transformation, one.transformation_id
        if its is not None:
            named = {"community": its.community, "name": its.name}
            taken = session.one("transformation_named", named)
            if taken is not None:
                raise NameTaken(its.name, taken[0], one.step)
            fields = {**msgspec.structs.asdict(its), "state": its.state.value}
            session.run("insert_transformation", {**fields, "transformation_id": one_id})
        row = (production_id, place, one.step, json_list(one.parents), one_id)
        session.run("insert_production_step", row)


@weighs(2)
def correct_production(session: Session, change: Correction) -> int | None:
    """Replace the definition of a production and some of its steps, all or nothing.

    Return the production that holds the old steps, or 0 if there are none. Return None if the
    production has changed, or if an old step of a CWL document still has tasks that run.
    Raises NameTaken.
    """
    one, new, at = change.production_id, change.new, change.new.at
    ids = json_list([its for _, its in change.replaced])
    if new.is_cwl and session.one("open_tasks_of", {"ids": ids}) is not None:
        return None
    given = {
        **msgspec.structs.asdict(new),
        "production_id": one,
        "old_sha256": change.old_sha256,
        "old": change.old.value,
        "state": change.state.value,
    }
    if session.run("correct_production", given).rowcount != 1:
        return None
    holder = 0
    if change.replaced:
        holder = session.reserve("production")
        fields = {
            **msgspec.structs.asdict(change.holder),
            "state": change.holder.state.value,
            "name": f"{new.name[:NAME_KEPT]}-until-{holder}",
            "production_id": holder,
        }
        session.run("insert_production", fields)
        moved = {"ids": ids, "state": change.replaced_state.value, "holder": holder, "at": at}
        session.run("replace_transformations", moved)
    session.run("drop_production_steps", {"production_id": one})
    for place, (step, its) in enumerate(change.replaced):
        session.run("insert_production_step", (holder, place, step, "[]", its))
    _add_steps(session, one, change.steps)
    if new.is_cwl:
        session.run("begin_cwl_run_again", {"production_id": one})
        session.run("drop_cwl_jobs", {"production_id": one})
    return holder


def production(session: Session, production_id: int) -> ProductionRow | None:
    """Return a production; None: it does not exist."""
    given = {"community": None, "states": None, "after": production_id - 1, "limit": 1}
    found = session.one("productions", given)
    row = None if found is None else _row(found)
    return row if row is not None and row.production_id == production_id else None


def production_named(session: Session, community: str, name: str) -> ProductionRow | None:
    """Return the production of this name that is neither Archived nor Cleaned."""
    given = {"community": community, "name": name}
    found = session.one("production_named", given)
    return None if found is None else _row(found)


def productions(
    session: Session,
    community: str | None,
    *,
    states: Sequence[ProductionState],
    after: int,
    limit: int,
) -> list[ProductionRow]:
    """Return productions in order of id; without states, all."""
    given = {
        "community": community,
        "states": json_list([state.value for state in states]) if states else None,
        "after": after,
        "limit": limit,
    }
    return [_row(row) for row in session.rows("productions", given)]


def production_texts(session: Session, production_id: int) -> ProductionTexts | None:
    """Return the texts of a production; None: it does not exist."""
    found = session.one("production_texts", {"production_id": production_id})
    if found is None:
        return None
    return ProductionTexts(definition=bytes(found[0]), details=bytes(found[1]), rules=str(found[2]))


def production_steps(
    session: Session, production_ids: Sequence[int], *, documents: bool = False
) -> dict[int, list[StepRow]]:
    """Return the steps of each in order of place; without `documents`, documents are empty."""
    found: dict[int, list[StepRow]] = {one: [] for one in production_ids}
    given = {"productions": json_list(list(found)), "documents": documents}
    for production, place, step, parents, *row in session.rows("production_steps", given):
        found[production].append(
            StepRow(
                production_id=production,
                place=place,
                step=step,
                parents=_parents(parents),
                row=row_of(row),
            )
        )
    return found


def running_tasks(session: Session, transformation_ids: Sequence[int]) -> dict[int, int]:
    """Return the number of tasks whose jobs run, by transformation; those without are omitted."""
    given = {"transformations": json_list(list(transformation_ids))}
    return dict(session.rows("running_tasks", given))


def rules_of(session: Session, transformation_id: int) -> str | None:
    """Return the failover rules of the production of a transformation, if it has any."""
    given = {"transformation_id": transformation_id}
    found = session.one("rules_of_transformation", given)
    return None if found is None else str(found[0])


def move_production(
    session: Session,
    move: ProductionMove,
    steps: Sequence[TransformationMove] = (),
    *,
    extensions: Sequence[Extension] = (),
) -> bool:
    """Move a production and its steps: all, or none if one has changed.

    It checks all states first: no other writer can come in between.
    """
    production = {"production_id": move.production_id}
    state = session.one("state_of_production", production)
    if state is None or state[0] != move.old.value:
        return False
    for one in steps:
        at = {**production, "transformation_id": one.transformation_id, "state": one.old.value}
        if session.one("step_stands", at) is None:
            return False
    for extension in extensions:
        if session.one("step_wants", {**production, **msgspec.structs.asdict(extension)}) is None:
            return False
    given = {**msgspec.structs.asdict(move), "old": move.old.value, "new": move.new.value}
    session.run("move_production", given)
    for one in steps:
        fields = {**msgspec.structs.asdict(one), "old": one.old.value, "new": one.new.value}
        session.run("move_transformation", fields)
    for extension in extensions:
        wanted = {**msgspec.structs.asdict(extension), "at": move.at}
        session.run("extend_transformation", wanted)
    return True


def set_production_priority(
    session: Session, production_id: int, priority: int | None, at: float
) -> None:
    """Set the priority of the jobs that its steps make from now on."""
    given = {"production_id": production_id, "priority": priority, "at": at}
    session.run("set_production_priority", given)
    session.run("set_steps_priority", given)


def task_means(session: Session, transformation_ids: Sequence[int]) -> dict[int, TaskMean]:
    """Return the means of tasks; transformations without ended tasks are omitted."""
    given = {"transformations": json_list(list(transformation_ids)), "window": MEANS_OF}
    return {
        row[0]: TaskMean(tasks=row[1], wall_s=row[2], cpu_s=row[3], memory_mb=row[4])
        for row in session.rows("task_means", given)
    }


def files_made(session: Session, transformation_ids: Sequence[int]) -> tuple[int, int]:
    """Return the number of Available files that their jobs have made, and their bytes.

    The bytes are capped at BYTES_MAX.
    """
    given = {"transformations": json_list(list(transformation_ids))}
    files, size = session.one("files_made", given)
    return int(files), int(size)


def keep_samples(
    session: Session, samples: Sequence[ProgressRow], drop: Sequence[tuple[int, float]] = ()
) -> None:
    """Store samples, one for each time, and delete others, given by production and time."""
    session.many("insert_sample", [msgspec.structs.asdict(one) for one in samples])
    session.many("drop_sample", drop)


def samples(session: Session, production_id: int) -> list[ProgressRow]:
    """Return the samples of a production in order of time."""
    given = {"production_id": production_id}
    return [
        ProgressRow(production_id=row[0], at=row[1], progress=row[2], tasks_done=row[3])
        for row in session.rows("samples_of_production", given)
    ]


def cwl_end(session: Session, production_id: int) -> CwlEnd | None:
    """Return the end of a run; None: the production has no run."""
    found = session.one("cwl_run", {"production_id": production_id})
    if found is None:
        return None
    return CwlEnd(status=found[0], why=found[1], outputs=unpacked_json(found[2]) or {})


def cwl_statuses(session: Session, production_ids: Sequence[int]) -> dict[int, str]:
    """Return the statuses of runs, empty while they run; productions without one are omitted."""
    given = {"ids": json_list(list(production_ids))}
    return {row[0]: row[1] for row in session.rows("cwl_statuses", given)}


def packed_json(value: Any) -> bytes:
    """Return a value in a small form."""
    return zlib.compress(msgspec.json.encode(value), 3)


def unpacked_json(body: bytes | None) -> Any:
    """Return the value in that form; None: there is none."""
    return None if body is None else msgspec.json.decode(zlib.decompress(body))


def _row(row: Sequence[Any]) -> ProductionRow:
    given = dict(zip(ProductionRow.__struct_fields__, row, strict=True))
    return msgspec.convert(given, ProductionRow)
