"""Plans a workflow: the number of tasks and files of each step. Pure.

It counts from the definition: the files of a task, the possible values of keys. If values are known
only from the files, it assumes an even spread, and marks the number as not exact.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pilotage.proto.documents.workflow import ALL, COUNT, JOIN, KEY, Step, StepInput, Workflow

from . import graph
from .flow import WorkflowFile, matching
from .metadata_keys import KeyTable, KeyValues, agreed, key_table, query_of


@dataclass(frozen=True)
class PlannedCount:
    """A number, if it can be planned; None: unknown."""

    count: int | None
    exact: bool = True

    def __str__(self) -> str:
        if self.count is None:
            return "?"
        return f"{self.count}" if self.exact else f"≈ {self.count}"


NONE = PlannedCount(0)
UNKNOWN = PlannedCount(None, exact=False)


@dataclass(frozen=True)
class StepPlan:
    """The plan of one step."""

    step: str
    tasks: PlannedCount
    inputs: Mapping[str, PlannedCount]  # files by port
    outputs: Mapping[str, PlannedCount]
    names: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])


@dataclass(frozen=True)
class WorkflowPlan:
    """The plan of a workflow, parents first."""

    steps: tuple[StepPlan, ...]

    @property
    def tasks(self) -> PlannedCount:
        return _sum([one.tasks for one in self.steps])

    @property
    def files(self) -> PlannedCount:
        return _sum([amount for one in self.steps for amount in one.outputs.values()])


def plan(
    workflow: Workflow,
    catalogue: Sequence[WorkflowFile] | None = None,
    *,
    counted: Mapping[tuple[str, str], PlannedCount] | None = None,
) -> WorkflowPlan:
    """Return the plan of a checked workflow; without a catalogue, its files are unknown.

    `counted` has numbers of catalogue files, by step and port.
    """
    table = key_table(workflow)
    made: dict[tuple[str, str], PlannedCount] = {}
    tasks: dict[str, PlannedCount] = {}
    found: list[StepPlan] = []
    for name in graph.order(workflow):
        step = workflow.steps[name]
        inputs: dict[str, PlannedCount] = {}
        names: dict[str, list[str]] = {}
        for port, given in step.inputs.items():
            if not graph.brings_files(workflow, given):
                continue
            if given.is_catalogue and counted is not None:
                amount = counted[name, port]
            elif given.is_catalogue:
                files = None if catalogue is None else matching(given, catalogue)
                amount = UNKNOWN if files is None else PlannedCount(len(files))
                names[port] = [file.name for file in files or ()]
            else:
                amount = _sum([_share(given, table, made, i) for i in range(len(given.sources))])
            inputs[port] = _at_most(amount, given.files_max)
        tasks[name] = _tasks(workflow, name, step, inputs, tasks, table)
        outputs = {
            port: _made(step, port, tasks[name], inputs)
            for port, output in step.outputs.items()
            if not output.value
        }
        for port, amount in outputs.items():
            made[name, port] = amount
        found.append(StepPlan(name, tasks[name], inputs, outputs, names))
    return WorkflowPlan(tuple(found))


def _sum(amounts: Sequence[PlannedCount]) -> PlannedCount:
    if any(one.count is None for one in amounts):
        return UNKNOWN
    return PlannedCount(sum(one.count or 0 for one in amounts), all(one.exact for one in amounts))


def _at_most(amount: PlannedCount, most: int) -> PlannedCount:
    if not most or amount.count is None or amount.count <= most:
        return amount
    return PlannedCount(most, amount.exact)


def _share(
    given: StepInput, table: KeyTable, made: Mapping[tuple[str, str], PlannedCount], which: int
) -> PlannedCount:
    """Return the number of a source's files that meet the conditions of the port."""
    source = given.sources[which]
    port = (source.step, source.port)
    amount, keys = made.get(port, NONE), table.made.get(port, {})
    if amount.count is None or not given.where:
        return amount
    query = query_of(given.where)
    part, exact = 1.0, True
    for condition in query.conditions:
        there = keys.get(condition.key, KeyValues()).values
        if there is None:
            exact = False
            continue
        fit = sum(condition.meets(value) for value in there) / len(there)
        exact = exact and fit in (0.0, 1.0)
        part *= fit
    return PlannedCount(math.ceil(amount.count * part), amount.exact and exact)


