"""Reads the hints that say where tools run, and which outputs the catalogue gets.

`dirac:Scheduling` and `dirac:ExecutionHooks` may stand at tools, steps and workflows. Those of a
workflow speak of all its tools, and of its own outputs. A hint that is nearer to the tool wins.
"""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeVar, cast
from urllib.parse import urldefrag

import msgspec
from cwltool.process import Process, shortname
from cwltool.workflow import Workflow
from msgspec import Meta
from ruamel.yaml.error import YAMLError
from schema_salad.exceptions import ValidationException
from schema_salad.sourceline import SourceLine
from schema_salad.utils import yaml_no_ts

from pilotage.proto.decoding.complaints import complaint
from pilotage.proto.documents.job import Priority, Word

from .lfns import name_of
from .tools import PlannedTool, Store

T = TypeVar("T")
_CLASS: Final = re.compile(r"(dirac|pilotage):(\w+)|https?://.*\b(dirac|pilotage)\b.*[#/](\w+)")
_PLACE: Final = re.compile(r"(\.\./)*/?pilotage-cwl/(doc/)?")  # of a document that was sent
DEFAULT_PLUGIN: Final = "QueryBasedPlugin"  # it does nothing but what `output_paths` says
PATH_MAX: Final = 400  # characters
TRANSFORMATION: Final = "Transformation"
_DATA: Final = {  # fields that choose what is processed
    "input_data": "give the files as inputs, with lfn: as their location",
    "input_query": "use pilotage:Transformation with `input: {port, query}` at a step",
    "group_size": "use pilotage:Transformation with `input: {port, grouping}` at a step",
}


class _Hint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Scheduling(_Hint, frozen=True, kw_only=True):
    """Where jobs run, and how urgent they are."""

    sites: Annotated[tuple[Word, ...], Meta(max_length=256)] = ()
    platform: Annotated[str, Meta(max_length=128)] = ""
    priority: Priority | None = None


class ExecutionHooks(_Hint, frozen=True, kw_only=True):
    """Where outputs go."""

    hook_plugin: str = ""
    configuration: dict[str, Any] = {}
    output_paths: dict[str, str] = {}  # folders of the catalogue, by port
    output_sandbox: tuple[str, ...] = ()  # ports whose files stay with the job, as all do
    output_se: Annotated[tuple[Word, ...], Meta(max_length=64)] = ()
    group_size: Any = None
    input_data: Any = None
    input_query: Any = None


_KINDS: Final[Mapping[str, type[Scheduling] | type[ExecutionHooks]]] = {
    "Scheduling": Scheduling,
    "ExecutionHooks": ExecutionHooks,
}


@dataclass
class Hints:
    """What the hints of a document say besides what was noted at its tools."""

    warnings: list[str] = field(default_factory=list[str])
    #: fields with names that only a central knows
    storages: list[tuple[str, tuple[str, ...]]] = field(
        default_factory=list[tuple[str, tuple[str, ...]]]
    )
    platforms: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


def note_hints(process: Process) -> Hints:
    """Note at each tool where it runs and what it stores. Raises HintMistake."""
    found = Hints()
    _Walk(found).visit(process, "", Scheduling(), {})
    return found


class HintMistake(ValidationException):
    """A hint is wrong. The text is in one line: the library would break it."""

    def __str__(self) -> str:
        return _PLACE.sub("", " ".join(super().__str__().split()))


class WrittenHints:
    """Hints as they are written: the library takes some values for links, such as that of `out`."""

    def __init__(self) -> None:
        self._by_place: dict[str, dict[tuple[int, int], Any]] = {}
        self._file: str = ""

    def enter(self, tool: Any) -> None:
        """Note where the next hints are written: processes inside others have no name."""
        uri: str = tool["id"]
        if not uri.startswith("_:"):
            self._file = urldefrag(uri)[0]

    def of(self, hint: Any, process: Any) -> dict[str, Any]:
        """Return a hint as plain values."""
        uri = self._file
        if uri not in self._by_place:
            places: dict[tuple[int, int], Any] = {}
            with contextlib.suppress(YAMLError):
                reader: Any = yaml_no_ts()
                _note_places(reader.load(process.doc_loader.fetch_text(uri)), places)
            self._by_place[uri] = places
        at = getattr(hint, "lc", None)
        written = self._by_place[uri].get((at.line, at.col), hint) if at is not None else hint
        plain: dict[str, Any] = json.loads(json.dumps(written, default=str))
        return {key: value for key, value in plain.items() if key != "class"}


