"""Translates a workflow into the transformations that carry it out. Pure.

Each step becomes one document, named `WORKFLOW-STEP`. A port fed by a step takes the outputs of
that step's transformation. If it makes several kinds of files, the key PORT_KEY selects them. So
the conditions of a child are always on keys of its parent's files.
"""

from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Any, Final, Literal, cast

import msgspec

from pilotage.proto.catalogue import Value, parse_query
from pilotage.proto.decoding.strict_yaml import YamlPath
from pilotage.proto.documents.job import DataOutput, Job, JobData
from pilotage.proto.documents.transformation import ROWS_MAX, Grouping, InputSpec, Transformation
from pilotage.proto.documents.workflow import ALL, Source, Step, StepInput, StepOutput, Workflow
from pilotage.proto.storages import INPUTS_WORD

from ..errors import Refused
from ..transformations.task_jobs import checked
from . import braces, graph
from .errors import Fault
from .metadata_keys import KeyTable, key_table

PORT_KEY: Final = "workflow_port"  # metadata that distinguishes files of one step
INPUTS_MAX: Final = 8  # of one transformation
ALONE: Final = "works only in a run on one machine"


def obstacles(workflow: Workflow) -> list[Fault]:
    """Return why a checked workflow cannot run on pilots; empty if it can."""
    found: list[Fault] = []
    table = key_table(workflow)
    for name, step in workflow.steps.items():
        places = (*_of_ports(workflow, step), *_of_tasks(workflow, name, step, table))
        sole = [Fault(name, place, why) for place, why in places]
        if not sole:
            try:
                checked(_document(workflow, name, table))
            except Refused as why:
                sole.append(Fault(name, (), str(why)))
        found += sole
    return found


def _of_ports(workflow: Workflow, step: Step) -> Iterator[tuple[YamlPath, str]]:
    """Yield why the inputs of a step cannot work on pilots."""
    for port, given in step.inputs.items():
        at = ("inputs", port)
        if not graph.brings_files(workflow, given) and given.sources:
            source = given.sources[0]
            yield at, f"the value of {source} works only in a run on one machine: pass a file"
        if given.files_max and len(given.sources) > 1:
            why = f"at most {given.files_max} files of several sources {ALONE}"
            yield (*at, "files_max"), why
    count = sum(len(list(_origins(workflow, step, port))) for port in _file_ports(workflow, step))
    if count > INPUTS_MAX:
        why = f"a transformation has at most {INPUTS_MAX} sources of files, found {count}"
        yield ("inputs",), why
    ports = _file_ports(workflow, step)
    for i, word in enumerate(step.job.command):
        named = [name for name in braces.names(word) if name in ports]
        if named and (len(ports) > 1 or word != "{" + named[0] + "}"):
            why = f"{{{named[0]}}} {ALONE}: use {INPUTS_WORD} alone"
            if len(ports) > 1:
                why += f"; the files of each port are in a folder with its name: {named[0]}/"
            yield ("job", "command", i), why


def _of_tasks(
    workflow: Workflow, name: str, step: Step, table: KeyTable
) -> Iterator[tuple[YamlPath, str]]:
    """Yield why the tasks of a step cannot be made on pilots."""
    ports = _file_ports(workflow, step)
    is_each_file = len(step.scatter) == 1 and set(step.scatter) <= set(ports)
    if step.scatter and ports and not is_each_file:
        what = f"{' and '.join(step.scatter)}, beside files of {ports[0]},"
        yield ("scatter",), f"a task for each of {what} {ALONE}: use `for` in the step"
    elif step.scatter and not ports and not _is_fed(step):
        yield from _of_rows(workflow, step)
    if step.tasks > 1 and ports:
        why = f"{step.tasks} tasks that each take all files of {ports[0]}, {ALONE}"
        yield ("tasks",), why
    yield from _of_when(workflow, name, step, table)


def _is_fed(step: Step) -> bool:
    """Return whether values come from other steps, which another check reports."""
    return any(given.sources for given in step.inputs.values())


