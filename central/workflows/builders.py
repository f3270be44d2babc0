"""Workflows written in Python: `from pilotage import production`.

flow = production.Workflow("demo", metadata={"MCCampaign": "DEMO"})
runs = flow.step(
    "simulate",
    ["python3", "simulate.py", "{task}"],
    files=["simulate.py"],
    tasks=4,
    outputs={"events": production.files_like("*.txt", sets={"nsb": [1, 5]})},
)
flow.step(
    "merge",
    ["sh", "-c", "cat $PILOTAGE_INPUTS > all"],
    inputs={"events": production.files(runs["events"], where={"nsb": 1})},
    grouping="all",
    outputs={"all": production.files_like("all")},
)
outcome = flow.run("demo.run")
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pilotage.proto.api.productions import NewProduction, Written
from pilotage.proto.catalogue import Value
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.decoding.typed_quantities import convert
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.documents.transformation import Grouping
from pilotage.proto.documents.workflow import (
    Parameter,
    Source,
    Step,
    StepInput,
    StepOutput,
    Workflow as Definition,
)

from . import draw
from .check import check
from .earlier_runs import claimed
from .errors import BadWorkflow, RunRefused, WorkflowError
from .flow import WorkflowFile
from .local_runs import RunEnvironment, RunResult, run
from .plan import WorkflowPlan, plan
from .translation import obstacles
from .workflow_files import files_in, read_workflow

__all__ = [
    "BadWorkflow",
    "Definition",
    "Grouping",
    "RunRefused",
    "RunResult",
    "StepHandle",
    "Workflow",
    "WorkflowError",
    "WorkflowFile",
    "WorkflowPlan",
    "dataset",
    "files",
    "files_in",
    "files_like",
    "parameter",
    "query",
    "read_workflow",
    "value",
    "value_in",
]


class StepHandle:
    """A step of a workflow; `step["port"]` is an output for other steps."""

    def __init__(self, name: str, step: Step) -> None:
        self.name, self._step = name, step

    def __getitem__(self, port: str) -> Source:
        """Return an output of the step. Raises BadWorkflow if it has none of that name."""
        if port not in self._step.outputs:
            why = unknown(port, self._step.outputs, what=f"output of {self.name}")
            raise BadWorkflow([why])
        return Source(step=self.name, port=port)


class Workflow:
    """A workflow in the making."""

    def __init__(
        self,
        name: str,
        *,
        title: str = "",
        metadata: Mapping[str, Value] | None = None,
        parameters: Mapping[str, Any] | None = None,
        software: Mapping[str, str] | None = None,
        keys: Mapping[str, str] | None = None,
        failure_rules: Mapping[str, Any] | None = None,
        allow_partial: float = 0.0,
        reuse: bool = False,
        folder: str | Path = ".",
    ) -> None:
        """Begin a workflow. Relative paths of steps' files begin at `folder`.

        `parameters` are values by name. `keys` are types of metadata (string, number, boolean) of
        files from the catalogue. `failure_rules` are failover rules, checked before the default
        ones. `allow_partial` is the part of a step's inputs, from 0 to 1, that may be missing.
        With `reuse`, tasks take the results of equal earlier tasks.
        """
        self._head: dict[str, Any] = {
            "name": name,
            "title": title,
            "metadata": dict(metadata or {}),
            "parameters": {one: Parameter(value=it) for one, it in (parameters or {}).items()},
            "software": dict(software or {}),
            "keys": dict(keys or {}),
            "failure_rules": dict(failure_rules or {}),
            "allow_partial": allow_partial,
            "reuse": reuse,
        }
        self._steps: dict[str, Step] = {}
        self._folder = Path(folder)

    def step(
        self,
        name: str,
        command: Sequence[str],
        *,
        inputs: Mapping[str, Source | StepInput] | None = None,
        outputs: Mapping[str, str | StepOutput] | None = None,
        grouping: int | str | Grouping | None = None,
        needs: Need | None = None,
        job: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> StepHandle:
        """Add a step; return it for its outputs.

        `grouping` is a size, a rule, or both. `job` has more keys of the job, `fields` more keys of
        the step, as in a file. Raises BadWorkflow if one does not fit.
        """
        if name in self._steps:
            raise BadWorkflow([f"step {name}: there is already a step with this name"])
        if isinstance(grouping, int):
            grouping = Grouping(size=grouping)
        elif isinstance(grouping, str):
            grouping = Grouping(rule=grouping)
        said: dict[str, Any] = {
            **fields,
            "job": Job(command=tuple(command), needs=(needs or Need(),), **(job or {})),
            "inputs": {
                port: StepInput(sources=(one,)) if isinstance(one, Source) else one
                for port, one in (inputs or {}).items()
            },
            "outputs": {
                port: StepOutput(pattern=one) if isinstance(one, str) else one
                for port, one in (outputs or {}).items()
            },
        }
        if grouping is not None:
            said["grouping"] = grouping
        wrong = [word for word in said if word not in Step.__struct_fields__]
        if wrong:
            raise BadWorkflow([f"step {name}: {unknown(wrong[0], Step.__struct_fields__)}"])
        try:
            step = convert(msgspec.to_builtins(said), Step, short_keys=True)
        except msgspec.ValidationError as why:
            raise BadWorkflow([f"step {name}: {why}"]) from None
        self._steps[name] = step
        return StepHandle(name, step)

    def build(self) -> Definition:
        """Return the workflow, checked. Raises BadWorkflow with all faults."""
        said = {**self._head, "steps": self._steps}
        try:
            definition = convert(msgspec.to_builtins(said), Definition)
        except msgspec.ValidationError as why:
            raise BadWorkflow([f"workflow {self._head['name']}: {why}"]) from None
        faults = check(definition)
        if faults:
            raise BadWorkflow([str(fault) for fault in faults])
        return definition

    @property
    def folder(self) -> Path:
        """The folder at which relative paths of steps' files begin."""
        return self._folder

    def production(self) -> NewProduction:
        """Return the checked production for a client, without the files: the client adds them.

        Raises BadWorkflow with all faults, those for pilots included.
        """
        definition = self.build()
        faults = obstacles(definition)
        if faults:
            raise BadWorkflow([str(fault) for fault in faults])
        return NewProduction(workflow=definition, written=Written(form="python"))

    def plan(self, catalogue: Sequence[WorkflowFile] | None = None) -> WorkflowPlan:
        """Return the planned numbers of jobs and files. Raises BadWorkflow."""
        return plan(self.build(), catalogue)

    def text(self) -> str:
        """Return the graph as text for a terminal. Raises BadWorkflow."""
        return "\n".join(draw.as_text(self.build()))

    def svg(self) -> str:
        """Return the graph as SVG. Raises BadWorkflow."""
        return draw.as_svg(self.build())

    def run(
        self,
        folder: str | Path,
        *,
        catalogue: Sequence[WorkflowFile] = (),
        cores: int | None = None,
        resume: bool = False,
    ) -> RunResult:
        """Run the workflow on this machine, in an empty folder; return the result.

        With `resume` the folder may be that of an earlier run, whose finished tasks are kept.
        Raises BadWorkflow and RunRefused. Inside an event loop, call it in a thread.
        """
        definition = self.build()
        where = Path(folder).absolute()
        place = RunEnvironment(
            where, self._folder.absolute(), cores or os.cpu_count() or 1, os.environ
        )
        with claimed(where, definition.name, resume=resume):
            return asyncio.run(run(definition, place, catalogue))


