"""Keeps a workflow with its source file, so that each fault gets its line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import msgspec
import yaml

from pilotage.proto.decoding.complaints import as_json, complaint, steps
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.decoding.strict_yaml import NotYaml, YamlPath, line_of, load_strictly
from pilotage.proto.decoding.typed_quantities import convert
from pilotage.proto.documents.workflow import Workflow

from .errors import BadWorkflow, Fault

T = TypeVar("T")
FILE_MAX_BYTES = 4_000_000


@dataclass(frozen=True)
class SourceText:
    """The text of a file, with its path."""

    where: str
    folder: Path  # where relative paths in it begin
    content: str = field(repr=False)

    def wrong(self, place: YamlPath, message: str, *, step: str = "") -> BadWorkflow:
        """Return a fault at a place, with its line; with `step`, the step is not named twice."""
        return BadWorkflow([self.line(place, Fault(step, place[2:] if step else place, message))])

    def line(self, place: YamlPath, fault: Fault) -> str:
        """Return a fault as one line of text, with the line of `place` in the file."""
        number = line_of(self.content, place)
        return f"{self.where}:{number}: {fault}" if number is not None else f"{self.where}: {fault}"


@dataclass(frozen=True)
class WorkflowSource:
    """A workflow with its source text, and the place of each step in the text.

    `fields` maps fields of a step to the keys of other forms. `besides` has the texts of other
    files, by the place that names them.
    """

    workflow: Workflow
    text: SourceText
    places: Mapping[str, YamlPath]
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    besides: Mapping[YamlPath, SourceText] = field(default_factory=dict[YamlPath, SourceText])

    def told(self, faults: Sequence[Fault]) -> BadWorkflow:
        """Return faults as lines of the file, each line once."""
        lines: dict[str, None] = {}
        seen: set[tuple[YamlPath, str]] = set()
        for fault in faults:
            inside = fault.place
            if inside and inside[0] in self.fields:
                inside = (self.fields[str(inside[0])], *inside[1:])
            place = (*self.places.get(fault.step, ()), *inside)
            if (place, fault.message) not in seen:  # one place may stand for several steps
                seen.add((place, fault.message))
                lines[self._line(place, fault)] = None
        return BadWorkflow(list(lines))

    def _line(self, place: YamlPath, fault: Fault) -> str:
        for named, text in self.besides.items():
            if place[: len(named)] == named:
                return text.line(place[len(named) :], fault)
        return self.text.line(place, fault)


def read_text(path: Path) -> SourceText:
    """Return the text of a file. Raises BadWorkflow."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_MAX_BYTES + 1)
        if len(content) > FILE_MAX_BYTES:
            raise BadWorkflow([f"{path}: has more than {FILE_MAX_BYTES} bytes"])
        return SourceText(str(path), path.absolute().parent, content.decode())
    except OSError as why:
        raise BadWorkflow([f"{path}: {why.strerror or why}"]) from None
    except UnicodeDecodeError:
        raise BadWorkflow([f"{path}: is not UTF-8 text"]) from None


def load_values(text: SourceText) -> Any:
    """Return the plain values in a text. Raises BadWorkflow."""
    try:
        return load_strictly(text.content)
    except NotYaml as why:
        place = text.where if why.line is None else f"{text.where}:{why.line}"
        raise BadWorkflow([f"{place}: {why.why}"]) from None


def load(text: SourceText) -> dict[str, Any]:
    """Return the mapping in a workflow file. Raises BadWorkflow."""
    found = load_values(text)
    if not is_mapping(found) or not found:
        raise BadWorkflow([f"{text.where}: expected a mapping with `workflow` or `ProdSteps`"])
    named: dict[str, Any] = _named(text, found, load_as_written(text))
    return named


def _named(text: SourceText, found: Any, written: Any) -> Any:
    """Return plain values with keys as written: YAML reads `on` as true and 1 as a number."""
    if is_mapping(found):
        if not is_mapping(written) or len(found) != len(written):
            raise BadWorkflow([f"{text.where}: `<<` is not supported: write out its keys"])
        pairs = zip(written.items(), found.values(), strict=True)
        return {key: _named(text, inner, as_it_is) for (key, as_it_is), inner in pairs}
    if is_list(found):
        return [_named(text, *pair) for pair in zip(found, written, strict=True)]
    return found


def load_as_written(text: SourceText) -> Any:
    """Return the mapping in a valid text, with every scalar as its text."""
    return yaml.CBaseLoader(text.content).get_single_data()


def converted(text: SourceText, found: Any, kind: type[T], place: YamlPath, *, step: str = "") -> T:
    """Return plain values as a struct. Raises BadWorkflow with the line of the fault."""
    try:
        return convert(found, kind, short_keys=True)
    except msgspec.ValidationError as why:
        mistake = complaint(why, kind, as_json(found))
        inside = tuple(int(one) if one.isdigit() else one for one in steps(mistake.path))
        fault = Fault(step, inside, mistake.message)
        raise BadWorkflow([text.line((*place, *inside), fault)]) from None


def is_mapping(value: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is a mapping."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Return whether a value is a list."""
    return isinstance(value, list)


def check_words(
    text: SourceText,
    found: Mapping[str, Any],
    known: Sequence[str],
    place: YamlPath,
    *,
    step: str = "",
) -> None:
    """Raise BadWorkflow for unknown keys, with the nearest right word."""
    for word in found:
        if word not in known:
            message = unknown(str(word), known)
            fault = Fault(step, (), message)
            raise BadWorkflow([text.line((*place, str(word)), fault)])
