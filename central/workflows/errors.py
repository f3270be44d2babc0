"""What is wrong with a workflow, or with a run of one."""

from dataclasses import dataclass

from pilotage.proto.decoding.strict_yaml import Place


class WorkflowError(Exception):
    """Base of everything that is raised on purpose here."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a workflow: in which step, at which of its fields.

    `step` is empty where the workflow itself is meant; then the place begins at its top.
    """

    step: str
    place: Place
    message: str

    def __str__(self) -> str:
        field = shown(self.place)
        where = ": ".join(filter(None, [f"step {self.step}" if self.step else "", field]))
        return f"{where}: {self.message}" if where else self.message


class BadWorkflow(WorkflowError):
    """The workflow is wrong; nothing was begun. Each line of the message names one fault."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class RunRefused(WorkflowError):
    """A run on this machine cannot begin; the message says why, and what would help."""


def shown(place: Place) -> str:
    """Return a place as people read it: `inputs.events.where`, `steps[2]`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".")
