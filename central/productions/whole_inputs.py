"""Protects steps that take all files together: later files would give other results. Pure.

A step that gathers `all` makes its task when no more files will come. If more come later, it makes
another task from the new files only. A shared port without a count gives later tasks the files of
both rounds.
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
    """Return the faults: steps whose result would not be the same as without failures.

    Steps in `again` retry their files in `states`. A step whose tasks have all failed has not run:
    its files come together again, if none of them stays stuck.
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
                f"step {one.step} has taken {used} files together, and would take {fresh} in "
                "another task"
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
    """Return the faults: steps that would give other results with all files from the start.

    These steps have run, and the steps `some` above them make more files. `steps` has parents
    before children, `docs` their documents by transformation, and `ran` the steps that have run
    (None: all steps with tasks).

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
                "take the new ones in another task"
            )
        if has_run and whole:
            found.append(
                f"step {one.step} takes all files of {_several(whole)} for each task, and new "
                "tasks would get other files than earlier tasks"
            )
    return found


def _several(names: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(names))
