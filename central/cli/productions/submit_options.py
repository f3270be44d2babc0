"""The options of `pilotage prod submit`, by what they are for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

from cyclopts import Parameter
from cyclopts.validators import Number

from ..options import option

PriorityOption = Annotated[
    int | None,
    Parameter(
        help="Priority of all its jobs, 0 to 10 (default: as each job says).",
        validator=Number(gte=0, lte=10),
    ),
]
Cores = Annotated[int | None, Parameter(validator=Number(gte=1))]


class ProductionFields(TypedDict):
    """Fields of a request for a production."""

    name: str
    priority: int | None
    start: bool
    reuse: bool
    correct: bool


@Parameter(name="*")
@dataclass(frozen=True)
class ProductionOptions:
    """Options of a production on pilots."""

    name: str = option("", "Name (default: the name of the workflow).")
    no_start: bool = option(False, "Store it without starting it; `prod start` starts it.")
    no_reuse: bool = option(
        False,
        "Run every task (default: CWL tools, and steps with `reuse: true`, reuse earlier results).",
    )
    correct: bool = option(
        False,
        "Replace the production of this name by a corrected file: only changed steps run again.",
    )
    priority: PriorityOption = None
    rules: Path | None = option(None, "File with failover rules, if the workflow has none.")

    @property
    def given(self) -> bool:
        """Return whether any was given."""
        return self != ProductionOptions()

    @property
    def fields(self) -> ProductionFields:
        return {
            "name": self.name,
            "priority": self.priority,
            "start": not self.no_start,
            "reuse": not self.no_reuse,
            "correct": self.correct,
        }


@Parameter(name="*")
@dataclass(frozen=True)
class LocalOptions:
    """Options of a run on this machine."""

    inputs: Path | None = option(None, "Folder with catalogue files, each with NAME.meta.json.")
    folder: Path | None = option(
        None, "Empty folder for the run (default: NAME.run in the current folder)."
    )
    cores: Cores = option(None, "Number of cores to use (default: all).")
    resume: bool = option(False, "Continue in the folder of an earlier run, and keep its results.")

    @property
    def given(self) -> bool:
        """Return whether any was given."""
        return self != LocalOptions()


FOR_PRODUCTION = ProductionOptions()
HERE = LocalOptions()
