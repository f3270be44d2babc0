"""Renders the command of a task, and the metadata of its outputs. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from pilotage.proto.catalogue import Value, checked_metadata
from pilotage.proto.documents.workflow import Step, StepOutput, Workflow

from . import braces
from .flow import WorkflowTask


class CannotRender(ValueError):
    """A name in braces has no value here: the files of the task have different values."""


def command_of(
    step: Step, task: WorkflowTask, paths: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Return the command of a task; `paths` has the paths of its files, by port.

    A word that is only a name in braces becomes one word for each file or element, or none. Raises
    CannotRender.
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
    """Return the values for names in braces."""
    every = [path for each in paths.values() for path in each]
    own = {"task": task.number, "transformation": task.step, "inputs": every}
    return {**task.common, **task.values, **paths, **own}


def text_of(text: str, known: Mapping[str, Any]) -> str:
    """Return a text with its braces replaced. Raises CannotRender."""
    try:
        return braces.render(text, known)
    except KeyError as why:
        raise CannotRender(
            f"{why} has different values in the files of the task, or none"
        ) from None


def metadata_of(
    workflow: Workflow,
    step: Step,
    output: StepOutput,
    task: WorkflowTask,
    own: Mapping[str, Any],
    *,
    handed_down: Iterable[str],
) -> dict[str, Value]:
    """Return the metadata of an output; `own` is the metadata that the task set for it.

    The keys `handed_down` are inherited: those that the files of every task of the step share. A
    key that the files of one task share by chance is not, so that all files of a step have the same
    keys. Later values win: workflow, inherited, step, inherited by name, output, own.

    Raises CannotRender, BadCatalogueField.
    """
    known: dict[str, Any] = {**task.common, **task.values, "task": task.number}
    known["transformation"] = task.step
    keys = handed_down if step.inherit is True else ()
    inherited = {key: task.common[key] for key in keys if key in task.common}
    listed = () if isinstance(step.inherit, bool) else step.inherit
    over = {key: task.common[key] for key in listed if key in task.common}
    of_step = {key: _value(value, known) for key, value in step.metadata.items()}
    of_output = {key: _value(value, known) for key, value in output.metadata.items()}
    return checked_metadata(
        {**workflow.metadata, **inherited, **of_step, **over, **of_output, **own}
    )


def _value(value: Value, known: Mapping[str, Any]) -> Any:
    if not isinstance(value, str):
        return value
    name = braces.alone(value)
    if name in known and isinstance(known[name], (str, int, float, bool)):
        return known[name]
    return text_of(value, known)
