"""Faults of workflows and of their runs."""

from dataclasses import dataclass

from pilotage.proto.decoding.strict_yaml import YamlPath


class WorkflowError(Exception):
    """Base of the errors of workflows."""


@dataclass(frozen=True)
class Fault:
    """One fault in a workflow, with its step and field.

    `step` is empty for a fault of the workflow itself; then the place begins at its top.
    """

    step: str
    place: YamlPath
    message: str

    def __str__(self) -> str:
        field = shown(self.place)
        where = ": ".join(filter(None, [f"step {self.step}" if self.step else "", field]))
        return f"{where}: {self.message}" if where else self.message


class BadWorkflow(WorkflowError):
    """The workflow has faults; nothing was begun. Each line of the message has one fault."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class RunRefused(WorkflowError):
    """A run on this machine cannot begin; the message says why, and what to do."""


def shown(place: YamlPath) -> str:
    """Return a place in the usual form: `inputs.events.where`, `steps[2]`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".")
