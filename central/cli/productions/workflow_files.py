"""Workflow files of `pilotage prod`: reading, checks and messages."""

import contextlib
import dataclasses
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from pilotage.proto.api.productions import NewProduction, Written as Text
from pilotage.proto.decoding.strict_yaml import line_of

from ...client.errors import Refused
from ..exit_codes import UsageError
from ..presentation import note, number

if TYPE_CHECKING:
    from ...workflows.errors import Fault
    from ...workflows.flow import WorkflowFile
    from ...workflows.source_lines import WorkflowSource

_STEPS = "workflow.steps."
SetOption = Annotated[
    tuple[str, ...],
    Parameter(name="--set", help="Parameter of the workflow, as NAME=VALUE. Repeatable."),
]
TypesOption = Annotated[
    tuple[Path, ...],
    Parameter(
        help=(
            "File or folder with element types for CTADIRAC's form, on top of the "
            "built-in ones (default: PILOTAGE_ELEMENT_TYPES)."
        ),
        env_var="PILOTAGE_ELEMENT_TYPES",
    ),
]


@dataclass(frozen=True)
class FromFile:
    """A workflow from a file, in the form that the client submits."""

    written: "WorkflowSource"
    rules: str = ""  # failover rules as YAML; empty: those of the workflow, or the default rules

    @property
    def folder(self) -> Path:
        """The folder of the files that its steps name."""
        return self.written.text.folder

    def production(self) -> NewProduction:
        """Return the request. Raises UsageError if the workflow cannot run on pilots."""
        faults = obstacles_of(self.written)
        if faults:
            raise UsageError(f"{self.written.told(faults)}")
        text = self.written.text
        form = "ctadirac" if self.written.fields else "pilotage"
        return NewProduction(
            workflow=self.written.workflow,
            written=Text(file=Path(text.where).name, form=form, text=text.content),
            rules=self.rules,
        )


@contextlib.contextmanager
def with_lines(written: "WorkflowSource") -> Generator[None]:
    """Add the line in the file to refusals by the central of a part of a step."""
    try:
        yield
    except Refused as why:
        name = why.field.removeprefix(_STEPS).partition(".")[0]
        if not why.field.startswith(_STEPS) or name not in written.places:
            raise
        inside = tuple(why.field.removeprefix(f"{_STEPS}{name}").split(".")[1:])
        number = line_of(written.text.content, (*written.places[name], *inside))
        message = why.message.replace(": document.", ": ", 1)
        text = f"{written.text.where}:{number}: {message}"
        raise type(why)(why.code, text, "", why.status) from None


def obstacles_of(written: "WorkflowSource") -> "Sequence[Fault]":
    """Return why a workflow cannot run on pilots."""
    from ...workflows.translation import obstacles

    return obstacles(written.workflow)


def read_file(file: Path, chosen: tuple[str, ...], types: tuple[Path, ...]) -> "WorkflowSource":
    from ...workflows.errors import BadWorkflow
    from ...workflows.workflow_files import read_workflow

    values: dict[str, str] = {}
    for word in chosen:
        name, sign, value = word.partition("=")
        if not sign:
            raise UsageError(f"--set {word}: expected NAME=VALUE")
        values[name] = value
    with told():
        try:
            written = read_workflow(file, values, types=types)
        except BadWorkflow as why:
            if not _is_transformation(file):
                raise
            other = f"pilotage transformation add {file}"
            raise UsageError(f"{file} is a transformation, not a workflow: use `{other}`") from why
    from ...failover.workflow_rules import faults_of_rules

    faults = faults_of_rules(written.workflow)
    if faults:
        raise UsageError(f"{written.told(faults)}")
    return written


def allowing(written: "WorkflowSource", text: str) -> "WorkflowSource":
    """Return the workflow with this share of missing inputs for all steps: `5%` or `0.05`."""
    try:
        part = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        part = -1.0
    if not 0.0 <= part <= 1.0:
        expected = "expected a percentage such as 5%, or a fraction from 0 to 1 such as 0.05"
        raise UsageError(f"--allow-partial {text}: {expected}")
    replace = msgspec.structs.replace
    before = written.workflow
    steps = {name: replace(step, allow_partial=None) for name, step in before.steps.items()}
    return dataclasses.replace(written, workflow=replace(before, steps=steps, allow_partial=part))


def _is_transformation(file: Path) -> bool:
    """Return whether a file that is not a workflow has the keys of a transformation."""
    from ...client.documents.yaml_text import as_mapping, load
    from ...client.errors import BadJobFile

    try:
        found = as_mapping(load(file.read_text(), str(file))) or {}
    except (OSError, UnicodeDecodeError, BadJobFile):
        return False
    return {"name", "job"} <= found.keys() and "steps" not in found


def read_rules_for(written: "WorkflowSource", file: Path | None) -> str:
    """Read and check a file of failover rules, and return its text. Raises UsageError."""
    from ...failover.rules import BadRules, default_rules, read_rules

    if file is None:
        return ""
    try:
        text = file.read_text(encoding="utf-8")
        steps = written.workflow.steps
        read_rules(text, str(file), base=default_rules(), workflow_steps=steps)
    except OSError as why:
        raise UsageError(f"--rules {file}: {why.strerror}") from None
    except (BadRules, UnicodeDecodeError) as why:
        raise UsageError(f"{why}") from None
    return text


@contextlib.contextmanager
def told() -> Generator[None]:
    """Turn errors of a workflow into usage errors."""
    from ...workflows.errors import WorkflowError

    try:
        yield
    except WorkflowError as why:
        raise UsageError(str(why)) from None


def catalogue_in(inputs: Path | None) -> "list[WorkflowFile] | None":
    from ...workflows.workflow_files import files_in

    if inputs is None:
        return None
    with told():
        return files_in(inputs)


def need_catalogue(written: "WorkflowSource", catalogue: "list[WorkflowFile] | None") -> None:
    from ...workflows.flow import matching

    for name, step in written.workflow.steps.items():
        for port, given in step.inputs.items():
            if not given.is_catalogue:
                continue
            if catalogue is None:
                raise UsageError(
                    f"step {name}: inputs.{port} takes files of the catalogue: for a local run, "
                    "give their folder with --inputs"
                )
            if not matching(given, catalogue):
                note(f"step {name}: no file in the folder meets the query of inputs.{port}")


def steps_in_words(count: int) -> str:
    return "1 step" if count == 1 else f"{number(count)} steps"
