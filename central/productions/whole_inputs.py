"""Steps that take all files of others: what they have made is not that of more files. Pure.

A step that gathers `all` makes its task when nothing more will come. Where more comes after that,
it makes another one, of the new files alone; and a shared port without a count gives later tasks
what was made both times.
"""

from collections.abc import Collection, Mapping, Sequence

from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.documents.workflow import ALL
from pilotage.proto.transformation_states import InputState, TaskState

from ..transformations.missing_outputs import STUCK
from ..transformations.record import StateCounts
from ..transformations.task_ends import inputs
from .record import StepRow


def unlike_when_fixed(
    steps: Sequence[StepRow],
    docs: Mapping[int, Transformation],
    counts: Mapping[int, StateCounts],
    again: Collection[str],
    states: Sequence[InputState],
) -> list[str]:
    """Return which steps would not do what they do where nothing had failed.

    Of the steps that are named in `again`, files in `states` are tried again. A step whose tasks
    have all failed has not run: what it takes comes together once more, if none of it stays stuck.
    """
    found: list[str] = []
    ran: set[str] = set()
    for one in steps:
        count = counts[one.row.transformation_id]
        tried = states if one.step in again else ()
        is_left = any(inputs(count, state) for state in STUCK if state not in tried)
        runs = sum(count.tasks.get(state, 0) for state in (TaskState.CREATED, TaskState.DONE))
        if runs or (one.row.tasks_made and is_left):
            ran.add(one.step)
        fresh = sum(inputs(count, state) for state in (*tried, InputState.UNUSED))
        used = inputs(count, InputState.PROCESSED) + inputs(count, InputState.ASSIGNED)
        is_whole = docs[one.row.transformation_id].grouping.rule == ALL
        if one.step in again and is_whole and fresh and used:
            found.append(
                f"step {one.step} has taken {used} files together, and would take {fresh} alone"
            )
    some = [one for one in steps if one.step in again]
    return found + unlike_a_whole(steps, docs, some, ran=ran)


def unlike_a_whole(
    steps: Sequence[StepRow],
    docs: Mapping[int, Transformation],
    some: Sequence[StepRow],
    *,
    ran: Collection[str] | None = None,
) -> list[str]:
    """Return which steps would not do what they do where all is there from the start.

    They have run, and `some` steps above make more. `steps` come parents before children, `docs`
    are their documents by transformation, `ran` the steps that have run; None: all with tasks.
    """
    if ran is None:
        ran = {one.step for one in steps if one.row.tasks_made}
    names = {str(one.row.transformation_id): one.step for one in steps}
    makes_more = {str(one.row.transformation_id) for one in some}
    found: list[str] = []
    for one in steps:
        doc, has_run = docs[one.row.transformation_id], one.step in ran
        fed = [its for its in doc.inputs if its.from_ in makes_more]
        grouped = [names[its.from_] for its in fed if its.use == "once"]
        whole = [names[its.from_] for its in fed if its.use == "shared" and not its.count]
        if grouped:
            makes_more.add(str(one.row.transformation_id))
        if has_run and grouped and doc.grouping.rule == ALL:
            found.append(
                f"step {one.step} has taken all files of {_several(grouped)} together, and would "
                "take the new ones alone"
            )
        if has_run and whole:
            found.append(
                f"step {one.step} takes all files of {_several(whole)} for each task, and new "
                "tasks would get others than those before"
            )
    return found


def _several(names: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(names))