def _of_rows(workflow: Workflow, step: Step) -> Iterator[tuple[YamlPath, str]]:
    """Yield why the values of tasks cannot be written out."""
    if any(not isinstance(one, (str, int, float)) for row in _raw(workflow, step) for one in row):
        yield ("scatter",), f"a task for each value that is not a text or number {ALONE}"
        return
    count = len(_rows(workflow, step))
    if not count or count > ROWS_MAX:
        yield ("scatter",), f"expected from 1 to {ROWS_MAX} tasks, found {count}"
    elif step.when and b"{task}" in msgspec.json.encode(step.job):
        yield ("when",), f"beside {{task}} in the job {ALONE}: the numbers would differ"


def _raw(workflow: Workflow, step: Step) -> Iterator[tuple[Any, ...]]:
    """Yield the elements of each task of a step that scatters over given values."""
    lists = [_value(workflow, step.inputs[port]) or () for port in step.scatter]
    every = zip(*lists, strict=False) if step.scatter_method == "dot" else product(*lists)
    yield from islice(every, ROWS_MAX + 1)


def _rows(workflow: Workflow, step: Step) -> tuple[dict[str, Any], ...]:
    """Return the values of each task, without those that do not meet `when`."""
    if not step.scatter or _file_ports(workflow, step):
        return ()
    rows = [dict(zip(step.scatter, row, strict=True)) for row in _raw(workflow, step)]
    return tuple(row for row in rows if parse_query(_scattered(step)).meets(row))


def _scattered(step: Step) -> dict[str, Any]:
    """Return the conditions on scattered values."""
    return {key: clause for key, clause in step.when.items() if key in step.scatter}


def _of_when(
    workflow: Workflow, name: str, step: Step, table: KeyTable
) -> Iterator[tuple[YamlPath, str]]:
    """Yield the conditions that can be applied neither to values now nor to files later."""
    for key, clause in step.when.items():
        at = ("when", key)
        if key in step.scatter and not _file_ports(workflow, step):
            continue  # its values are selected already
        given = step.inputs.get(key)
        if given is not None and not graph.brings_files(workflow, given):
            value = _value(workflow, given)
            # conditions on a list apply to each element
            is_plain = isinstance(value, (str, int, float))
            if is_plain and not parse_query({key: clause}).meets({key: value}):
                shown = braces.as_text(value)
                yield at, f"is never met: {key} is {shown}, so the step would make no task"
        elif key not in table.common[name]:
            yield at, f"a condition on {key} {ALONE}"
        else:
            for port in _used_once(workflow, step):
                for _, query in _origins(workflow, step, port):
                    if key in query and query[key] != clause:
                        yield at, f"inputs.{port} has a condition on {key} too: write both there"
                        break


def to_transformations(workflow: Workflow) -> dict[str, Transformation]:
    """Return the document of each step, parents first. There must be no obstacles."""
    table = key_table(workflow)
    return {name: _document(workflow, name, table) for name in graph.order(workflow)}


def title_of(workflow: Workflow, step: str) -> str:
    """Return the name of a step's transformation."""
    return f"{workflow.name}-{step}"


def _document(workflow: Workflow, name: str, table: KeyTable) -> Transformation:
    step = workflow.steps[name]
    inputs, rows = tuple(_inputs(workflow, step)), _rows(workflow, step)
    return Transformation(
        name=title_of(workflow, name),
        title=step.title,
        inputs=inputs,
        tasks=0 if inputs else len(rows) or max(1, step.tasks),
        rows=rows,
        grouping=_grouping(workflow, step),
        job=_job(workflow, name, step),
        metadata=_metadata(workflow, name, step, table),
        scouts=step.scouts,
        pause_when_failed=step.pause_when_failed,
        errors_max=step.errors_max,
        tasks_open_max=step.tasks_open_max,
        failover=step.failover,
        allow_partial=workflow.allowed(name),
        reuse=workflow.reuses(name),
        versions=workflow.software if workflow.reuses(name) else {},
        inherit=() if isinstance(step.inherit, bool) else step.inherit,
    )


