"""Makes steps of the model from steps of CTADIRAC's form. Pure.

A step knows the values of its files' metadata, as far as its file says them. So it can write them
out for its own files, and for the queries of models.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from pilotage.proto.catalogue import Value
from pilotage.proto.decoding.strict_yaml import YamlPath
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.documents.transformation import Grouping
from pilotage.proto.documents.workflow import COUNT, KEY, Step, StepInput, StepOutput

from . import braces
from .cta_types import ElementType, KeyRule, SharedFiles
from .cta_values import ValueReader
from .source_lines import SourceText, converted, is_list, is_mapping

PORT: Final = "files"  # the port for the files of a step

#: possible values by key; empty: the files have the key, with unknown values
KnownValues = Mapping[str, tuple[Value, ...]]


@dataclass(frozen=True)
class GivenStep:
    """A step of a file, with its values read."""

    element: ElementType
    rules: Mapping[str, KeyRule]
    config: Mapping[str, Any]
    asked: StepInput | None  # its input files
    has_parent: bool
    taken: KnownValues  # of its input files
    place: YamlPath  # of its job_config


@dataclass(frozen=True)
class _Metadata:
    """The metadata of the files of a step."""

    all: dict[str, Value]
    sets: dict[str, tuple[Value, ...]]  # by file
    inherited: tuple[str, ...]


class StepMaker:
    """Makes steps."""

    def __init__(
        self, text: SourceText, reader: ValueReader, base: str, common: Mapping[str, Value]
    ) -> None:
        self._text, self._reader, self._base, self._common = text, reader, base, common

    def make(self, given: GivenStep) -> tuple[Step, KnownValues]:
        """Return a step, and the metadata of its main files. Raises BadWorkflow."""
        element, config = given.element, given.config
        metadata = self._metadata(given)
        outputs = self._outputs(given, metadata)
        known = _known(self._common, metadata, outputs, given.taken)
        fills: dict[str, Any] = {
            rule.fills: config[key]
            for key, rule in given.rules.items()
            if rule.fills and key in config
        }
        self._check_tasks(given)
        step = Step(
            title=element.title,
            job=Job(
                command=_words(given),
                type=element.type,
                environment={
                    name: _filled(text, given) for name, text in element.environment.items()
                },
                software=element.software,
                needs=(self._need(element, fills, given.place),),
            ),
            files=(*element.files, *self._sandbox(fills, given.place)),
            tasks=int(fills.get("tasks", 1)) if element.simulates else 0,
            inputs={PORT: given.asked, **_models(given, known)} if given.asked is not None else {},
            grouping=_grouping(given, metadata, fills) if given.asked is not None else None,
            outputs=outputs,
            metadata=metadata.all,
            inherit=True if element.inherits is None else metadata.inherited,
        )
        return step, known

    def _metadata(self, given: GivenStep) -> _Metadata:
        element, config, taken = given.element, given.config, given.taken
        metadata: dict[str, Value] = {
            key: braces.fill(value, config) if isinstance(value, str) else value
            for key, value in element.metadata.items()
        }
        sets: dict[str, tuple[Value, ...]] = {}
        inherited = [key for key in element.inherits or () if key in taken]
        metadata |= {key: taken[key][0] for key in inherited if len(taken[key]) == 1}
        for key, rule in given.rules.items():
            if not rule.metadata or key not in config:
                continue
            value, at = config[key], (*given.place, key)
            each = value if is_list(value) else [value]
            if rule.values and not all(str(one) in rule.values for one in each):
                continue  # this word has no value in the metadata
            metadata.pop(rule.metadata, None)
            if rule.metadata in inherited:
                inherited.remove(rule.metadata)
            if rule.varies == "any":
                sets[rule.metadata] = ()
            elif rule.varies and len(each) > 1:
                sets[rule.metadata] = tuple(self._reader.metadata(rule, one, at) for one in each)
            else:
                metadata[rule.metadata] = self._reader.metadata(rule, each[0], at)
        for key, more in element.adds.items():
            metadata[key] = more + _before(given, key)
        unknown = tuple(key for key in inherited if len(taken[key]) != 1)
        return _Metadata(metadata, sets, unknown)

    def _outputs(self, given: GivenStep, metadata: _Metadata) -> dict[str, StepOutput]:
        outputs, sets = given.element.outputs, metadata.sets
        each = math.prod(len(values) for values in sets.values() if values)
        first = next(iter(outputs))
        return {
            port: StepOutput(
                pattern=braces.render(one.pattern, _Open(given.config)),
                required=one.required,
                files=one.files * each
                if isinstance(one.files, int) and port == first
                else one.files,
                name=f"{self._base}/{{job}}/{{file}}" if self._base else "",
                metadata=one.metadata,
                sets=dict.fromkeys(one.sets, ()) | (sets if port == first else {}),
            )
            for port, one in outputs.items()
        }

    def _need(self, element: ElementType, fills: Mapping[str, Any], place: YamlPath) -> Need:
        need = {
            "cores_min": fills.get("cores_min", element.cores_min),
            "sites": fills.get("sites", []),
            "tags": " & ".join(fills.get("tags", [])),
            "wall_s": fills.get("wall_s", Need().wall_s),
        }
        return converted(self._text, need, Need, place)

    def _sandbox(self, fills: Mapping[str, Any], place: YamlPath) -> tuple[str, ...]:
        for file in fills.get("files", ()):
            path = self._text.folder / file
            if not path.is_file():
                raise self._text.wrong((*place, "input_sandbox"), f"there is no file {path}")
        return tuple(fills.get("files", ()))

    def _check_tasks(self, given: GivenStep) -> None:
        for key, rule in given.rules.items():
            if rule.fills == "tasks" and key in given.config and int(given.config[key]) < 1:
                why = f"found {given.config[key]}, expected at least 1"
                raise self._text.wrong((*given.place, key), why)


def values_in(conditions: Mapping[str, Any]) -> dict[str, tuple[Value, ...]]:
    """Return the possible values of files that meet a query; empty: unknown ones."""
    found: dict[str, tuple[Value, ...]] = {}
    for key, clause in conditions.items():
        words: Mapping[str, Any] = clause if is_mapping(clause) else {"=": clause}
        if list(words) == ["="]:
            found[key] = (words["="],)
        else:
            found[key] = tuple(words["in"]) if list(words) == ["in"] else ()
    return found


def _before(given: GivenStep, key: str) -> int:
    """Return the value that a step adds to: of its parent's files, or as the step says."""
    values = given.taken.get(key, ())
    before = values[0] if len(values) == 1 else 0
    if not given.has_parent:
        before = given.config.get(key, before)
    return before if isinstance(before, int) else 0