def files(
    *sources: Source,
    where: Mapping[str, Any] | None = None,
    shared: bool = False,
    on: Sequence[str] = (),
    count: int = 0,
) -> StepInput:
    """Take the files of other steps; every task gets the `shared` ones."""
    return StepInput(
        sources=sources,
        where=dict(where or {}),
        use="shared" if shared else "once",
        on=tuple(on),
        count=count,
    )


def query(conditions: Mapping[str, Any], *, shared: bool = False) -> StepInput:
    """Take files of the catalogue by their metadata."""
    return StepInput(query=dict(conditions), use="shared" if shared else "once")


def dataset(did: str, *, where: Mapping[str, Any] | None = None) -> StepInput:
    """Take the files of a dataset, `scope:name`."""
    return StepInput(dataset=did, where=dict(where or {}))


def value(given: Any) -> StepInput:
    """Take this value."""
    return StepInput(value=given)


def parameter(name: str) -> StepInput:
    """Take the value of a parameter of the workflow."""
    return StepInput(parameter=name)


def files_like(
    pattern: str,
    *,
    sets: Mapping[str, Sequence[Value]] | None = None,
    metadata: Mapping[str, Value] | None = None,
    required: bool = True,
) -> StepOutput:
    """Give the files that match; `sets` has keys that the program sets, with their values."""
    return StepOutput(
        pattern=pattern,
        sets={key: tuple(values) for key, values in (sets or {}).items()},
        metadata=dict(metadata or {}),
        required=required,
    )


def value_in(name: str, type: str = "") -> StepOutput:
    """Give the value that the program writes into a JSON file."""
    return StepOutput(value=name, type=type)