def _metadata(workflow: Workflow, name: str, step: Step, table: KeyTable) -> dict[str, Value]:
    """Return the metadata of all files of a step; inherited keys are written out."""
    inherited: dict[str, Value] = {}
    for key, known in table.common[name].items() if step.inherit is True else ():
        alone = next(iter(known.values)) if known.is_one and known.values else None
        inherited[key] = "{" + key + "}" if alone is None else alone
    return {**workflow.metadata, **inherited, **step.metadata}


def _job(workflow: Workflow, name: str, step: Step) -> Job:
    """Return the template, with `{inputs}` for files, and with values filled in."""
    ports = _file_ports(workflow, step)
    values: dict[str, Any] = {
        port: _value(workflow, given)
        for port, given in step.inputs.items()
        if (given.has_value or given.parameter) and port not in step.scatter
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


def _value(workflow: Workflow, given: StepInput) -> Any:
    """Return the value in the definition; None if it comes from a step."""
    if given.has_value:
        return given.value
    return workflow.parameters[given.parameter].value if given.parameter else None


def _file_ports(workflow: Workflow, step: Step) -> list[str]:
    return [port for port, given in step.inputs.items() if graph.brings_files(workflow, given)]


def _output(workflow: Workflow, name: str, port: str, output: StepOutput) -> DataOutput:
    source = Source(step=name, port=port)
    marks = {PORT_KEY: port} if _is_told_apart(workflow, source) else {}
    found = DataOutput(
        pattern=output.pattern,
        dataset=output.dataset,
        metadata={**output.metadata, **marks},
        storages=output.storages,
        scope=output.scope,
        confirm=output.confirm,
        required=output.required,
    )
    return msgspec.structs.replace(found, name=output.name) if output.name else found


def _inputs(workflow: Workflow, step: Step) -> Iterator[InputSpec]:
    """Yield the inputs of the transformation: one for each source of a port."""
    once = _used_once(workflow, step)
    for port in _file_ports(workflow, step):
        given = step.inputs[port]
        use: Literal["once", "shared"] = "once" if port in once else "shared"
        for i, (origin, query) in enumerate(_origins(workflow, step, port)):
            yield InputSpec(
                name=port if i == 0 else f"{port}_{i + 1}",
                query=query,
                from_=origin,
                use=use,
                on=given.on,
                count=given.count or (1 if use == "once" else 0),
                to=port,
                files_max=given.files_max,
            )


def _used_once(workflow: Workflow, step: Step) -> list[str]:
    """Return the ports whose files make the tasks.

    These are the grouped ports; otherwise the scattered port; otherwise those whose files make the
    only task together.
    """
    ports = _file_ports(workflow, step)
    return (
        graph.once_ports(workflow, step)
        or [port for port in ports if port in step.scatter]
        or [port for port in ports if step.inputs[port].use == "once"]
        or ports
    )


def _origins(workflow: Workflow, step: Step, port: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the transformations that feed a port (empty: the catalogue), with the queries."""
    given = step.inputs[port]
    asked = dict(given.where)
    if port in _used_once(workflow, step):  # without this condition there is no task
        asked |= {
            key: clause
            for key, clause in step.when.items()
            if key not in step.inputs and key not in asked
        }
    if given.is_catalogue:
        dataset = {"dataset": given.dataset} if given.dataset else {}
        yield "", {**asked, **given.query, **dataset}
    for source in given.sources:
        narrowed = {PORT_KEY: source.port} if _is_told_apart(workflow, source) else {}
        yield title_of(workflow, source.step), {**asked, **narrowed}


def _is_told_apart(workflow: Workflow, source: Source) -> bool:
    outputs = workflow.steps[source.step].outputs.values()
    return sum(not one.value for one in outputs) > 1


def _grouping(workflow: Workflow, step: Step) -> Grouping:
    if graph.once_ports(workflow, step) or step.grouping is not None:
        return graph.grouping_of(workflow, step)
    gathers = not step.scatter and _used_once(workflow, step)
    return Grouping(rule=ALL) if gathers else Grouping()
