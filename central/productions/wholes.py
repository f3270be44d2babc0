"""Steps that take all files of others: what they have made is not that of more files. Pure.

A step that gathers `all` makes its task when nothing more will come. Where more comes after that,
it makes another one, of the new files alone; and a shared port without a count gives later tasks
what was made both times.
"""

from collections.abc import Mapping, Sequence

from pilotage.proto.transformation import Transformation
from pilotage.proto.workflow import ALL

from ..store.productions import StepRow


def unlike_a_whole(
    steps: Sequence[StepRow], docs: Mapping[int, Transformation], some: Sequence[StepRow]
) -> list[str]:
    """Return which steps would not do what they do where all is there from the start.

    They have run, and `some` steps above make more. `steps` come parents before children, `docs`
    are their documents by transformation.
    """
    names = {str(one.row.transformation_id): one.step for one in steps}
    makes_more = {str(one.row.transformation_id) for one in some}
    found: list[str] = []
    for one in steps:
        doc, has_run = docs[one.row.transformation_id], one.row.tasks_made > 0
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
