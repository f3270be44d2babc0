"""The steps of a document: its tools, by the paths of their steps, and which feeds which."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from cwltool.process import Process, shortname
from cwltool.workflow import Workflow

from .tools import PlannedTool

NAME_MAX: Final = 60
_ALLOWED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


@dataclass(frozen=True)
class StepShape:
    """A tool of a document."""

    name: str
    parents: tuple[str, ...]


def shapes(process: Process) -> list[StepShape]:
    """Name the tools of a document, parents first, and note the names at the tools.

    A tool in a sub-workflow is called `STEP-INNER`.
    """
    found: dict[str, set[str]] = {}
    made: set[str] = set()
    if isinstance(process, Workflow):
        _walk(process, "", {}, found, made)
    elif isinstance(process, PlannedTool):
        tool: Any = process.tool
        process.step = step_name(shortname(tool["id"]), made)
        found[process.step] = set()
    return _ordered(found)


def _walk(
    workflow: Any,
    prefix: str,
    given: dict[str, set[str]],
    found: dict[str, set[str]],
    made: set[str],
) -> dict[str, set[str]]:
    """Note the tools of a workflow; return which tools feed each of its outputs.

    `given` has which tools feed each of its inputs.
    """
    feeds: dict[str, set[str]] = {one["id"]: set() for one in workflow.tool["inputs"]}
    for one in workflow.tool["inputs"]:
        feeds[one["id"]] = given.get(shortname(one["id"]), set())
    for step in _in_order(workflow):
        its = {shortname(one["id"]): _from(one.get("source"), feeds) for one in step.tool["inputs"]}
        inner, name = step.embedded_tool, prefix + shortname(step.id)
        every = set[str]().union(*its.values())
        ports = [shortname(one["id"]) for one in step.tool["outputs"]]
        if isinstance(inner, Workflow):
            outs = _walk(inner, f"{name}-", its, found, made)
        elif isinstance(inner, PlannedTool):
            inner.step = step_name(name, made)
            found[inner.step] = every
            outs = {one: {inner.step} for one in ports}
        else:  # an expression: it passes on what feeds it
            outs = dict.fromkeys(ports, every)
        for one in step.tool["outputs"]:
            feeds[one["id"]] = outs.get(shortname(one["id"]), every)
    return {
        shortname(one["id"]): _from(one.get("outputSource"), feeds)
        for one in workflow.tool["outputs"]
    }


def _in_order(workflow: Any) -> Iterator[Any]:
    """Yield the steps, each after those that feed it; steps in a circle come last."""
    places: list[str] = [one["id"] for one in workflow.tool["steps"]]
    left = sorted(workflow.steps, key=lambda one: places.index(one.tool["id"]))
    workflow.steps[:] = left  # the library shuffles them; runs need the same order each time
    ready: set[str] = {one["id"] for one in workflow.tool["inputs"]}
    while left:
        now = [one for one in left if _sources(one) <= ready] or left
        for one in now:
            ready.update(out["id"] for out in one.tool["outputs"])
            yield one
        left = [one for one in left if one not in now]


def _sources(step: Any) -> set[str]:
    return {one for port in step.tool["inputs"] for one in _listed(port.get("source"))}


def _listed(source: Any) -> list[str]:
    return [source] if isinstance(source, str) else list(source or ())


def _from(source: Any, feeds: dict[str, set[str]]) -> set[str]:
    return set[str]().union(*(feeds.get(one, set()) for one in _listed(source)))


def step_name(text: str, made: set[str]) -> str:
    """Return a new name for a step: letters, digits, `_` and `-`, at most 60 of them."""
    name = "".join(one if one in _ALLOWED else "-" for one in text).lstrip("-_")[:NAME_MAX]
    name, number = name or "tool", 1
    while name in made:
        number += 1
        name = f"{name[: NAME_MAX - 8]}-{number}"
    made.add(name)
    return name


def _ordered(found: dict[str, set[str]]) -> list[StepShape]:
    return [StepShape(name, tuple(sorted(above - {name}))) for name, above in found.items()]
