"""Steps that take files of the catalogue until `prod complete` says that no more come. Pure."""

from typing import Final

from pilotage.proto.api.productions import ProductionView, StepView
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import TaskState, TransformationState

GOES_ON: Final = "waits: "  # prefix of the reason of a step that continues by itself


def steps_to_complete(view: ProductionView) -> list[StepView]:
    """Return the steps that all other steps wait for, and that only `prod complete` ends.

    There are none while a task runs, or while a step still has files or tasks ahead.
    """
    if view.state is not ProductionState.ACTIVE:
        return []
    if any(one.tasks.get(TaskState.CREATED) for one in view.steps):
        return []
    over = {one.step for one in view.steps if one.state is TransformationState.COMPLETED}
    heads = [one for one in view.steps if one.step not in over and over.issuperset(one.parents)]
    return heads if all(map(_looks_for_files, heads)) else []


def _looks_for_files(step: StepView) -> bool:
    if step.parents or step.tasks_wanted or step.state is not TransformationState.ACTIVE:
        return False
    if step.reason.startswith(GOES_ON):  # it has files, and makes tasks from them later
        return False
    return not {"looking for inputs", "closing"}.intersection(step.marks)