def _tasks(
    workflow: Workflow,
    name: str,
    step: Step,
    inputs: Mapping[str, PlannedCount],
    before: Mapping[str, PlannedCount],
    table: KeyTable,
) -> PlannedCount:
    sure = not step.when
    once = graph.once_ports(workflow, step)
    if step.scatter:
        return _scattered(workflow, step, inputs, before, sure)
    if not once:
        return PlannedCount(max(1, step.tasks), sure)
    amounts = [inputs[port] for port in once]
    if any(one.count is None for one in amounts):
        return UNKNOWN
    counts = [one.count or 0 for one in amounts]
    exact = sure and all(one.exact for one in amounts)
    grouping = graph.grouping_of(workflow, step)
    rule = grouping.rule
    if rule == JOIN or (len(once) > 1 and rule != ALL):
        need = [max(1, step.inputs[port].count) for port in once]
        groups = min(count // size for count, size in zip(counts, need, strict=True))
        return PlannedCount(groups, exact and not agreed(step))
    if rule == ALL:
        return PlannedCount(min(1, sum(counts)), exact)
    if rule not in (COUNT, KEY):
        return PlannedCount(math.ceil(counts[0] / grouping.size), False)
    if rule == KEY:
        parts = _spread(grouping.keys, table.taken[name, once[0]])
        each = math.ceil(counts[0] / parts)
        return PlannedCount(min(counts[0], parts * math.ceil(each / grouping.size)), False)
    if grouping.partial == "never":
        return PlannedCount(counts[0] // grouping.size, exact)
    # Nobody can predict whether files wait so long that a partial group becomes a task.
    exact = exact and (grouping.partial == "parent_done" or grouping.size == 1)
    return PlannedCount(math.ceil(counts[0] / grouping.size), exact)


def _spread(names: Sequence[str], keys: Mapping[str, KeyValues]) -> int:
    """Return the number of combinations of the keys' known values."""
    parts = 1
    for key in names:
        parts *= len(keys.get(key, KeyValues()).values or (None,))
    return parts


def _scattered(
    workflow: Workflow,
    step: Step,
    inputs: Mapping[str, PlannedCount],
    before: Mapping[str, PlannedCount],
    sure: bool,
) -> PlannedCount:
    sizes: list[int] = []
    exact = sure
    for port in step.scatter:
        given = step.inputs[port]
        if port in inputs:
            amount = inputs[port]
        elif given.sources:
            # Each task of a step gives one value; the size of a single task's list is unknown.
            (source,) = given.sources
            parent = workflow.steps[source.step]
            amount = UNKNOWN if graph.is_one_task(workflow, parent) else before[source.step]
        else:
            value = given.value if given.has_value else workflow.parameters[given.parameter].value
            amount = PlannedCount(len(value))
        if amount.count is None:
            return UNKNOWN
        sizes.append(amount.count)
        exact = exact and amount.exact
    return PlannedCount(min(sizes) if step.scatter_method == "dot" else math.prod(sizes), exact)


def _made(
    step: Step, port: str, tasks: PlannedCount, inputs: Mapping[str, PlannedCount]
) -> PlannedCount:
    output = step.outputs[port]
    if output.files == "per_input":
        used = [one for name, one in inputs.items() if step.inputs[name].use == "once"]
        return _sum(used)
    if tasks.count is None:
        return UNKNOWN
    return PlannedCount(tasks.count * output.files, tasks.exact and output.required)
