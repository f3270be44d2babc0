"""The facts about a transformation that the rules use. Pure."""

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

FIRST_OF: Final = 10  # tasks that reveal a wrong description
LAST_OF: Final = 100
GONE: Final = "outputs gone: "  # mark: of the tasks that a report named
DONE: Final = frozenset(
    {
        TransformationState.COMPLETED,
        TransformationState.ARCHIVED,
        TransformationState.CLEANING,
        TransformationState.CLEANED,
    }
)
# A bad file is never processed: it must not delay the others. The other two are elsewhere.
_NOT_COUNTED: Final = frozenset({InputState.PROBLEMATIC, InputState.REMOVED, InputState.MOVED})


class Parents(msgspec.Struct, frozen=True, kw_only=True):
    """The transformations that make the inputs of one."""

    how: ParentState = ParentState.NONE
    type: str = ""  # of their jobs; if there are several, of the first
    busy: bool = False


def parents_of(
    doc: Transformation,
    rows: Mapping[int, tuple[TransformationRow, Transformation]],
    counts: Mapping[int, StateCounts],
    *,
    may_bring: bool = False,
) -> Parents:
    """Return the state of the parents; a parent that does not exist any more is done.

    `may_bring`: the catalogue may bring more files, until a user says otherwise. It then counts as
    an open parent.
    """
    is_fed = may_bring and any(one.use == "once" and not one.from_ for one in doc.inputs)
    ids = [int(one.from_) for one in doc.inputs if one.from_]
    known = [(rows[one][0], rows[one][1], counts[one]) for one in ids if one in rows]
    if not ids:
        return Parents(how=ParentState.OPEN if is_fed else ParentState.NONE)
    over = not is_fed and all(row.state in DONE for row, _, _ in known)
    return Parents(
        how=ParentState.DONE if over else ParentState.OPEN,
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
    """Return the failures of the first and of the last tasks, those of earlier cycles included.

    `classes`: by task. Killed and lost tasks do not count, nor those that ended before a user
    resumed the transformation.
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
    """Return the facts that the rules use."""
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
    """Return whether no input has come and no user has resumed it since the last cycle."""
    return (before.inputs, before.judged_from) == (now.inputs, now.judged_from)


def inputs_of(doc: Transformation, counts: StateCounts) -> int:
    """Return the number of inputs that can be processed."""
    return sum(n for state, n in once(doc, counts).items() if state not in _NOT_COUNTED)


def once(doc: Transformation, counts: StateCounts) -> dict[InputState, int]:
    """Return the number of files by state, of the inputs that are used once."""
    found: dict[InputState, int] = {}
    for (number, state), files in counts.inputs.items():
        if number < len(doc.inputs) and doc.inputs[number].use == "once":
            found[state] = found.get(state, 0) + files
    return found


def standing_of(row: TransformationRow, doc: Transformation, counts: StateCounts) -> RemainingWork:
    """Return the remaining work of a transformation, for reports."""
    states = once(doc, counts)
    return RemainingWork(
        name=row.name,
        state=row.state.value,
        tasks_open=counts.tasks.get(TaskState.CREATED, 0),
        inputs_unused=states.get(InputState.UNUSED, 0),
        inputs_problematic=states.get(InputState.PROBLEMATIC, 0),
        inputs_given_up=states.get(InputState.STUCK, 0),
    )
