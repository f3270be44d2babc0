"""From a workflow to the transformations that carry it out. Pure.

Each step becomes one document, named `WORKFLOW-STEP`; a port fed by a step asks for what that one's
transformation has made, narrowed by the key PORT_KEY where it makes several kinds of files. The
conditions of a child are thus always a part of what its parent's files have.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, cast

import msgspec

from pilotage.proto.catalogue import Value
from pilotage.proto.job import DataOutput, Job, JobData
from pilotage.proto.storages import INPUTS_WORD
from pilotage.proto.transformation import Grouping, InputSpec, Transformation
from pilotage.proto.workflow import (
    ALL,
    Source,
    Step,
    StepInput,
    StepOutput,
    Workflow,
)

from ..errors import Refused
from ..transformations.jobs_of import checked
from . import braces, graph
from .errors import Fault
from .keys import KeyTable, key_table

PORT_KEY: Final = "workflow_port"  # metadata by which files of one step are told apart
INPUTS_MAX: Final = 8  # of one transformation
ALONE: Final = "works only in a run on one machine"


def obstacles(workflow: Workflow) -> list[Fault]:
    """Return why a checked workflow cannot be transformations; empty where it can."""
    found: list[Fault] = []
    table = key_table(workflow)
    for name, step in workflow.steps.items():
        sole: list[Fault] = []
        for port, given in step.inputs.items():
            if not graph.brings_files(workflow, given) and given.sources:
                why = f"the value of {given.sources[0]} only passes in a run on one machine"
                sole.append(Fault(name, ("inputs", port), why))
            if given.files_max:
                sole.append(Fault(name, ("inputs", port, "files_max"), ALONE))
        count = sum(1 for _ in _inputs(workflow, step))
        for word, is_said in (
            ("scatter", step.scatter),
            ("when", step.when),
            ("tasks", step.tasks > 1 and count),  # as many as there are groups
        ):
            if is_said:
                sole.append(Fault(name, (word,), ALONE))
        if count > INPUTS_MAX:
            why = f"a transformation has at most {INPUTS_MAX} sources of files, found {count}"
            sole.append(Fault(name, ("inputs",), why))
        ports = _file_ports(workflow, step)
        for i, word in enumerate(step.job.command):
            named = [name for name in braces.names(word) if name in ports]
            if named and (len(ports) > 1 or word != "{" + named[0] + "}"):
                why = f"{{{named[0]}}} works only in a run on one machine: say {INPUTS_WORD} alone"
                sole.append(Fault(name, ("job", "command", i), why))
        if not sole:
            try:
                checked(_document(workflow, name, table))
            except Refused as why:
                sole.append(Fault(name, (), str(why)))
        found += sole
    return found


def to_transformations(workflow: Workflow) -> dict[str, Transformation]:
    """Return the document of each step, parents first. There must be no obstacles."""
    table = key_table(workflow)
    return {name: _document(workflow, name, table) for name in graph.order(workflow)}


def title_of(workflow: Workflow, step: str) -> str:
    """Return the name of a step's transformation."""
    return f"{workflow.name}-{step}"


def _document(workflow: Workflow, name: str, table: KeyTable) -> Transformation:
    step = workflow.steps[name]
    inputs = tuple(_inputs(workflow, step))
    return Transformation(
        name=title_of(workflow, name),
        title=step.title,
        inputs=inputs,
        tasks=0 if inputs else max(1, step.tasks),
        grouping=_grouping(workflow, step),
        job=_job(workflow, name, step),
        metadata=_metadata(workflow, name, step, table),
        scouts=step.scouts,
        pause_when_failed=step.pause_when_failed,
        errors_max=step.errors_max,
        tasks_open_max=step.tasks_open_max,
    )


def _metadata(workflow: Workflow, name: str, step: Step, table: KeyTable) -> dict[str, Value]:
    """Return what all files of a step have; what they inherit is written out."""
    inherited: dict[str, Value] = {}
    for key, known in table.common[name].items() if step.inherit else ():
        alone = next(iter(known.values)) if known.is_one and known.values else None
        inherited[key] = "{" + key + "}" if alone is None else alone
    return {**workflow.metadata, **inherited, **step.metadata}


def _job(workflow: Workflow, name: str, step: Step) -> Job:
    """Return the template, in which files are `{inputs}` and values stand as they are."""
    ports = _file_ports(workflow, step)
    values: dict[str, Any] = {
        port: given.value if given.has_value else workflow.parameters[given.parameter].value
        for port, given in step.inputs.items()
        if given.has_value or given.parameter
    }
    if len(ports) == 1:
        values[ports[0]] = INPUTS_WORD
    words: list[str] = []
    for word in step.job.command:
        filled = INPUTS_WORD if word == INPUTS_WORD else braces.fill(word, values)
        if word != filled and braces.alone(word) in ports:
            words.append(INPUTS_WORD)
        elif isinstance(filled, (list, tuple)):
            words += [braces.as_text(one) for one in cast(Sequence[Any], filled)]
        else:
            words.append(braces.as_text(filled))
    outputs = tuple(
        _output(workflow, name, port, one) for port, one in step.outputs.items() if not one.value
    )
    data = JobData(outputs=outputs) if outputs else None
    return msgspec.structs.replace(step.job, command=tuple(words), data=data)


def _file_ports(workflow: Workflow, step: Step) -> list[str]:
    return [port for port, given in step.inputs.items() if graph.brings_files(workflow, given)]


def _output(workflow: Workflow, name: str, port: str, output: StepOutput) -> DataOutput:
    source = Source(step=name, port=port)
    told = {PORT_KEY: port} if _is_told_apart(workflow, source) else {}
    found = DataOutput(
        pattern=output.pattern,
        dataset=output.dataset,
        metadata={**output.metadata, **told},
        storages=output.storages,
        required=output.required,
    )
    return msgspec.structs.replace(found, name=output.name) if output.name else found


def _inputs(workflow: Workflow, step: Step) -> Iterator[InputSpec]:
    """Yield what the transformation takes: a port for each source that it has."""
    once = graph.once_ports(workflow, step) or list(step.gather)
    for port, given in step.inputs.items():
        if not graph.brings_files(workflow, given):
            continue
        is_once = port in once and given.use == "once"
        use: Literal["once", "shared"] = "once" if is_once else "shared"
        for i, (origin, query) in enumerate(_origins(workflow, given)):
            yield InputSpec(
                name=port if i == 0 else f"{port}_{i + 1}",
                query=query,
                from_=origin,
                use=use,
                on=given.on,
                count=given.count or 1,
                to=port,
            )


def _origins(workflow: Workflow, given: StepInput) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the transformations that a port is from, empty for the catalogue, with the queries."""
    if given.is_catalogue:
        dataset = {"dataset": given.dataset} if given.dataset else {}
        yield "", {**given.query, **given.where, **dataset}
    for source in given.sources:
        narrowed = {PORT_KEY: source.port} if _is_told_apart(workflow, source) else {}
        yield title_of(workflow, source.step), {**given.where, **narrowed}


def _is_told_apart(workflow: Workflow, source: Source) -> bool:
    outputs = workflow.steps[source.step].outputs.values()
    return sum(not one.value for one in outputs) > 1


def _grouping(workflow: Workflow, step: Step) -> Grouping:
    gathers = not graph.once_ports(workflow, step) and any(_inputs(workflow, step))
    if gathers and step.grouping is None:
        return Grouping(rule=ALL)
    return graph.grouping_of(workflow, step)
