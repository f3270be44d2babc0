"""Workflows of the tests, from text to what was read, and runs of them."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

from pilotage.central.workflows.done import claimed
from pilotage.central.workflows.errors import BadWorkflow
from pilotage.central.workflows.files import read_workflow
from pilotage.central.workflows.flow import File
from pilotage.central.workflows.local import Outcome, Place, run
from pilotage.central.workflows.written import Written
from pilotage.proto.workflow import Workflow

ENVIRONMENT = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def read(folder: Path, text: str, **chosen: str) -> Written:
    """Return the workflow that a text says, checked."""
    file = folder / "flow.yaml"
    file.write_text(dedent(text))
    return read_workflow(file, chosen)


def workflow(folder: Path, text: str, **chosen: str) -> Workflow:
    return read(folder, text, **chosen).workflow


def faults(folder: Path, text: str, **chosen: str) -> list[str]:
    """Return what is wrong with a text, without the path of its file."""
    try:
        read(folder, text, **chosen)
    except BadWorkflow as why:
        return [line.replace(f"{folder}/", "") for line in why.lines]
    return []


def run_here(
    definition: Workflow,
    folder: Path,
    catalogue: Sequence[File] = (),
    *,
    cores: int = 4,
    beside: Path | None = None,
    resume: bool = False,
) -> Outcome:
    """Run a workflow in `folder`/run; its steps' files lie in `folder`, or `beside`."""
    where = folder / "run"
    place = Place(where, beside or folder, cores, ENVIRONMENT)
    with claimed(where, definition.name, resume=resume):
        return asyncio.run(run(definition, place, catalogue))


def made(outcome: Outcome, step: str, port: str) -> list[str]:
    """Return the paths of what a step has made, from the folder of the run on."""
    return [one.path for one in outcome.record.files if (one.step, one.port) == (step, port)]