def _note_places(value: Any, places: dict[tuple[int, int], Any]) -> None:
    """Note each mapping in a document by its line and column."""
    below: Sequence[Any] = ()
    if isinstance(value, dict):
        plain, at = cast(dict[str, Any], value), getattr(cast(Any, value), "lc", None)
        if at is not None:
            places.setdefault((at.line, at.col), plain)
        below = list(plain.values())
    elif isinstance(value, list):
        below = cast(Sequence[Any], value)
    for one in below:
        _note_places(one, places)


class _Walk:
    def __init__(self, found: Hints) -> None:
        self._found = found
        self._written = WrittenHints()

    def visit(
        self, process: Any, path: str, above: Scheduling, stores: Mapping[str, Store]
    ) -> None:
        """Note the hints of a process; `stores` has the ports that hints above it name."""
        ports = {shortname(one["id"]): one for one in process.tool["outputs"]}
        placed, own = self._read(process, process.tool, path, above, ports)
        stores = {**stores, **own}
        if isinstance(process, Workflow):
            self._visit_steps(process, path, placed, stores, ports)
        elif isinstance(process, PlannedTool):
            for port in stores:
                check_storable(ports[port], port)
            process.stores = stores
            process.placement = {
                key: value
                for key, value in msgspec.to_builtins(placed).items()
                if value not in ("", None, (), [])
            }
        elif stores:
            port = next(iter(stores))
            raise mistake(ports[port], f"output_paths.{port}: it comes from an expression, which "
                         "makes no files")  # fmt: skip

    def _visit_steps(
        self,
        workflow: Any,
        path: str,
        placed: Scheduling,
        stores: Mapping[str, Store],
        ports: Mapping[str, Any],
    ) -> None:
        left = dict(stores)
        wanted: dict[str, dict[str, Store]] = {}
        for step in workflow.steps:
            for out in step.tool["outputs"]:
                for port, store in stores.items():
                    if out["id"] in _listed(ports[port].get("outputSource")):
                        wanted.setdefault(step.id, {})[shortname(out["id"])] = store
                        left.pop(port, None)
        for port in left:
            raise mistake(ports[port], f"output_paths.{port}: no step makes it")
        for step in workflow.steps:
            name = f"{path}{shortname(step.id)}/"
            outs = {shortname(one["id"]): one for one in step.tool["outputs"]}
            its, own = self._read(workflow, step.tool, name, placed, outs)
            self.visit(step.embedded_tool, name, its, {**wanted.get(step.id, {}), **own})

    def _read(
        self, process: Any, tool: Any, path: str, above: Scheduling, ports: Mapping[str, Any]
    ) -> tuple[Scheduling, dict[str, Store]]:
        """Return the hints of a tool, workflow or step, over those above it."""
        stores: dict[str, Store] = {}
        self._written.enter(tool)
        for hint in tool.get("hints") or ():
            name = class_of(hint)
            where = f"{path}{hint.get('class')}"
            if name is None or name == TRANSFORMATION:
                continue
            if name not in _KINDS:
                self._warn(f"{where}: this hint has no meaning here, expected "
                           f"{', '.join(_KINDS)}")  # fmt: skip
                continue
            one = read_hint(hint, self._written.of(hint, process), _KINDS[name], where)
            if isinstance(one, Scheduling):
                above = _over(one, above)
                if one.platform:
                    self._found.platforms.append((f"{where}.platform", one.platform))
            else:
                stores |= self._stores(one, hint, where, ports)
        return above, stores

    def _stores(
        self, one: ExecutionHooks, hint: Any, where: str, ports: Mapping[str, Any]
    ) -> dict[str, Store]:
        for name, instead in _DATA.items():
            if getattr(one, name):
                raise mistake(hint, f"{where}.{name}: it has no meaning here: {instead}", name)
        if one.hook_plugin not in ("", DEFAULT_PLUGIN):
            self._warn(f"{where}.hook_plugin: {one.hook_plugin!r} has no meaning here, expected "
                       f"{DEFAULT_PLUGIN}")  # fmt: skip
        if one.configuration:
            self._warn(f"{where}.configuration: it has no meaning here")
        if one.output_se and not one.output_paths:
            self._warn(f"{where}.output_se: it has no meaning without output_paths: the outputs "
                       "stay with their jobs")  # fmt: skip
        if one.output_paths:
            self._found.storages.append((f"{where}.output_se", one.output_se))
        for name in ("output_paths", "output_sandbox"):
            for port in getattr(one, name):
                if port not in ports:
                    known = ", ".join(sorted(ports)) or "no port: it has no outputs"
                    right = f"found the port {port[:80]!r}, expected {known}"
                    raise mistake(hint, f"{where}.{name}: {right}", name)
        found: dict[str, Store] = {}
        for port, text in one.output_paths.items():
            at = f"{where}.output_paths.{port}"
            if port in one.output_sandbox:
                raise mistake(
                    hint, f"{at}: it is in output_sandbox too: choose one", "output_paths"
                )
            try:
                folder = name_of(text).rstrip("/")
                if len(folder) > PATH_MAX:
                    raise ValueError(f"expected at most {PATH_MAX} characters")
            except ValueError as why:
                right = f"{at}: found {text[:80]!r}, {why}"
                raise mistake(hint, right, "output_paths") from None
            found[port] = Store(folder, one.output_se)
        return found

    def _warn(self, text: str) -> None:
        if text not in self._found.warnings:
            self._found.warnings.append(text)


