"""Says why tasks of a production were not reused. Pure."""

from collections.abc import Iterable
from typing import Final

from ..transformations.reuse.record import NotReused
from .definition import Definition

NEW: Final = "no equal earlier task had a result that could be reused"
OFF: Final = "reuse is off (--no-reuse)"
_NEVER: Final = (
    "jobs with datasets, queries or tokens of their own, or with fixed output names, are not reused"
)
_NEVER_CWL: Final = (
    "the tool is not reused: it stores files in the catalogue or changes them in place, "
    "WorkReuse is off, or the content of an input is not known"
)


def reasons_of(
    definition: Definition, step: str, counts: Iterable[NotReused], transformation_id: int
) -> dict[str, int]:
    """Return the number of tasks of a step that were run, by the reason; none if it asks for none.

    The file of the user must ask for reuse; documents of CWL do it by themselves.
    """
    is_cwl, workflow = definition.cwl is not None, definition.workflow
    if not is_cwl and not (step in workflow.steps and workflow.reuses(step)):
        return {}
    never = _NEVER_CWL if is_cwl else _NEVER
    return {
        (OFF if not definition.reuse else never if one.is_never else NEW): one.tasks
        for one in counts
        if one.transformation_id == transformation_id
    }
