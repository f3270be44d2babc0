"""CTADIRAC's form of workflows: `Common` and `ProdSteps`, with element types as data.

It is stricter than CTADIRAC: it refuses unknown keys, a parent together with a dataset, and a
parent that does not come before.
"""

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from pilotage.proto.catalogue import BadCatalogueField, KeyType, Value, checked_value
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.decoding.strict_yaml import YamlPath
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.documents.transformation import Grouping
from pilotage.proto.documents.workflow import Source, Step, StepInput, StepOutput, Workflow

from . import braces
from .errors import BadWorkflow
from .source_lines import (
    SourceText,
    WorkflowSource,
    check_words,
    converted,
    is_list,
    is_mapping,
    load,
    read_text,
)

STEPS: Final = "ProdSteps"
COMMON: Final = "Common"
_STEP: Final = ("ID", "name", "input_meta_query", "job_config")
PORT: Final = "files"  # the port for the files of a step
OWN: Final = Path(__file__).with_name("cta_types.yaml")

_FIELDS: Final = {  # fields of the model, and their keys in this form
    "inputs": "input_meta_query",
    "grouping": "job_config",
    "job": "job_config",
    "metadata": "job_config",
    "outputs": "job_config",
}

ValueKind = Literal["text", "integer", "number", "boolean", "list", "words"]
Fills = Literal[
    "", "sites", "wall_s", "tags", "cores_min", "size", "files_max", "files", "tasks", "base_path"
]