def class_of(hint: Mapping[str, Any]) -> str | None:
    """Return the name of a hint of DIRAC or ours, without its prefix; None for others."""
    found = _CLASS.fullmatch(str(hint["class"]))
    return (found[2] or found[4]) if found else None


def read_hint(hint: Any, written: Mapping[str, Any], kind: type[T], where: str) -> T:
    """Return a hint as a structure. Raises HintMistake with the field."""
    given = {_last(key): value for key, value in written.items() if value is not None}
    for key in ("sites", "output_sandbox", "output_se"):
        if isinstance(given.get(key), str):
            given[key] = [given[key]]
    if any(str(one).upper() == "ANY" for one in _listed(given.get("sites"))):
        del given["sites"]
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as why:
        said = complaint(why, kind, json.dumps(given).encode())
        name = re.split(r"[.\[]", said.path.removeprefix("$."))[0]
        key = next((one for one in hint if _last(one) == name), "class")
        raise mistake(hint, f"{where}{said.path.removeprefix('$')}: {said.message}", key) from None


def _last(name: str) -> str:
    """Return a name without its prefix."""
    return re.split("[#/:]", name)[-1]


def _over(one: Scheduling, above: Scheduling) -> Scheduling:
    return Scheduling(
        sites=one.sites or above.sites,
        platform=one.platform or above.platform,
        priority=above.priority if one.priority is None else one.priority,
    )


def check_storable(port: Any, name: str) -> None:
    """Raise HintMistake if the files of a port are not known by its globs alone."""
    found = set(kinds(port["type"]))
    why = ""
    if not found <= {"File", "null"} or "File" not in found:
        why = f"its type has {', '.join(sorted(found - {'null'}))}"
    elif port.get("secondaryFiles"):
        why = "it has secondary files"
    elif not dict[str, Any](port.get("outputBinding") or {}).get("glob"):
        why = "it has no glob"
    if why:
        right = "expected File or File[] with a glob"
        raise mistake(port, f"output port {name}: {why}, {right}, to be stored in the catalogue")


def kinds(kind: Any) -> Iterator[str]:
    """Yield the types that a type has, and those of the elements of arrays."""
    for one in _listed(kind):
        if isinstance(one, str):
            yield one
        elif one["type"] == "array":
            yield from kinds(one["items"])
        else:
            yield str(one["type"])


def _listed(value: Any) -> Sequence[Any]:
    if isinstance(value, list):
        return cast(Sequence[Any], value)
    return [] if value is None else [value]


def mistake(at: Any, text: str, key: str = "class") -> HintMistake:
    """Return the error about a part of a document."""
    return HintMistake(f"{SourceLine(at, key).makeLead()} {text}")
