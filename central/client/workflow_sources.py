"""The interface of workflows, from files or built in Python, that a client can submit."""

from pathlib import Path
from typing import Protocol

from pilotage.proto.api.productions import NewProduction


class SubmittableWorkflow(Protocol):
    """A workflow that can be submitted."""

    @property
    def folder(self) -> Path:
        """The folder of the files that its steps name."""
        ...

    def production(self) -> NewProduction:
        """Check the workflow, and return the request without the files."""
        ...
