"""Derives the metadata keys of each port's files from the definition. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pilotage.proto.catalogue import BadCatalogueField, Op, Query, Value, parse_query, type_of
from pilotage.proto.documents.workflow import (
    COUNT,
    KEY,
    Source,
    Step,
    StepInput,
    StepOutput,
    Workflow,
)

from . import braces, graph

NUMBER: Final = "number"
STRING: Final = "string"


@dataclass(frozen=True)
class KeyValues:
    """The type of a key's values (empty: unknown), and the possible values (None: unknown)."""

    type: str = ""
    values: frozenset[Value] | None = None

    @property
    def is_one(self) -> bool:
        return self.values is not None and len(self.values) == 1


KeyValueSets = Mapping[str, KeyValues]
Port = tuple[str, str]  # step and port


@dataclass(frozen=True)
class KeyTable:
    """The keys of all ports, and those that all files of a task share, by step."""

    made: dict[Port, KeyValueSets] = field(default_factory=dict[Port, KeyValueSets])
    taken: dict[Port, KeyValueSets] = field(default_factory=dict[Port, KeyValueSets])
    common: dict[str, KeyValueSets] = field(default_factory=dict[str, KeyValueSets])


def key_table(workflow: Workflow) -> KeyTable:
    """Return the keys of all steps that are not in a cycle."""
    table = KeyTable()
    for name in graph.order(workflow):
        step = workflow.steps[name]
        for port, given in step.inputs.items():
            if graph.brings_files(workflow, given):
                table.taken[name, port] = _taken(workflow, given, table)
        table.common[name] = _common(workflow, name, step, table)
        for port, output in step.outputs.items():
            if not output.value:
                table.made[name, port] = _made(workflow, name, step, output, table)
    return table


def query_of(conditions: Mapping[str, Any]) -> Query:
    """Return a query; without conditions if it is invalid, which another check reports."""
    try:
        return parse_query(conditions)
    except BadCatalogueField:
        return Query(())


def known_of(value: Value) -> KeyValues:
    """Return the type and value of a key with one known value."""
    return KeyValues(type_of(value).value, frozenset({value}))


def offered(workflow: Workflow, given: StepInput, table: KeyTable) -> KeyValueSets:
    """Return the keys of the files for a port, before its `where` or `query` applies."""
    if given.is_catalogue:
        return {key: KeyValues(kind.value) for key, kind in workflow.keys.items()}
    parts = [_of(table, source) for source in given.sources]
    found: dict[str, KeyValues] = {}
    for key in dict.fromkeys(key for part in parts for key in part):
        each = [part[key] for part in parts if key in part]
        if len(each) == len(parts):  # all sources have this key
            found[key] = _either(each)
    return found


def _of(table: KeyTable, source: Source) -> KeyValueSets:
    return table.made.get((source.step, source.port), {})


def _taken(workflow: Workflow, given: StepInput, table: KeyTable) -> KeyValueSets:
    found = dict(offered(workflow, given, table))
    for condition in query_of(given.query or given.where).conditions:
        if condition.op is Op.EXISTS:
            continue
        values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
        before = found.get(condition.key, KeyValues())
        fit = before.values
        if fit is None and condition.op in (Op.EQ, Op.IN):
            fit = frozenset(values)
        elif fit is not None:
            fit = frozenset(value for value in fit if condition.meets(value))
        found[condition.key] = KeyValues(before.type or type_of(values[0]).value, fit)
    return found


def agreed(step: Step) -> frozenset[str]:
    """Return the keys in which all files of a task agree by the step's grouping."""
    of_groups = step.grouping.keys if step.grouping is not None else ()
    joined = (key for given in step.inputs.values() for key in given.on)
    return frozenset({*of_groups, *joined})


def _common(workflow: Workflow, name: str, step: Step, table: KeyTable) -> KeyValueSets:
    ports = [
        port
        for port, given in step.inputs.items()
        if given.use == "once" and graph.brings_files(workflow, given)
    ]
    if not ports:
        return {}
    taken = [table.taken[name, port] for port in ports]
    rule = step.grouping.rule if step.grouping is not None else COUNT
    size = step.grouping.size if step.grouping is not None else 1
    lone = len(ports) == 1 and ports[0] not in step.gather and rule in (COUNT, KEY) and size == 1
    found: dict[str, KeyValues] = {}
    for key in taken[0]:
        each = [part[key] for part in taken if key in part]
        one = _either(each)
        if len(each) == len(taken) and (one.is_one or lone or key in agreed(step)):
            found[key] = one
    return found


def _made(
    workflow: Workflow, name: str, step: Step, output: StepOutput, table: KeyTable
) -> KeyValueSets:
    common = table.common[name]
    found = {key: known_of(value) for key, value in workflow.metadata.items()}
    if step.inherit is True:
        found |= common
    found |= {key: _rendered(value, common) for key, value in step.metadata.items()}
    found |= _listed(workflow, name, step, table)
    found |= {key: _rendered(value, common) for key, value in output.metadata.items()}
    for key, values in output.sets.items():
        found[key] = _either([known_of(one) for one in values]) if values else KeyValues()
    return found


def _listed(workflow: Workflow, name: str, step: Step, table: KeyTable) -> KeyValueSets:
    """Return the keys that a step inherits by name, if the files for its tasks may have them."""
    if isinstance(step.inherit, bool):
        return {}
    ports = graph.once_ports(workflow, step)
    found: dict[str, KeyValues] = {}
    for key in step.inherit:
        each = [table.taken[name, port][key] for port in ports if key in table.taken[name, port]]
        if each and len(each) == len(ports):
            either = _either(each)
            if either.values is not None and key in step.metadata and not either.is_one:
                either = _either([either, known_of(step.metadata[key])])
            found[key] = either
    return found


def _rendered(value: Value, common: KeyValueSets) -> KeyValues:
    """Return the type and values of a value that may have braces."""
    if not isinstance(value, str) or not ("{" in value or "}" in value):
        return known_of(value)
    name = braces.alone(value)
    if name == "task":
        return KeyValues(NUMBER)
    return common.get(name, KeyValues()) if name else KeyValues(STRING)


def _either(each: Iterable[KeyValues]) -> KeyValues:
    parts = list(each)
    types = {one.type for one in parts}
    values: frozenset[Value] | None = frozenset()
    for one in parts:
        values = None if values is None or one.values is None else values | one.values
    return KeyValues(types.pop() if len(types) == 1 else "", values)
