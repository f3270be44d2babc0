"""Checks a workflow before anything of it runs. Pure."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Final, cast

from pilotage.proto.catalogue import (
    BadCatalogueField,
    Did,
    Op,
    Query,
    Value,
    check_key,
    parse_query,
    type_of,
)
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.decoding.strict_yaml import YamlPath
from pilotage.proto.documents.workflow import (
    ALL,
    ANY,
    BYTES,
    COUNT,
    FILE,
    JOIN,
    KEY,
    LIST,
    Source,
    Step,
    StepInput,
    Workflow,
)

from ..transformations.groupings.rule_names import BUILT_IN, GROUP
from . import braces, failover_rules, graph
from .errors import Fault
from .metadata_keys import KeyTable, KeyValueSets, agreed, key_table, offered

TASK: Final = "task"
TRANSFORMATION: Final = "transformation"
INPUTS: Final = "inputs"
RESERVED: Final = (TASK, TRANSFORMATION, INPUTS)  # names with a fixed meaning in braces


def check(workflow: Workflow) -> list[Fault]:
    """Return all faults, in the order of the workflow."""
    return list(faults(workflow))


def faults(workflow: Workflow) -> Iterator[Fault]:
    """Yield the faults, in the order of the workflow, so that a caller can stop early.

    With many names, finding the nearest right word takes long.
    """
    yield from _of_workflow(workflow)
    yield from failover_rules.faults(workflow)
    table = key_table(workflow)
    for name, step in workflow.steps.items():
        yield from _Checker(workflow, name, step, table).faults()


def _of_workflow(workflow: Workflow) -> Iterator[Fault]:
    ring = graph.cycle(workflow)
    if ring:
        way = " → ".join([*ring, ring[0]])
        yield Fault(ring[0], ("inputs",), f"the steps feed each other in a cycle: {way}")
    for name, parameter in workflow.parameters.items():
        if name in RESERVED:
            yield Fault(
                "", ("parameters", name), f"{{{name}}} has a fixed meaning: choose another name"
            )
        if parameter.value is None:
            yield Fault("", ("parameters", name), "has no value: give a value or a default")
        elif (wrong := misfit(parameter.value, parameter.type)) is not None:
            yield Fault("", ("parameters", name), wrong)
    for key, value in workflow.metadata.items():
        yield from (Fault("", place, message) for place, message in _of_key(("metadata", key), key))
        if isinstance(value, str) and ("{" in value or "}" in value):
            yield Fault(
                "",
                ("metadata", key),
                "braces have no meaning here: use them in the metadata of a step",
            )


class _Checker:
    """Checks one step."""

    def __init__(self, workflow: Workflow, name: str, step: Step, table: KeyTable) -> None:
        self._workflow, self._name, self._step = workflow, name, step
        self._table = table
        self._once = graph.once_ports(workflow, step)

    def faults(self) -> Iterator[Fault]:
        looks = (
            *(self._of_inputs, self._of_shape, self._of_grouping),
            *(self._of_outputs, self._of_job),
        )
        for look in looks:
            for place, message in look():
                yield Fault(self._name, place, message)

    # -- inputs -----------------------------------------------------------------------------------

    def _of_inputs(self) -> Iterator[tuple[YamlPath, str]]:
        for port, given in self._step.inputs.items():
            at = ("inputs", port)
            if port in RESERVED:
                yield at, f"{{{port}}} has a fixed meaning: give the port another name"
            said = [
                word
                for word, is_said in (
                    ("from", given.sources),
                    ("query", given.query),
                    ("dataset", given.dataset),
                    ("value", given.has_value),
                    ("parameter", given.parameter),
                )
                if is_said
            ]
            if len(said) != 1:
                words = " and ".join(said) or "nothing"
                yield at, f"expected one of from, query, dataset, value, parameter; found {words}"
                continue
            if said == ["parameter"] and given.parameter not in self._workflow.parameters:
                known = self._workflow.parameters
                yield (*at, "parameter"), unknown(given.parameter, known, what="parameter")
            yield from self._of_sources(port, given)
            yield from self._of_conditions(port, given)

    def _of_sources(self, port: str, given: StepInput) -> Iterator[tuple[YamlPath, str]]:
        at = ("inputs", port, "from")
        kinds: set[bool] = set()
        for source in given.sources:
            wrong = self._of_source(source)
            if wrong:
                yield at, wrong
                continue
            output = graph.output_of(self._workflow, source)
            assert output is not None
            kinds.add(not output.value)
            kind, gives_list = graph.type_of_output(output), self._gives_list(source)
            if gives_list and output.value and port not in self._step.scatter:
                if port not in self._step.gather:
                    many = f"{source} has one value for each task of {source.step}"
                    yield at, f"{many}: name the port in `gather` or in `scatter`"
                    continue
            whole = kind + LIST * max(1, self._depth(source)) if gives_list else kind
            whole = whole if output.value else kind + LIST
            if port in self._step.scatter and not whole.endswith(LIST) and kind != ANY:
                yield at, f"{source} gives one {kind}, but scatter needs a list"
            element = whole.removesuffix(LIST) if port in self._step.scatter else whole
            wanted = given.type
            if wanted and not output.value and wanted.removesuffix(LIST) in (FILE, ANY):
                continue
            if wanted and not _suits(element, wanted):
                yield ("inputs", port, "type"), f"{source} gives {element}, not {wanted}"
        if len(kinds) == 2 or (len(given.sources) > 1 and kinds == {False}):
            yield at, "several sources of one port must all give files"

    def _gives_list(self, source: Source) -> bool:
        step = self._workflow.steps[source.step]
        return not graph.is_one_task(self._workflow, step)

    def _depth(self, source: Source) -> int:
        """Return the depth of the list from a scattered step."""
        parent = self._workflow.steps[source.step]
        return len(parent.scatter) if parent.scatter_method == "nested" else 1

    def _of_source(self, source: Source) -> str:
        steps = self._workflow.steps
        if source.step not in steps:
            return unknown(source.step, steps, what="step")
        outputs = steps[source.step].outputs
        if source.port not in outputs:
            if not outputs:
                return f"the step {source.step} has no outputs"
            return unknown(source.port, outputs, what=f"output of {source.step}")
        return ""

    def _of_conditions(self, port: str, given: StepInput) -> Iterator[tuple[YamlPath, str]]:
        brings = graph.brings_files(self._workflow, given)
        for word in ("where", "on", "count", "files_max", "use"):
            if not brings and getattr(given, word) not in ({}, (), 0, "once"):
                yield ("inputs", port, word), "is for files, but this port has a value"
        if given.dataset:
            try:
                Did.parse(given.dataset, "")
            except BadCatalogueField as why:
                yield ("inputs", port, "dataset"), f"expected {why.right}, found {why.value!r}"
        if given.query and given.where:
            yield ("inputs", port, "where"), "use `query` alone"
        word = "query" if given.query else "where"
        query = yield from self._query(given.query or given.where, ("inputs", port, word))
        keys = offered(self._workflow, given, self._table)
        if not brings or (given.sources and not self._resolved(given)):
            return  # another check reports that
        what = "keys:" if given.is_catalogue else ", ".join(map(str, given.sources))
        for condition in query.conditions:
            at = ("inputs", port, word, condition.key)
            if condition.key not in keys:
                yield at, self._no_such_key(condition.key, keys, given)
            elif condition.op is not Op.EXISTS:
                value = condition.value
                values = value if isinstance(value, tuple) else (value,)
                wrong = [*self._of_values(at, keys, condition.key, values)]
                yield from wrong
                if condition.op in (Op.EQ, Op.IN) and not wrong:
                    yield from self._of_reach(at, keys, condition.key, values, what)
        for key in given.on:
            if brings and key not in self._taken(port):
                yield ("inputs", port, "on"), self._no_such_key(key, self._taken(port), given)

    def _query(
        self, found: dict[str, Any], at: YamlPath
    ) -> Generator[tuple[YamlPath, str], None, Query]:
        """Yield faults in conditions; return them as a query."""
        try:
            return parse_query(found)
        except BadCatalogueField as why:
            steps = tuple(filter(None, why.field.removeprefix("query").split(".")))
            yield (*at, *steps), f"found {why.value!r}, expected {why.right}"
            return Query(())

    def _resolved(self, given: StepInput) -> bool:
        return all(graph.output_of(self._workflow, one) is not None for one in given.sources)

    def _no_such_key(self, key: str, keys: KeyValueSets, given: StepInput) -> str:
        if given.is_catalogue:
            return f"{unknown(key, keys)}; declare keys of catalogue files under `keys`"
        text = ", ".join(map(str, given.sources))
        if not keys:
            return f"files of {text} have no metadata"
        return f"files of {text} do not have it: {unknown(key, keys)}"

    def _of_values(
        self, at: YamlPath, keys: KeyValueSets, key: str, values: tuple[Any, ...]
    ) -> Iterator[tuple[YamlPath, str]]:
        kind = keys[key].type
        for value in values:
            if kind and type_of(value).value != kind:
                yield at, f"{key} is a {kind}, found {value!r}"

    def _of_reach(
        self, at: YamlPath, keys: KeyValueSets, key: str, wanted: Iterable[Value], what: str
    ) -> Iterator[tuple[YamlPath, str]]:
        """Yield a fault for a condition that no file can meet: the step would never run."""
        there = keys[key].values
        if there is None or there & set(wanted):
            return
        text = ", ".join(sorted(map(braces.as_text, there)))
        values = " or ".join(braces.as_text(one) for one in wanted)
        yield at, f"no file of {what} has the value {values}: the values are {text}"

    def _taken(self, port: str) -> KeyValueSets:
        return self._table.taken.get((self._name, port), {})

    # -- tasks -------------------------------------------------------------------------------------

    def _of_shape(self) -> Iterator[tuple[YamlPath, str]]:
        step = self._step
        for word in ("scatter", "gather"):
            for port in getattr(step, word):
                if port not in step.inputs:
                    yield (word,), unknown(port, step.inputs, what="port")
        for port in set(step.scatter) & set(step.gather):
            yield ("gather",), f"{port} is in `scatter` too: use only one of them"
        for port in step.scatter:
            given = step.inputs.get(port)
            if given is None or given.sources or given.is_catalogue:
                continue
            value = self._given_value(given)
            if value is not None and not isinstance(value, (list, tuple)):
                yield ("scatter",), f"{port} is {value!r}, but scatter needs a list"
        for port, given in step.inputs.items():
            wanted = given.type + LIST if port in step.scatter and given.type else given.type
            value = self._given_value(given)
            if value is not None and wanted and (wrong := misfit(value, wanted)) is not None:
                yield ("inputs", port, "value" if given.has_value else "parameter"), wrong
        if step.scatter and self._once:
            yield (
                ("scatter",),
                f"files of {self._once[0]} are grouped: name it in `gather`, or here",
            )
        if step.tasks and (self._once or step.scatter):
            why = f"{self._once[0]} takes files" if self._once else "it scatters"
            yield ("tasks",), f"is for a step without files, but {why}"
        yield from self._of_when()

    def _given_value(self, given: StepInput) -> Any:
        if given.has_value:
            return given.value
        parameter = self._workflow.parameters.get(given.parameter)
        return None if parameter is None else parameter.value

    def _of_when(self) -> Iterator[tuple[YamlPath, str]]:
        query = yield from self._query(self._step.when, ("when",))
        values = [
            port
            for port, given in self._step.inputs.items()
            if not graph.brings_files(self._workflow, given)
        ]
        known = {*values, *self._common(), TASK}
        for condition in query.conditions:
            if condition.key not in known:
                yield ("when", condition.key), unknown(condition.key, known, what="value")

    def _of_grouping(self) -> Iterator[tuple[YamlPath, str]]:
        grouping = self._step.grouping
        of_groups = grouping.keys if grouping is not None else ()
        joins = len(self._once) > 1 and (grouping is None or grouping.rule == JOIN)
        if joins and not all(self._step.inputs[port].on or of_groups for port in self._once):
            ports = ", ".join(self._once)
            why = f"{ports} are joined: give the keys in `grouping.keys`, or in `on` of each"
            yield ("inputs",), why
        if grouping is None:
            return
        at = ("grouping",)
        if not self._once:
            yield at, "there are no files to group: no input takes files that are used once"
            return
        rule = grouping.rule
        if rule not in BUILT_IN:
            rules = {*BUILT_IN, *(one.name for one in entry_points(group=GROUP))}
            if rule not in rules:
                yield (*at, "rule"), unknown(rule, rules, what="rule")
        if rule == KEY and not grouping.keys:
            yield (*at, "keys"), "the rule key needs the keys with equal values"
        if grouping.keys and rule in (COUNT, BYTES, ALL):
            yield (*at, "keys"), f"the rule {rule} takes no keys; key and join do"
        if grouping.partial == "after" and not grouping.after_s:
            yield (*at, "after_s"), "give the seconds that a partial group waits"
        if rule == BYTES and not grouping.bytes_max:
            yield (*at, "bytes_max"), "the rule bytes needs bytes_max, the size of a full group"
        if len(self._once) > 1 and rule not in (JOIN, ALL):
            ports = ", ".join(self._once)
            yield (*at, "rule"), f"with several ports ({ports}), expected join or all"
        for key in grouping.keys:
            for port in self._once:
                if key not in self._taken(port):
                    given = self._step.inputs[port]
                    yield (*at, "keys"), self._no_such_key(key, self._taken(port), given)

    # -- outputs ----------------------------------------------------------------------------------

    def _of_outputs(self) -> Iterator[tuple[YamlPath, str]]:
        for port, output in self._step.outputs.items():
            at = ("outputs", port)
            if bool(output.pattern) == bool(output.value):
                yield at, "expected one of pattern (files) and value (a JSON file)"
                continue
            path = output.pattern or output.value
            if path.startswith("/") or ".." in path.split("/"):
                yield at, f"{path} leaves the folder of the task"
            if output.pattern and output.type not in ("", FILE, FILE + LIST):
                yield (*at, "type"), f"a pattern gives files, not {output.type}"
            if output.value:
                words = ("metadata", "sets", "dataset", "name", "storages", "scope", "confirm")
                for word in words:
                    if getattr(output, word):
                        yield (*at, word), "is for files, but this port gives a value"
            yield from self._of_text((*at, "pattern"), path)
            yield from self._of_text((*at, "scope"), output.scope)
            yield from self._of_text((*at, "name"), output.name, ("job", "file", "stem", "suffix"))
            yield from self._of_metadata((*at, "metadata"), output.metadata)
            for key in output.sets:
                yield from _of_key((*at, "sets", key), key)
        yield from self._of_metadata(("metadata",), self._step.metadata)

    def _of_metadata(
        self, at: YamlPath, found: Mapping[str, Value]
    ) -> Iterator[tuple[YamlPath, str]]:
        for key, value in found.items():
            yield from _of_key((*at, key), key)
            if isinstance(value, str):
                yield from self._of_text((*at, key), value)

    def _of_job(self) -> Iterator[tuple[YamlPath, str]]:
        job = self._step.job
        for word in ("inputs", "outputs", "data"):
            if getattr(job, word):
                yield ("job", word), "use `inputs`, `outputs` and `files` of the step"
        for i, text in enumerate(job.command):
            yield from self._of_text(("job", "command", i), text)
        for name, text in job.environment.items():
            yield from self._of_text(("job", "environment", name), text)
        yield from self._of_text(("job", "name"), job.name)
        names = [path.rpartition("/")[2] for path in self._step.files]
        for i, name in enumerate(names):
            if name in names[:i]:
                yield ("files", i), f"there are two files {name}: all are put into one folder"

    def _of_text(
        self, at: YamlPath, text: str, more: tuple[str, ...] = ()
    ) -> Iterator[tuple[YamlPath, str]]:
        """Yield a fault for braces without a meaning here."""
        try:
            found = braces.names(text)
        except braces.BadBraces as why:
            yield at, str(why)
            return
        known = {*RESERVED, *self._step.inputs, *self._common(), *more}
        for name in found:
            if name in known:
                continue
            varies = [port for port in self._once if name in self._taken(port)]
            if varies:
                yield (
                    at,
                    (
                        f"{{{name}}}: files of one task may have different values; to group by it, "
                        f"write `grouping: {{rule: key, keys: [{name}]}}`"
                    ),
                )
            else:
                yield at, unknown(name, known, what="name in braces")

    def _common(self) -> set[str]:
        """Return the keys with one value for all files of a task."""
        return {*self._table.common.get(self._name, {}), *agreed(self._step)}


def _suits(given: str, wanted: str) -> bool:
    """Return whether one type may be taken as the other; `any` fits all, in lists too."""
    while given.endswith(LIST) and wanted.endswith(LIST):
        given, wanted = given.removesuffix(LIST), wanted.removesuffix(LIST)
    return ANY in (given, wanted) or given == wanted


def _of_key(at: YamlPath, key: str) -> Iterator[tuple[YamlPath, str]]:
    try:
        check_key(key, "")
    except BadCatalogueField as why:
        yield at, f"found {key!r}, expected {why.right}"


_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def misfit(value: Any, wanted: str) -> str | None:
    """Return why a value does not have a type; None: it has."""
    if wanted.endswith(LIST):
        if not isinstance(value, (list, tuple)):
            return f"expected a list, found {value!r}"
        inner = wanted.removesuffix(LIST)
        each = (misfit(one, inner) for one in cast(Iterable[Any], value))
        return next((wrong for wrong in each if wrong is not None), None)
    if wanted == FILE:
        return f"expected a file, found {value!r}: files come from steps or the catalogue"
    kinds = _KINDS.get(wanted)
    if kinds is None or (isinstance(value, kinds) and isinstance(value, bool) is (bool in kinds)):
        return None
    return f"expected {wanted}, found {value!r}"
