"""Workflows of the tests, from text to what was read, and runs of them."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

from pilotage.central.workflows.earlier_runs import claimed
from pilotage.central.workflows.errors import BadWorkflow
from pilotage.central.workflows.flow import WorkflowFile
from pilotage.central.workflows.local_runs import RunEnvironment, RunResult, run
from pilotage.central.workflows.source_lines import WorkflowSource
from pilotage.central.workflows.workflow_files import read_workflow
from pilotage.proto.documents.workflow import Workflow

ENVIRONMENT = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def read(folder: Path, text: str, **chosen: str) -> WorkflowSource:
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
    catalogue: Sequence[WorkflowFile] = (),
    *,
    cores: int = 4,
    beside: Path | None = None,
    resume: bool = False,
) -> RunResult:
    """Run a workflow in `folder`/run; its steps' files lie in `folder`, or `beside`."""
    where = folder / "run"
    place = RunEnvironment(where, beside or folder, cores, ENVIRONMENT)
    with claimed(where, definition.name, resume=resume):
        return asyncio.run(run(definition, place, catalogue))


def made(outcome: RunResult, step: str, port: str) -> list[str]:
    """Return the paths of what a step has made, from the folder of the run on."""
    return [one.path for one in outcome.record.files if (one.step, one.port) == (step, port)]
