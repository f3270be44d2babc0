"""Estimates the tasks of each step of a production, and the progress of all. Pure.

The inputs of a step are unknown until its parents are done. The plan gives a first estimate, and
each task of the parents makes the real ratio count more.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pilotage.proto.documents.workflow import ALL, COUNT, Step, Workflow
from pilotage.proto.transformation_states import InputState, TaskState

from ..transformations.missing_outputs import COUNTED, STUCK
from ..workflows import graph
from ..workflows.plan import StepPlan, WorkflowPlan

PLAN_TASKS: Final = 3  # the plan weighs as much as this number of ended tasks
LEFT: Final = (InputState.UNUSED, InputState.ASSIGNED)


@dataclass(frozen=True)
class StepStanding:
    """The counts of the transformation of a step."""

    is_over: bool = False  # Completed or Archived: for now it has nothing left to do
    inputs: Mapping[InputState, int] = field(default_factory=dict[InputState, int])  # used once
    tasks: Mapping[TaskState, int] = field(default_factory=dict[TaskState, int])
    tasks_wanted: int = 0  # for a step without inputs: the tasks asked for
    task_s: float | None = None  # mean time of a task; None: unknown yet

    @property
    def done(self) -> int:
        return self.tasks.get(TaskState.DONE, 0)

    @property
    def ended(self) -> int:
        return sum(self.tasks.values()) - self.open

    @property
    def open(self) -> int:
        return self.tasks.get(TaskState.CREATED, 0)

    @property
    def files(self) -> int:
        """Return the number of its files, without removed and moved ones."""
        return sum(self.inputs.get(state, 0) for state in COUNTED)

    @property
    def stuck(self) -> int:
        """Return the files that no task takes until a user acts: nothing is made from them."""
        return sum(self.inputs.get(state, 0) for state in STUCK)


@dataclass(frozen=True)
class StepProgress:
    """The progress of a step. A failed task whose files are retried is not counted."""

    expected: int | None  # estimate of all its tasks; None: unknown yet
    exact: bool
    done: float  # from 0 to 1


@dataclass(frozen=True)
class ProductionProgress:
    """The progress of a production."""

    steps: Mapping[str, StepProgress]
    whole: float  # from 0 to 1: steps weighted by the time of their tasks


@dataclass(frozen=True)
class _Ahead:
    """The estimate for a step: all of its tasks, and those still to end."""

    tasks: float | None
    left: float | None  # without an action by a user: stuck files do not count
    exact: bool


def progress(
    workflow: Workflow, planned: WorkflowPlan, stands: Mapping[str, StepStanding]
) -> ProductionProgress:
    """Return the progress of each step, and of all together.

    `planned` is the plan of the workflow, with the known numbers of catalogue files.
    """
    plans = {one.step: one for one in planned.steps}
    ahead: dict[str, _Ahead] = {}
    for name in graph.order(workflow):
        step, stand = workflow.steps[name], stands[name]
        if not _takes_files(workflow, step):
            ahead[name] = _counted(stand)
        else:
            ahead[name] = _grouped(workflow, name, plans, stands, ahead)
    steps = {name: _shown(stands[name], one) for name, one in ahead.items()}
    return ProductionProgress(steps, _whole(steps, stands))


def _takes_files(workflow: Workflow, step: Step) -> bool:
    return any(graph.brings_files(workflow, given) for given in step.inputs.values())


def _counted(stand: StepStanding) -> _Ahead:
    """Return the estimate for a step with a fixed number of tasks: each of them ends once."""
    return _Ahead(stand.tasks_wanted, max(0, stand.tasks_wanted - stand.ended), True)


def _grouped(
    workflow: Workflow,
    name: str,
    plans: Mapping[str, StepPlan],
    stands: Mapping[str, StepStanding],
    ahead: Mapping[str, _Ahead],
) -> _Ahead:
    """Return the estimate for a step whose tasks are groups of files."""
    step, stand, mine = workflow.steps[name], stands[name], plans[name]
    stuck = _groups(workflow, step, stand, mine, stand.stuck)
    if stand.is_over:
        return _Ahead(stand.done + stuck, 0, True)
    feeders = _feeding(workflow, step)
    closed = bool(feeders) and all(ahead[parent].left == 0 for parent in feeders)
    coming: float | None = 0.0
    if not feeders:  # the catalogue may always bring more: count the files that have come
        coming = 0.0 if stand.files else _planned_files(workflow, step, mine)
    elif not closed:
        coming = _coming(workflow, name, plans, stands, ahead)
    if coming is None:
        return _Ahead(None, None, False)
    left = sum(stand.inputs.get(state, 0) for state in LEFT)
    groups = _groups(workflow, step, stand, mine, stand.inputs.get(InputState.UNUSED, 0) + coming)
    tasks = stand.done + stand.open + groups
    if _is_whole(workflow, step) and (left or coming or tasks):
        tasks, stuck = max(1.0, stand.done + min(1.0, groups + stand.open)), 0.0
    sure = closed and all(ahead[parent].exact for parent in feeders)
    return _Ahead(tasks + stuck, max(0.0, tasks - stand.done), sure and groups == 0)


def _coming(
    workflow: Workflow,
    name: str,
    plans: Mapping[str, StepPlan],
    stands: Mapping[str, StepStanding],
    ahead: Mapping[str, _Ahead],
) -> float | None:
    """Return how many files parents will still bring, judged by their tasks so far."""
    feeding = _feeding(workflow, workflow.steps[name])
    left = [ahead[parent].left for parent in feeding]
    if any(one is None for one in left):
        return None
    ended = sum(stands[parent].done for parent in feeding)
    tasks = [plans[parent].tasks.count for parent in feeding]
    files = _planned_files(workflow, workflow.steps[name], plans[name])
    a_task = _blend(
        stands[name].files,
        ended,
        files,
        None if None in tasks else sum(filter(None, tasks)),
    )
    return None if a_task is None else a_task * sum(filter(None, left))


def _groups(
    workflow: Workflow, step: Step, stand: StepStanding, mine: StepPlan, files: float
) -> float:
    """Return the number of tasks for files that are in no task yet."""
    if not files:
        return 0.0
    rule = graph.grouping_of(workflow, step)
    once = graph.once_ports(workflow, step)
    if len(once) == 1 and rule.rule == COUNT:
        whole = math.floor if rule.partial == "never" else math.ceil
        return float(whole(round(files, 6) / rule.size))
    processed = stand.inputs.get(InputState.PROCESSED, 0)
    planned = _planned_files(workflow, step, mine)
    size = _blend(processed, stand.done, planned, mine.tasks.count) or 1.0
    return math.ceil(round(files / size, 6))


def _blend(
    found: float, of: float, planned: float | None, of_planned: float | None
) -> float | None:
    """Return the ratio, from the found and planned values; None: neither is known."""
    weight = PLAN_TASKS if planned is not None and of_planned else 0
    if not of + weight:
        return None
    per = planned / of_planned if weight and planned is not None and of_planned else 0.0
    return (found + weight * per) / (of + weight)


def _planned_files(workflow: Workflow, step: Step, mine: StepPlan) -> float | None:
    """Return the planned number of files of a step that are used once."""
    amounts = [mine.inputs[port].count for port in _ports(workflow, step) if port in mine.inputs]
    return None if None in amounts or not amounts else float(sum(filter(None, amounts)))


def _ports(workflow: Workflow, step: Step) -> Sequence[str]:
    """Return the ports whose files make the tasks."""
    ports = [one for one, given in step.inputs.items() if graph.brings_files(workflow, given)]
    once = graph.once_ports(workflow, step) or [one for one in ports if one in step.scatter]
    return once or [one for one in ports if step.inputs[one].use == "once"] or ports


def _feeding(workflow: Workflow, step: Step) -> list[str]:
    """Return the steps that bring the files for tasks."""
    ports = _ports(workflow, step)
    return list(dict.fromkeys(one.step for port in ports for one in step.inputs[port].sources))


def _is_whole(workflow: Workflow, step: Step) -> bool:
    """Return whether all files of a step make one task."""
    if graph.once_ports(workflow, step):
        return graph.grouping_of(workflow, step).rule == ALL
    return not step.scatter


def _shown(stand: StepStanding, ahead: _Ahead) -> StepProgress:
    if ahead.tasks is None or ahead.left is None:
        return StepProgress(None, False, 0.0)
    expected = max(math.ceil(round(ahead.tasks, 6)), stand.done)
    if not expected:  # only a step that is over will surely make nothing
        part = 1.0 if stand.is_over else 0.0
    else:
        part = min(1.0, stand.done / ahead.tasks) if ahead.tasks else 0.0
    return StepProgress(expected, ahead.exact, max(0.0, part))


def _whole(steps: Mapping[str, StepProgress], stands: Mapping[str, StepStanding]) -> float:
    """Return the progress of all steps, each weighted by the total time of its tasks."""
    known = [stand.task_s for stand in stands.values() if stand.task_s]
    usual = sum(known) / len(known) if known else 1.0
    counts = [one.expected for one in steps.values() if one.expected is not None]
    unknown = max(counts, default=1)  # for a step without an estimate
    done = total = 0.0
    for name, one in steps.items():
        tasks = unknown if one.expected is None else max(1, one.expected)
        weight = tasks * (stands[name].task_s or usual)
        done += weight * one.done
        total += weight
    return done / total if total else 0.0
