"""Plans an action: the move of a production with the moves of its steps. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pilotage.proto.api.productions import ProductionAction, ProductionActionName as A
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.problems import Code
from pilotage.proto.production_states import (
    ProductionEvent,
    ProductionState,
    next_production,
    stands_alone,
)
from pilotage.proto.state_machine import IllegalTransition
from pilotage.proto.transformation_states import (
    TransformationEvent,
    TransformationState,
    next_transformation,
)

from ..errors import Refused
from ..transformations.record import TransformationMove
from .record import Extension, ProductionMove, ProductionRow, StepRow
from .states import CLOSES, OVER, below, revivals
from .whole_inputs import unlike_a_whole

P, E = ProductionState, ProductionEvent
S, V = TransformationState, TransformationEvent

_SAME: Final = {
    A.START: (P.ACTIVE,),
    A.PAUSE: (P.PAUSED,),
    A.RESUME: (P.ACTIVE,),
    A.STOP: (P.STOPPED,),
    A.ARCHIVE: (P.ARCHIVED,),
    A.CLEAN: (P.CLEANING, P.CLEANED),
}
_EVENTS: Final = {
    A.START: E.START,
    A.PAUSE: E.PAUSE,
    A.RESUME: E.RESUME,
    A.STOP: E.STOP,
    A.ARCHIVE: E.ARCHIVE,
    A.CLEAN: E.CLEAN,
}
# The steps that an action moves, by state; the others stay as they are.
_OF_STEPS: Final[Mapping[A, Mapping[TransformationState, TransformationEvent]]] = {
    A.START: {S.NEW: V.START},
    A.PAUSE: {S.ACTIVE: V.PAUSE, S.COMPLETING: V.PAUSE},
    A.RESUME: {S.NEW: V.START, S.PAUSED: V.RESUME, S.STOPPED: V.RESUME},
    A.STOP: {S.ACTIVE: V.STOP, S.PAUSED: V.STOP, S.COMPLETING: V.STOP},
    A.ARCHIVE: {S.COMPLETED: V.ARCHIVE, S.STOPPED: V.ARCHIVE},
    A.CLEAN: {one: V.CLEAN for one in S if one not in (S.CLEANING, S.CLEANED)},
}
_PAST: Final = {
    A.START: "started",
    A.PAUSE: "paused",
    A.RESUME: "resumed",
    A.STOP: "stopped",
    A.ARCHIVE: "archived",
    A.CLEAN: "cleaned",
}


@dataclass
class ProductionChange:
    """Changes that are written at once; without a move there is nothing to do."""

    move: ProductionMove | None = None
    steps: list[TransformationMove] = field(default_factory=list[TransformationMove])
    extensions: list[Extension] = field(default_factory=list[Extension])
    did: list[str] = field(default_factory=list[str])


def planned(
    row: ProductionRow,
    steps: Sequence[StepRow],
    action: ProductionAction,
    *,
    at: float,
    docs: Mapping[int, Transformation] | None = None,
) -> ProductionChange:
    """Return the changes of start, pause, resume, stop, archive, clean, complete or extend.

    `docs` are the documents of the steps, by transformation, for extend. Raises Refused if the
    action is impossible.
    """
    if action.action is A.EXTEND:
        return _extend(row, steps, action, docs or {}, at)
    if action.action is A.COMPLETE:
        return _complete(row, steps, action, at)
    return _move(row, steps, action, at)


def step_named(steps: Sequence[StepRow], name: str) -> StepRow:
    """Return the step with a name. Raises Refused with the nearest name."""
    for one in steps:
        if one.step == name:
            return one
    why = unknown(name, [one.step for one in steps], what="step")
    raise Refused(Code.INVALID, f"step: {why}", field="step")


# -- all steps ----------------------------------------------------------------------------------


def _move(
    row: ProductionRow, steps: Sequence[StepRow], action: ProductionAction, at: float
) -> ProductionChange:
    what = action.action
    if what is A.RESUME and row.state is P.NEW:
        what = A.START
    plan = ProductionChange()
    if what is A.ARCHIVE:
        _check_ended(steps)
    new = row.state if row.state in _SAME[what] else _next(row, _EVENTS[what])
    reason = action.reason or f"{_PAST[what]} with production {row.name}"
    for one in steps:
        event = _OF_STEPS[what].get(one.row.state)
        if event is None:
            continue
        move = TransformationMove(
            transformation_id=one.row.transformation_id,
            old=one.row.state,
            new=next_transformation(one.row.state, event),
            reason="" if event in (V.START, V.RESUME) else reason,
            at=at,
            judge_anew=event is V.RESUME,
            seed_anew=one.row.state is S.STOPPED and event is V.RESUME,
        )
        plan.steps.append(move)
        plan.did.append(f"step {one.step} {_PAST[what]}")
    if new is not row.state or plan.steps:
        plan.move = _moved(row, new, action.reason, at)
    return plan


def _check_ended(steps: Sequence[StepRow]) -> None:
    ended = (S.COMPLETED, S.STOPPED, S.ARCHIVED, S.CLEANED)
    for one in steps:
        if one.row.state not in ended:
            why = f"step {one.step} is {one.row.state.value}: stop the production first"
            raise Refused(Code.ILLEGAL_STATE, why, field="action")


# -- some steps ---------------------------------------------------------------------------------


def _complete(
    row: ProductionRow, steps: Sequence[StepRow], action: ProductionAction, at: float
) -> ProductionChange:
    """Close steps that look for files: the engine completes them after their last task."""
    if row.state not in (P.ACTIVE, P.PAUSED):
        raise _cannot(row, "completed")
    if action.step is not None:
        some = [step_named(steps, action.step)]
        if some[0].row.tasks_wanted:
            why = f"step {action.step} takes no files: it completes after its last task"
            raise Refused(Code.ILLEGAL_STATE, why, field="step")
    else:
        some = [one for one in steps if not one.parents and not one.row.tasks_wanted]
        if not some:
            why = "no step takes files of the catalogue: the production completes by itself"
            raise Refused(Code.ILLEGAL_STATE, why, field="action")
    plan = ProductionChange()
    for one in some:
        if one.row.closing or one.row.state not in (S.ACTIVE, S.PAUSED, S.COMPLETING):
            continue
        if not action.anyway:
            _check_fed(steps, one)
        its = one.row
        plan.steps.append(
            TransformationMove(
                transformation_id=its.transformation_id,
                old=its.state,
                new=its.state,
                reason=its.reason,
                at=at,
                closing=True,
            )
        )
        plan.did.append(f"step {one.step} takes no more files")
    if plan.steps:
        plan.move = _moved(row, row.state, action.reason, at)
    return plan


def _check_fed(steps: Sequence[StepRow], one: StepRow) -> None:
    """Raise Refused if a step that feeds this one may still make files."""
    for place in one.parents:
        parent = steps[place]
        if parent.row.state not in OVER:
            why = (
                f"step: step {parent.step} is {parent.row.state.value}, and step {one.step} would "
                f"continue without the files that {parent.step} still makes: wait until "
                f"{parent.step} is Completed, or add `anyway`"
            )
            raise Refused(Code.ILLEGAL_STATE, why, field="step")


def _extend(
    row: ProductionRow,
    steps: Sequence[StepRow],
    action: ProductionAction,
    docs: Mapping[int, Transformation],
    at: float,
) -> ProductionChange:
    """Give a step without inputs more tasks; let others look for inputs again, with later steps."""
    new = _next(row, E.MORE)
    plan = ProductionChange()
    if action.step is None:
        if action.tasks:
            raise Refused(Code.INVALID, "step: give the step that makes more tasks", field="step")
        some = [one for one in steps if not one.parents and not one.row.tasks_wanted]
        if not some:
            why = "step: no step takes files of the catalogue: give the step that makes more tasks"
            raise Refused(Code.INVALID, why, field="step")
    else:
        some = [step_named(steps, action.step)]
    for one in some:
        if one.row.tasks_wanted:
            plan.extensions += _extension(one, action)
            plan.did += [f"step {one.step} makes {it.new - it.old} more" for it in plan.extensions]
        else:
            if action.tasks:
                why = f"tasks: step {one.step} makes tasks from its inputs: give no number"
                raise Refused(Code.INVALID, why, field="tasks")
            plan.did.append(f"step {one.step} looks for files again")
    is_said_again = action.tasks and not plan.extensions  # it was checked at the first request
    if not action.anyway and not is_said_again:
        _check_wholes(row, steps, docs, some)
    revive(plan, row, steps, some, at)
    if plan.steps or plan.extensions:
        plan.move = _moved(row, new, action.reason, at)
    return plan


def _check_wholes(
    row: ProductionRow,
    steps: Sequence[StepRow],
    docs: Mapping[int, Transformation],
    some: Sequence[StepRow],
) -> None:
    """Raise Refused if the added files would give other results than all files together."""
    wrong = unlike_a_whole(steps, docs, some)
    if wrong:
        why = (
            f"step: {'; '.join(wrong)}: `rerun` {row.name} under another name, not started, "
            "`extend` and `start` it; or add `anyway`"
        )
        raise Refused(Code.ILLEGAL_STATE, why, field="step")


def _extension(one: StepRow, action: ProductionAction) -> list[Extension]:
    if not action.tasks:
        why = f"tasks: step {one.step} takes no files: give the number of tasks to add"
        raise Refused(Code.INVALID, why, field="tasks")
    if action.tasks == one.row.tasks_wanted:
        return []
    if action.was != one.row.tasks_wanted or action.tasks < action.was:
        raise Refused(
            Code.ILLEGAL_STATE,
            f"tasks: step {one.step} has {one.row.tasks_wanted} tasks now, not {action.was}, "
            f"and {action.tasks} must be more: read it again, then repeat",
            field="tasks",
        )
    one_id = one.row.transformation_id
    return [Extension(transformation_id=one_id, old=action.was, new=action.tasks)]


def more(
    row: ProductionRow,
    steps: Sequence[StepRow],
    some: Sequence[StepRow],
    *,
    reason: str,
    at: float,
) -> ProductionChange:
    """Return the changes that make some steps work again, with the steps below them."""
    plan = ProductionChange()
    revive(plan, row, steps, some, at, seed_anew=False)
    if plan.steps or row.state is P.COMPLETED:
        plan.move = _moved(row, _next(row, E.MORE), reason, at)
    return plan


def caught_up(row: ProductionRow, steps: Sequence[StepRow], *, at: float) -> ProductionChange:
    """Return the changes that revive steps whose parents work again."""
    plan = ProductionChange()
    for one in revivals(steps):
        plan.steps.append(_revived(row, one, at, seed_anew=True))
    if plan.steps:
        plan.move = _moved(row, row.state, "", at)
    return plan


def revive(
    plan: ProductionChange,
    row: ProductionRow,
    steps: Sequence[StepRow],
    some: Sequence[StepRow],
    at: float,
    *,
    seed_anew: bool = True,
) -> None:
    """Add the changes that make steps work again, with the closed steps below them."""
    for one in some:
        looks = seed_anew and not one.row.tasks_wanted
        if not seed_anew and row.state is P.ACTIVE and stands_alone(one.row.state, P.ACTIVE):
            was = f"it was {one.row.state.value.lower()}"
            plan.did.append(f"step {one.step} is resumed: {one.row.reason or was}")
        elif one.row.state in CLOSES and not seed_anew:
            plan.did.append(f"step {one.step} works again: it was {one.row.state.value}")
        elif one.row.state not in CLOSES and not looks:
            continue
        if one.row.state not in (S.ARCHIVED, S.CLEANING, S.CLEANED):
            plan.steps.append(_revived(row, one, at, seed_anew=looks, resume=not seed_anew))
    for one in below(steps, some):
        if one.row.state in CLOSES:
            plan.steps.append(_revived(row, one, at, seed_anew=True))
            plan.did.append(f"step {one.step} works again on the new files")


def _revived(
    row: ProductionRow, one: StepRow, at: float, *, seed_anew: bool, resume: bool = False
) -> TransformationMove:
    """Return the move of a step that gets more work, to the state that fits its production."""
    event = V.MORE
    if resume and row.state is P.ACTIVE and stands_alone(one.row.state, P.ACTIVE):
        event = V.RESUME
    new = next_transformation(one.row.state, event)
    if new is S.ACTIVE and row.state is P.PAUSED:
        new = next_transformation(new, V.PAUSE)
    elif new is S.ACTIVE and row.state is P.STOPPED:
        new = next_transformation(new, V.STOP)
    return TransformationMove(
        transformation_id=one.row.transformation_id,
        old=one.row.state,
        new=new,
        reason="" if new is S.ACTIVE else one.row.reason,
        at=at,
        closing=False if seed_anew else None,
        seed_anew=seed_anew or (event is V.RESUME and one.row.state is S.STOPPED),
        judge_anew=event is V.RESUME,
    )


def _moved(row: ProductionRow, new: ProductionState, reason: str, at: float) -> ProductionMove:
    """Return the move; without a new reason the old one holds until the state changes."""
    kept = row.reason if new is row.state else ""
    return ProductionMove(
        production_id=row.production_id, old=row.state, new=new, reason=reason or kept, at=at
    )


def _next(row: ProductionRow, event: ProductionEvent) -> ProductionState:
    try:
        return next_production(row.state, event)
    except IllegalTransition as why:
        raise Refused(Code.ILLEGAL_STATE, f"{why}", field="action") from None


def _cannot(row: ProductionRow, what: str) -> Refused:
    text = f"a production that is {row.state.value} cannot be {what}"
    return Refused(Code.ILLEGAL_STATE, text, field="action")
