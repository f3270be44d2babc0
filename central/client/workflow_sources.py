"""What can be submitted as a production: workflows of files, and those built in Python."""

from pathlib import Path
from typing import Protocol

from pilotage.proto.api.productions import NewProduction


class SubmittableWorkflow(Protocol):
    """A workflow that can be submitted."""

    @property
    def folder(self) -> Path:
        """Where the files lie that its steps name."""
        ...

    def production(self) -> NewProduction:
        """Return what is submitted, checked, without the files."""
        ...
