"""How a transformation stands, in the terms of the rules. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.failures import FailureClass
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

from ..transformations.record import StateCounts, TransformationRow
from ..transformations.repairs import WHOLE
from .decisions import TransformationFacts
from .record import EndedTask, FailoverRow, HeldTask
from .report import RemainingWork
from .rules import ParentState

FIRST_OF: Final = 10  # tasks that tell a wrong description
LAST_OF: Final = 100
GONE: Final = "outputs gone: "  # mark: of so many tasks, that was told
DONE: Final = frozenset(
    {
        TransformationState.COMPLETED,
        TransformationState.ARCHIVED,
        TransformationState.CLEANING,
        TransformationState.CLEANED,
    }
)
# A bad file never is processed: it does not hold up the others. The other two are somewhere else.
_NOT_COUNTED: Final = frozenset({InputState.PROBLEMATIC, InputState.REMOVED, InputState.MOVED})


class Parents(msgspec.Struct, frozen=True, kw_only=True):
    """The transformations that make the inputs of one."""

    how: ParentState = ParentState.NONE
    type: str = ""  # of their jobs; of several the first
    busy: bool = False


def parents_of(
    doc: Transformation,
    rows: Mapping[int, tuple[TransformationRow, Transformation]],
    counts: Mapping[int, StateCounts],
) -> Parents:
    """Return how far the parents are; one that is gone is done."""
    ids = [int(one.from_) for one in doc.inputs if one.from_]
    known = [(rows[one][0], rows[one][1], counts[one]) for one in ids if one in rows]
    if not ids:
        return Parents()
    return Parents(
        how=ParentState.DONE if all(row.state in DONE for row, _, _ in known) else ParentState.OPEN,
        type=known[0][1].job.type if known else "",
        busy=any(
            tasks.tasks.get(TaskState.CREATED, 0) > 0 or row.tasks_made < row.tasks_wanted
            for row, _, tasks in known
        ),
    )


def ends_of(
    row: TransformationRow,
    before: FailoverRow,
    ends: Sequence[EndedTask],
    classes: Mapping[int, FailureClass],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what the first and the last tasks failed of, those of the last cycle added.

    `classes`: by task. What was killed or lost says nothing, nor what ended before somebody has
    looked and let it go on.
    """
    new = [
        classes[end.task_id].value if end.task_id in classes else ""
        for end in ends
        if end.state in (TaskState.DONE, TaskState.FAILED) and end.ended_at > row.judged_from
    ]
    is_anew = row.judged_from > before.judged_from
    first, last = ((), ()) if is_anew else (before.first, before.last)
    return (*first, *new)[:FIRST_OF], (*last, *new)[-LAST_OF:]


def facts_of(
    row: TransformationRow,
    doc: Transformation,
    counts: StateCounts,
    *,
    before: FailoverRow,
    now: FailoverRow,
    parents: Parents,
    held: Sequence[HeldTask],
    new_failures: int,
    step: str,
) -> TransformationFacts:
    """Return what the rules look at."""
    states = once(doc, counts)
    whole, size = doc.grouping.rule in WHOLE, doc.grouping.size
    held = [one for one in held if one.inputs]
    return TransformationFacts(
        type=doc.job.type,
        state=row.state,
        parent=parents.how,
        parent_type=parents.type,
        parent_busy=parents.busy,
        inputs=inputs_of(doc, counts),
        processed=states.get(InputState.PROCESSED, 0),
        unused=states.get(InputState.UNUSED, 0),
        group_size=size if doc.grouping.rule != "bytes" else 1 << 30,
        tasks=row.tasks_made,
        tasks_open=counts.tasks.get(TaskState.CREATED, 0),
        failed_inputs=sum(one.inputs for one in held),
        quiet=before.cycle > 0 and _is_as_before(before, now) and row.seeded,
        may_flush=not whole and doc.grouping.partial != "never" and not row.flushing,
        flushes=before.flushes,
        reassigns=min((one.reassigned for one in held), default=0),
        new_failures=new_failures,
        first=[FailureClass(one) if one else None for one in now.first],
        last=[FailureClass(one) if one else None for one in now.last],
        step=step,
    )


def _is_as_before(before: FailoverRow, now: FailoverRow) -> bool:
    """Whether no input has come since the last cycle, and nobody has resumed it since."""
    return (before.inputs, before.judged_from) == (now.inputs, now.judged_from)


def inputs_of(doc: Transformation, counts: StateCounts) -> int:
    """Return how many inputs a transformation has that can be processed."""
    return sum(n for state, n in once(doc, counts).items() if state not in _NOT_COUNTED)


def once(doc: Transformation, counts: StateCounts) -> dict[InputState, int]:
    """Return how many files of the inputs that are used once stand in each state."""
    found: dict[InputState, int] = {}
    for (number, state), files in counts.inputs.items():
        if number < len(doc.inputs) and doc.inputs[number].use == "once":
            found[state] = found.get(state, 0) + files
    return found


def standing_of(row: TransformationRow, doc: Transformation, counts: StateCounts) -> RemainingWork:
    """Return what is left of a transformation, for people."""
    states = once(doc, counts)
    return RemainingWork(
        name=row.name,
        state=row.state.value,
        tasks_open=counts.tasks.get(TaskState.CREATED, 0),
        inputs_unused=states.get(InputState.UNUSED, 0),
        inputs_problematic=states.get(InputState.PROBLEMATIC, 0),
        inputs_given_up=states.get(InputState.STUCK, 0),
    )
