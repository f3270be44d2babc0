"""What a task runs, and what is said of the files that it makes. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from pilotage.proto.catalogue import Value, checked_metadata
from pilotage.proto.documents.workflow import Step, StepOutput, Workflow

from . import braces
from .flow import WorkflowTask


class CannotRender(ValueError):
    """A name in braces has no value here: the files of the task differ in it."""


def command_of(
    step: Step, task: WorkflowTask, paths: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Return the words of a task's command; `paths` are those of its files, by port.

    A word that is a name in braces alone becomes a word for each file or element, or none.
    Raises CannotRender.
    """
    known = known_to(task, paths)
    words: list[str] = []
    for word in step.job.command:
        name = braces.alone(word)
        value = known.get(name)
        if name and isinstance(value, (list, tuple)):
            words += [braces.as_text(one) for one in cast(Sequence[Any], value)]
        else:
            words.append(text_of(word, known))
    return tuple(words)


def known_to(task: WorkflowTask, paths: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return what stands for the names in braces."""
    every = [path for each in paths.values() for path in each]
    own = {"task": task.number, "transformation": task.step, "inputs": every}
    return {**task.common, **task.values, **paths, **own}


def text_of(text: str, known: Mapping[str, Any]) -> str:
    """Return a text without braces. Raises CannotRender."""
    try:
        return braces.render(text, known)
    except KeyError as why:
        raise CannotRender(f"{why} has no value that all files of the task share") from None


def metadata_of(
    workflow: Workflow,
    step: Step,
    output: StepOutput,
    task: WorkflowTask,
    own: Mapping[str, Any],
    *,
    handed_down: Iterable[str],
) -> dict[str, Value]:
    """Return the metadata of a file that a task has made; `own` is what it said of it by itself.

    Inherited are the keys `handed_down`: those that the files of every task of the step agree in.
    What files of one task share by chance is not, so that all files of a step have the same keys.
    Later ones win: of the workflow, inherited, of the step, of the output, its own. Raises
    CannotRender, NotRight.
    """
    known: dict[str, Any] = {**task.common, **task.values, "task": task.number}
    known["transformation"] = task.step
    keys = handed_down if step.inherit else ()
    inherited = {key: task.common[key] for key in keys if key in task.common}
    said = {**step.metadata, **output.metadata}
    rendered = {key: _value(value, known) for key, value in said.items()}
    return checked_metadata({**workflow.metadata, **inherited, **rendered, **own})


def _value(value: Value, known: Mapping[str, Any]) -> Any:
    if not isinstance(value, str):
        return value
    name = braces.alone(value)
    if name in known and isinstance(known[name], (str, int, float, bool)):
        return known[name]
    return text_of(value, known)