def _known(
    common: Mapping[str, Value],
    metadata: _Metadata,
    outputs: Mapping[str, StepOutput],
    taken: KnownValues,
) -> dict[str, tuple[Value, ...]]:
    """Return the values of the first kind of files, which children take."""
    first = next(iter(outputs.values()))
    one = {**common, **metadata.all, **first.metadata}
    return {
        **{key: (value,) for key, value in one.items()},
        **{key: taken[key] for key in metadata.inherited},
        **first.sets,
    }


def _models(given: GivenStep, known: KnownValues) -> dict[str, StepInput]:
    """Return the inputs for files that every job gets."""
    words = " ".join(given.config.get("options", ()))
    return {
        port: _model(one, known)
        for port, one in given.element.shared.items()
        if one.option in words
    }


def _model(shared: SharedFiles, known: KnownValues) -> StepInput:
    query: dict[str, Any] = {}
    on: list[str] = []
    for key, values in known.items():
        if key in shared.without or key in shared.metadata:
            continue
        if len(values) == 1:
            query[key] = values[0]
        elif key in shared.on:
            on.append(key)
    return StepInput(query={**query, **shared.metadata}, use="shared", on=tuple(on), count=1)


def _grouping(given: GivenStep, metadata: _Metadata, fills: Mapping[str, Any]) -> Grouping:
    """Return the grouping: files with different values of an inherited key stay apart."""
    keys = tuple(key for key in metadata.inherited if len(given.taken[key]) > 1)
    return Grouping(rule=KEY if keys else COUNT, size=int(fills.get("size", 1)), keys=keys)


class _Open(dict[str, Any]):
    """Values by name; a name without a value stays in its braces."""

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


def _words(given: GivenStep) -> tuple[str, ...]:
    """Return the command with all known values."""
    words: list[str] = []
    for word in given.element.command:
        name = braces.alone(word)
        if name == "config":
            for key, rule in given.rules.items():
                words += _of_key(rule, given.config.get(key))
        elif name == "options":
            words += map(_escaped, given.config.get(name, ()))
        else:
            words.append(_filled(word, given))
    return tuple(words)


def _of_key(rule: KeyRule, value: Any) -> list[str]:
    """Return the words of the command for a key."""
    if value is None or value is False:
        return []
    if rule.flags:
        word = rule.flags[", ".join(value) if is_list(value) else str(value)]
        return [word] if word else []
    if not rule.option or value is True:
        return [rule.option] if rule.option else []
    text = _escaped(",".join(value) if is_list(value) else braces.as_text(value))
    found = braces.names(rule.option)
    return [rule.option.replace("{" + found[0] + "}", text)] if found else [rule.option, text]


def _filled(text: str, given: GivenStep) -> str:
    """Return a text with the values of keys; a key without a value becomes nothing."""
    known = {**dict.fromkeys(given.rules, ""), **given.config}
    if braces.alone(text) in known:
        return _escaped(braces.as_text(known[braces.alone(text)]))
    return str(braces.fill(text, known))


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def with_variants(element: ElementType, config: Mapping[str, Any]) -> ElementType:
    """Return a type with the parts that its true keys replace."""
    for key, variant in element.variants.items():
        if config.get(key) is True:
            parts = {
                field: getattr(variant, field)
                for field in variant.__struct_fields__
                if getattr(variant, field)
            }
            element = msgspec.structs.replace(element, **parts)
    return element
