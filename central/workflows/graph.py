"""The graph of a workflow: which step feeds which. Pure."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter

from pilotage.proto.documents.transformation import Grouping
from pilotage.proto.documents.workflow import (
    COUNT,
    FILE,
    JOIN,
    Source,
    Step,
    StepInput,
    StepOutput,
    Workflow,
)


def sources(step: Step) -> Iterator[tuple[str, Source]]:
    """Yield each port with each of its sources."""
    for port, one in step.inputs.items():
        for source in one.sources:
            yield port, source


def parents(workflow: Workflow, name: str) -> tuple[str, ...]:
    """Return the parents of a step, each once, in the order of its inputs."""
    found = (source.step for _, source in sources(workflow.steps[name]))
    return tuple(dict.fromkeys(one for one in found if one in workflow.steps))


def children(workflow: Workflow) -> Mapping[str, tuple[str, ...]]:
    """Return the children of each step."""
    found: dict[str, list[str]] = {name: [] for name in workflow.steps}
    for name in workflow.steps:
        for parent in parents(workflow, name):
            found[parent].append(name)
    return {name: tuple(fed) for name, fed in found.items()}


def order(workflow: Workflow) -> list[str]:
    """Return the steps, parents before children; without steps in or after a cycle.

    If the order is free, it is that of the workflow.
    """
    sorter = _sorter(workflow)
    with suppress(CycleError):  # it continues up to the cycle
        sorter.prepare()
    found: list[str] = []
    while ready := sorter.get_ready():
        found += ready
        sorter.done(*ready)
    return found


def cycle(workflow: Workflow) -> list[str]:
    """Return the steps of a cycle, each feeding the next, and the last the first; or nothing."""
    try:
        _sorter(workflow).prepare()
    except CycleError as why:
        ring: list[str] = why.args[1]  # its last step is its first one
        return ring[1:]
    return []


def _sorter(workflow: Workflow) -> "TopologicalSorter[str]":
    # this order is kept wherever the graph allows it
    sorter = TopologicalSorter(dict.fromkeys(workflow.steps, ()))
    for name in workflow.steps:
        sorter.add(name, *parents(workflow, name))
    return sorter


def levels(workflow: Workflow) -> dict[str, int]:
    """Return the number of steps before each, on the longest way to it. There must be no cycle."""
    found: dict[str, int] = {}
    for name in order(workflow):
        before = [found[parent] for parent in parents(workflow, name)]
        found[name] = max(before, default=-1) + 1
    return found


def output_of(workflow: Workflow, source: Source) -> StepOutput | None:
    """Return the output that a source names, if it exists."""
    step = workflow.steps.get(source.step)
    return None if step is None else step.outputs.get(source.port)


def brings_files(workflow: Workflow, given: StepInput) -> bool:
    """Return whether files come through a port, not a value; unknown sources count as files."""
    if given.is_catalogue:
        return True
    return any(
        found is None or not found.value
        for found in (output_of(workflow, source) for source in given.sources)
    )


def once_ports(workflow: Workflow, step: Step) -> list[str]:
    """Return the ports whose files are grouped into tasks."""
    return [
        port
        for port, given in step.inputs.items()
        if given.use == "once"
        and port not in step.scatter
        and port not in step.gather
        and brings_files(workflow, given)
    ]


def grouping_of(workflow: Workflow, step: Step) -> Grouping:
    """Return the grouping of files that are used once: the step's own, join, or one by one."""
    if step.grouping is not None:
        return step.grouping
    return Grouping(rule=JOIN if len(once_ports(workflow, step)) > 1 else COUNT)


def is_one_task(workflow: Workflow, step: Step) -> bool:
    """Return whether a step always has a single task."""
    return not step.scatter and step.tasks <= 1 and not once_ports(workflow, step)


def type_of_output(output: StepOutput) -> str:
    """Return the type of an output of one task; files count as one each."""
    return (output.type or "any") if output.value else FILE