class _Part(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    pass


class KeyRule(_Part, frozen=True, kw_only=True):
    """Values of a key of a step, and their use."""

    kind: ValueKind = "text"
    required: bool = False
    default: Any = None
    one_of: tuple[str, ...] = ()
    option: str = ""  # put before its value in the command
    metadata: str = ""  # key of the output files that gets the value
    values: dict[str, Value] = {}  # metadata value for each value
    varies: bool | Literal["any"] = False  # files have one value each; any: of any kind
    fills: Fills = ""  # part of the job that it fills
    help: str = ""


class TypeOutput(_Part, frozen=True, kw_only=True):
    """Output files of a type."""

    pattern: str
    required: bool = True
    files: int | Literal["per_input"] = 1
    metadata: dict[str, Value] = {}
    sets: tuple[str, ...] = ()


class ElementType(_Part, frozen=True, kw_only=True):
    """A kind of step."""

    title: str = ""
    type: str = "User"  # type of its jobs
    simulates: bool = False  # it takes no files
    cores_min: int = 1
    keys: dict[str, KeyRule] = {}
    adds: dict[str, int] = {}  # added to a metadata value of the parent's files
    command: tuple[str, ...]
    metadata: dict[str, Value] = {}
    outputs: dict[str, TypeOutput]  # children take the first


class TypesFile(_Part, frozen=True, kw_only=True):
    """A file with element types, and their common keys."""

    scope: str = ""
    common: dict[str, KeyRule] = {}
    generic: dict[str, KeyRule] = {}
    shortcuts: dict[str, KeyRule] = {}
    keys: dict[str, KeyType] = {}
    types: dict[str, ElementType] = {}


def element_types(more: Sequence[Path] = ()) -> TypesFile:
    """Return our element types, and those of files or folders. Raises BadWorkflow."""
    found = _types_of(OWN)
    for path in more:
        files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not files:
            raise BadWorkflow([f"{path}: it has no .yaml file with element types"])
        for file in files:
            added = _types_of(file)
            found = TypesFile(
                scope=added.scope or found.scope,
                common=found.common | added.common,
                generic=found.generic | added.generic,
                shortcuts=found.shortcuts | added.shortcuts,
                keys=found.keys | added.keys,
                types=found.types | added.types,
            )
    return found


def _types_of(path: Path) -> TypesFile:
    text = read_text(path)
    found = load(text)
    if is_mapping(found.get("types")):
        for name, said in found["types"].items():  # one by one, so that a fault gets its line
            converted(text, said, ElementType, ("types", str(name)))
    return converted(text, found, TypesFile, ())


def parse(text: SourceText, found: dict[str, Any], types: TypesFile) -> WorkflowSource:
    """Return the workflow in a text, read but not checked. Raises BadWorkflow."""
    return _Reader(text, found, types).read()


class _Reader:
    def __init__(self, text: SourceText, found: dict[str, Any], types: TypesFile) -> None:
        self._text, self._found, self._types = text, found, types
        # the case of types does not matter
        self._names = {name.lower(): name for name in types.types}
        self._steps: dict[str, Step] = {}
        self._by_id: dict[int, str] = {}
        self._base = ""

    def read(self) -> WorkflowSource:
        check_words(self._text, self._found, (COMMON, STEPS), ())
        common: Any = self._found.get(COMMON) or {}
        if not is_mapping(common):
            raise self._text.wrong((COMMON,), "expected a mapping")
        check_words(self._text, common, tuple(self._types.common), (COMMON,))
        config = self._config(common, self._types.common, (COMMON,), "")
        metadata: dict[str, Value] = {}
        for key, value in config.items():
            rule = self._types.common[key]
            if rule.metadata:
                metadata[rule.metadata] = self._metadata_value(rule, value, (COMMON, key))
            if rule.fills == "base_path":
                self._base = str(value).strip("/")
        given: Any = self._found[STEPS]
        if not is_list(given) or not given:
            raise self._text.wrong((STEPS,), "expected a list of steps")
        places: dict[str, YamlPath] = {}
        for i, said in enumerate(given):
            name = self._step(said, (STEPS, i))
            places[name] = (STEPS, i)
        name = _plain(Path(self._text.where).stem)
        bare = converted(
            self._text, {"name": name, "steps": {"x": {"job": {"command": ["x"]}}}}, Workflow, ()
        )
        workflow = Workflow(
            name=bare.name,
            metadata=metadata,
            keys=self._types.keys,
            steps=self._steps,
        )
        return WorkflowSource(workflow, self._text, places, _FIELDS)

    # -- one step --------------------------------------------------------------------------------

    def _step(self, said: Any, place: YamlPath) -> str:
        if not is_mapping(said):
            raise self._text.wrong(place, "expected a step: a mapping with ID and job_config")
        check_words(self._text, said, _STEP, place)
        number = said.get("ID")
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise self._text.wrong((*place, "ID"), f"expected a number from 1 on, found {number!r}")
        if number in self._by_id:
            raise self._text.wrong((*place, "ID"), f"there are two steps with the ID {number}")
        given: Any = said.get("job_config")
        if not is_mapping(given) or "type" not in given:
            raise self._text.wrong(place, "job_config with a `type` is missing")
        at = (*place, "job_config")
        kind = self._names.get(str(given["type"]).lower())
        if kind is None:
            why = unknown(str(given["type"]), self._types.types, what="type")
            raise self._text.wrong((*at, "type"), why)
        name = str(said.get("name") or f"Step{number}_{kind}")
        converted(self._text, {"step": name, "port": "x"}, Source, (*place, "name"))
        if name in self._steps:
            raise self._text.wrong((*place, "name"), f"there are two steps with the name {name}")
        element = self._types.types[kind]
        rules = {**self._types.generic, **element.keys}
        check_words(self._text, given, ("type", *rules), at, step=name)
        config = self._config(given, rules, at, name)
        query: Any = said.get("input_meta_query") or {}
        asked, parent = self._input(query, (*place, "input_meta_query"), name, element, config)
        self._steps[name] = self._made(element, rules, config, asked, parent, at)
        self._by_id[number] = name
        return name

    def _config(
        self, given: Mapping[str, Any], rules: Mapping[str, KeyRule], place: YamlPath, step: str
    ) -> dict[str, Any]:
        """Return the values of keys, with defaults for missing ones."""
        found: dict[str, Any] = {}
        for key, rule in rules.items():
            value = given.get(key)
            if value is None or (rule.kind == "list" and value in ("", [])):
                if rule.required:
                    why = f"the key `{key}` is missing"
                    raise self._text.wrong(place, why, step=step)
                if rule.default is not None:
                    found[key] = rule.default
                continue
            found[key] = self._typed(rule, value, (*place, key), step)
        return found

    def _typed(self, rule: KeyRule, value: Any, place: YamlPath, step: str) -> Any:
        """Return a value of the kind of its rule; dates and numbers are valid texts."""
        if rule.kind == "list":
            parts: Any = value if is_list(value) else str(value).split(",")
            found = [str(one).strip() for one in parts]
            for one in found:
                self._one_of(rule, one, place, step)
            return found
        if rule.kind == "words":
            try:
                return [str(one) for one in value] if is_list(value) else shlex.split(str(value))
            except ValueError as why:
                raise self._text.wrong(place, f"{value!r}: {why}", step=step) from None
        if rule.kind == "text":
            if is_list(value) or is_mapping(value):
                raise self._text.wrong(place, f"expected a text, found {value!r}", step=step)
            self._one_of(rule, braces.as_text(value), place, step)
            return braces.as_text(value)
        kinds: Any = {"integer": int, "number": (int, float), "boolean": bool}[rule.kind]
        if not isinstance(value, kinds) or isinstance(value, bool) is not (rule.kind == "boolean"):
            words = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
            right = f"expected {words[rule.kind]}, found {value!r}"
            raise self._text.wrong(place, right, step=step)
        return value

    def _one_of(self, rule: KeyRule, value: str, place: YamlPath, step: str) -> None:
        if rule.one_of and value not in rule.one_of:
            raise self._text.wrong(place, unknown(value, rule.one_of, what="value"), step=step)

    def _metadata_value(self, rule: KeyRule, value: Any, place: YamlPath) -> Value:
        try:
            return checked_value(rule.values.get(str(value), value), str(place[-1]))
        except BadCatalogueField as why:
            raise self._text.wrong(place, f"expected {why.right}, found {value!r}") from None

    # -- inputs
    # -------------------------------------------------------------------------------------

    def _input(
        self,
        query: Any,
        place: YamlPath,
        name: str,
        element: ElementType,
        config: Mapping[str, Any],
    ) -> tuple[StepInput | None, str]:
        """Return the port of a step, if it has one, and its parent."""
        if not is_mapping(query):
            raise self._text.wrong(place, "expected a mapping", step=name)
        said = {key: value for key, value in query.items() if value is not None}
        parent_id, dataset = said.pop("parentID", None), said.pop("dataset", None)
        if element.simulates:
            if said or parent_id is not None or dataset is not None:
                raise self._text.wrong(place, "this type takes no files", step=name)
            return None, ""
        conditions = self._conditions(said, place, name)
        files_max = int(config.get("input_limit") or 0)
        if parent_id is not None and dataset is not None:
            why = "either a parentID or a dataset, not both"
            raise self._text.wrong((*place, "dataset"), why, step=name)
        if parent_id is not None:
            parent = self._by_id.get(parent_id) if isinstance(parent_id, int) else None
            if parent is None:
                before = ", ".join(map(str, self._by_id)) or "none"
                why = f"expected the ID of a step before this one ({before}), found {parent_id!r}"
                raise self._text.wrong((*place, "parentID"), why, step=name)
            port = next(iter(self._steps[parent].outputs))
            source = Source(step=parent, port=port)
            return StepInput(sources=(source,), where=conditions, files_max=files_max), parent
        if dataset is not None:
            full = str(dataset) if ":" in str(dataset) else f"{self._types.scope}:{dataset}"
            return StepInput(dataset=full, where=conditions, files_max=files_max), ""
        if not conditions:
            why = "is empty: give a parentID, a dataset or metadata"
            raise self._text.wrong(place, why, step=name)
        return StepInput(query=conditions, files_max=files_max), ""

    def _conditions(self, said: Mapping[str, Any], place: YamlPath, step: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in said.items():
            rule = self._types.shortcuts.get(key)
            if rule is None:
                known = {*self._types.keys, *self._types.shortcuts, "parentID", "dataset"}
                if key not in known:
                    raise self._text.wrong((*place, key), unknown(key, known), step=step)
                found[key] = {"in": value} if is_list(value) else value
                continue
            typed = self._typed(rule, value, (*place, key), step)
            each = typed if is_list(typed) else [typed]
            for one in each:
                if rule.values and str(one) not in rule.values:
                    why = unknown(str(one), rule.values, what="value")
                    raise self._text.wrong((*place, key), why, step=step)
            values = [self._metadata_value(rule, one, (*place, key)) for one in each]
            found[rule.metadata] = values[0] if len(values) == 1 else {"in": values}
        return found

    # -- the step
    # -----------------------------------------------------------------------------------

    def _made(
        self,
        element: ElementType,
        rules: Mapping[str, KeyRule],
        config: Mapping[str, Any],
        asked: StepInput | None,
        parent: str,
        place: YamlPath,
    ) -> Step:
        fills = {
            rule.fills: config[key] for key, rule in rules.items() if rule.fills and key in config
        }
        metadata, sets = self._metadata_of(element, rules, config, parent, place)
        words = _words(element, rules, config)
        size = int(fills.get("size", 1))
        for key, rule in rules.items():
            if rule.fills == "tasks" and key in config and int(config[key]) < 1:
                why = f"found {config[key]}, expected at least 1"
                raise self._text.wrong((*place, key), why)
        need = {
            "cores_min": fills.get("cores_min", element.cores_min),
            "sites": fills.get("sites", []),
            "tags": " & ".join(fills.get("tags", [])),
            "wall_s": fills.get("wall_s", Need().wall_s),
        }
        needs = (converted(self._text, need, Need, place),)
        files = tuple(fills.get("files", ()))
        first = next(iter(element.outputs))
        each = math.prod(len(values) for values in sets.values() if values)
        for file in files:
            path = self._text.folder / file
            if not path.is_file():
                raise self._text.wrong((*place, "input_sandbox"), f"there is no file {path}")
        return Step(
            title=element.title,
            job=Job(command=words, type=element.type, needs=needs),
            files=files,
            tasks=int(fills.get("tasks", 1)) if element.simulates else 0,
            inputs={PORT: asked} if asked is not None else {},
            grouping=Grouping(size=size) if asked is not None else None,
            outputs={
                port: StepOutput(
                    pattern=braces.render(one.pattern, _Open(config)),
                    required=one.required,
                    files=one.files * each
                    if isinstance(one.files, int) and port == first
                    else one.files,
                    name=f"{self._base}/{{job}}/{{file}}" if self._base else "",
                    metadata=one.metadata,
                    sets=dict.fromkeys(one.sets, ()) | (sets if port == first else {}),
                )
                for port, one in element.outputs.items()
            },
            metadata=metadata,
        )

    def _metadata_of(
        self,
        element: ElementType,
        rules: Mapping[str, KeyRule],
        config: Mapping[str, Any],
        parent: str,
        place: YamlPath,
    ) -> tuple[dict[str, Value], dict[str, tuple[Value, ...]]]:
        """Return the metadata of all files, and the keys whose values differ by file."""
        metadata: dict[str, Value] = {
            key: braces.fill(value, config) if isinstance(value, str) else value
            for key, value in element.metadata.items()
        }
        sets: dict[str, tuple[Value, ...]] = {}
        for key, rule in rules.items():
            if not rule.metadata or key not in config:
                continue
            value, at = config[key], (*place, key)
            each = value if is_list(value) else [value]
            if rule.values and not all(str(one) in rule.values for one in each):
                continue  # this word has no value in the metadata
            if rule.varies == "any":
                sets[rule.metadata] = ()
            elif rule.varies and len(each) > 1:
                sets[rule.metadata] = tuple(self._metadata_value(rule, one, at) for one in each)
            else:
                metadata[rule.metadata] = self._metadata_value(rule, each[0], at)
        for key, more in element.adds.items():
            before = self._steps[parent].metadata.get(key, 0) if parent else 0
            metadata[key] = more + (before if isinstance(before, int) else 0)
        return metadata, sets


class _Open(dict[str, Any]):
    """Values by name; a name without a value stays in its braces."""

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


def _words(
    element: ElementType, rules: Mapping[str, KeyRule], config: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the command with all known values."""
    every: list[str] = []
    for key, rule in rules.items():
        value = config.get(key)
        if not rule.option or value is None or value is False:
            continue
        text = ",".join(value) if is_list(value) else braces.as_text(value)
        every += [rule.option] if value is True else [rule.option, _escaped(text)]
    words: list[str] = []
    for word in element.command:
        name = braces.alone(word)
        if name == "config":
            words += every
        elif name == "options":
            words += map(_escaped, config.get(name, ()))
        else:
            words.append(braces.as_text(braces.fill(word, config)))
    return tuple(words)


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _plain(stem: str) -> str:
    """Return the name of a file in the form of a workflow's name."""
    return "".join(one if one.isascii() and (one.isalnum() or one in "_-") else "-" for one in stem)
