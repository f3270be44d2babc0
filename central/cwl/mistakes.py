"""Mistakes in documents and inputs, in plain words."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from schema_salad.exceptions import SchemaSaladException, ValidationException

MISTAKES_MAX: Final = 50  # that are shown
NO_FORM: Final[dict[type[Exception], str]] = {  # by what the library raises
    RecursionError: "the document is nested too deeply, or runs itself",
    StopIteration: "the document is empty",
}
TEXT_MAX: Final = 600  # characters of one of them
_PLACES: Final = re.compile(r"(file://|(\.\./)*)/?pilotage-cwl/(doc/)?")  # of what was sent
_LINE: Final = re.compile(r"^(?P<file>[^\s:][^:\n]*):(?P<line>\d+):(?P<col>\d+):\s*(?P<text>.*)$")
_OUTER: Final = re.compile(
    r"^(checking (field|object|item)|item is invalid because|tried '.*' but|"
    r"the '.*' field is not valid because|Object '.*' is not valid because|"
    r"Invalid job input record:|Input object failed validation:|"
    r"Workflow checker warning:|"
    r"(Tool definition|Workflow error|Workflow or tool|Unhandled error).*:$)"
)
_FIELD: Final = re.compile(r"the '(.*?)' field is not valid because")
_OF_VALUE: Final = re.compile(r"the value|value is|.* is not (?:int|long|float)")
_WRONG: Final = "Expression evaluation error:"
_KINDS: Final = {"int": "a number", "float": "a number", "bool": "a boolean", "NoneType": "null"}
_Words = Callable[[re.Match[str]], str]
_QUOTED: Final = re.compile(r"'([^']*)'")


@dataclass(frozen=True, order=True)
class Mistake:
    """A mistake, and where it is if that is known."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.text}" if place else self.text


class Mistakes(ValidationException):
    """Several mistakes at once."""

    def __init__(self, found: Iterable[Mistake]) -> None:
        self.found = sorted(set(found))
        super().__init__(in_words(self.found))

    def __str__(self) -> str:
        return str(self.message)  # as it is: the library would break the lines


def in_words(found: Iterable[Mistake]) -> str:
    """Return a line for each mistake; the first ones if there are many."""
    lines = list(dict.fromkeys(str(one) for one in found))
    if len(lines) > MISTAKES_MAX:
        more = f"and {len(lines) - MISTAKES_MAX} more"
        lines = [*lines[:MISTAKES_MAX], more]
    return "\n".join(lines)


def mistakes_of(why: BaseException) -> list[Mistake]:
    """Return the mistakes that an exception of the library tells of."""
    if isinstance(why, Mistakes):
        return why.found
    cause = why.__cause__
    if isinstance(cause, Mistakes):
        return cause.found
    if isinstance(why, SchemaSaladException) and why.children:
        return sorted({_mistake(*one) for one in _leaves(why)})
    if isinstance(cause, SchemaSaladException) and cause.children:
        return mistakes_of(cause)
    return from_text(str(why)) or [_mistake("", 0, type(why).__name__)]


def plain(why: BaseException | str) -> str:
    """Return what an exception or a text of the library says, in plain words."""
    return in_words(from_text(why) if isinstance(why, str) else mistakes_of(why))


def without_places(text: str) -> str:
    """Return a text with the names of files as they were when the document was sent."""
    return _PLACES.sub("", text)


def _leaves(why: SchemaSaladException, field: str = "") -> Iterator[tuple[str, int, str]]:
    """Yield the file, the line and the text of each innermost complaint about a field."""
    children: list[Any] = why.children
    if not children:
        about = f"field {field!r}: " if field and _OF_VALUE.match(why.message) else ""
        yield why.file or "", why.start[0] if why.start else 0, f"{about}{why.message}"
        return
    if match := _FIELD.match(why.message):
        field = match[1]
    tried = [one for one in children if one.message.startswith("tried ")]
    if len(tried) > 1:  # alternatives, of which one was meant: the one with the fewest complaints
        children = [min(tried, key=lambda one: len(one.leaves()))]
    for one in children:
        yield from _leaves(one, field)


def from_text(text: str) -> list[Mistake]:
    """Return the mistakes that a text of the library has."""
    found: list[tuple[str, int, str]] = []
    for line in _PLACES.sub("", text).splitlines():
        match = _LINE.match(line)
        said = (match["text"] if match else line).strip().removeprefix("* ")
        if match and not (found and found[-1][2] == _WRONG):
            found.append((match["file"], int(match["line"]), said))
        elif not said:
            continue
        elif found and (found[-1][2] == _WRONG or not _begins(said)):
            file, number, before = found[-1]
            found[-1] = file, number, f"{before} {said}"
        else:
            file, number = found[-1][:2] if found else ("", 0)
            found.append((file, number, said))
    return [_mistake(*one) for one in _joined(found)]


def _begins(text: str) -> bool:
    """Return whether a line without a place begins a complaint; others continue one."""
    return bool(_OUTER.match(text)) or text.startswith(("Field '", "missing required", "invalid f"))


def _joined(found: list[tuple[str, int, str]]) -> Iterator[tuple[str, int, str]]:
    """Drop frames around complaints, and join complaints of two parts."""
    for at, (file, line, text) in enumerate(found):
        follows = found[at + 1] if at + 1 < len(found) else ("", 0, "")
        if text.startswith("Source '") and follows[2].startswith("with sink"):
            text = f"{text} {follows[2]} (source: line {line})"
            yield follows[0], follows[1], text
        elif text.startswith("Workflow step output") and follows[2].startswith("tool output"):
            yield file, line, f"{text} {follows[2]}"
        elif text.startswith("the '") and text.endswith("field is not valid because"):
            continue
        elif not text.startswith(("with sink", "tool output")) and not _OUTER.fullmatch(text):
            yield file, line, text


def _mistake(file: str, line: int, text: str) -> Mistake:
    said = " ".join(_PLACES.sub("", text).split())
    for pattern, words in _WORDS:
        if match := pattern.search(said):
            said = words(match)
            break
    if len(said) > TEXT_MAX:
        said = f"{said[:TEXT_MAX]} …"
    return Mistake(_PLACES.sub("", file).removeprefix("file://"), line, said)


def _unknown_field(match: re.Match[str]) -> str:
    name = match["name"].rpartition("#")[2]
    known = sorted(_QUOTED.findall(match["known"]))
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(known)}"
    return f"unknown field {name!r}: {hint}"


def _unknown_name(match: re.Match[str]) -> str:
    field, name = match["field"], match["name"]
    expected = {
        "type": "expected a type of CWL, such as string, int, File or string[]",
        "source": "expected an input of the workflow, or STEP/OUTPUT of a step",
        "outputSource": "expected STEP/OUTPUT of a step, or an input of the workflow",
        "scatter": "expected an input of the step",
    }.get(field, "there is nothing of this name")
    return f"field {field!r}: found {name!r}: {expected}"


def _missing_inputs(match: re.Match[str]) -> str:
    names = ", ".join(_QUOTED.findall(match["names"]))
    return f"field 'in' lacks inputs that the tool needs: {names}"


def _expression(match: re.Match[str]) -> str:
    why = re.sub(r"\s+at <\S+> \(.*?\)", "", match["why"]).strip()
    if reference := _REFERENCE.search(why):
        more = "; JavaScript needs InlineJavascriptRequirement"
        why = f"{reference['why'].rstrip('.')}, in the expression $({reference['what']}){more}"
    return f"{match['before']}a wrong expression: {why}"


_REFERENCE: Final = re.compile(
    r"Syntax error in parameter reference '(?P<what>.*?)': (?P<why>.*?)"
    r"(?: This could be due to using Javascript.*)?$"
)
_RULES: Final[tuple[tuple[str, _Words], ...]] = (
    (r"^invalid field '(?P<name>.*?)', expected one of: (?P<known>.*)$", _unknown_field),
    (
        r"^Field '(?P<field>.*?)' references unknown identifier '(?P<name>.*?)'",
        _unknown_name,
    ),
    (
        r"^Field 'class' contains undefined reference to '(?:\S*/)?(.*?)'",
        lambda its: f"field 'class': unknown class {its[1]!r}",
    ),
    (
        r"^.*\b(\w+Requirement) not in requirements$",
        lambda its: f"it needs {its[1]} in the `requirements` of the workflow",
    ),
    (
        r"^(?:No cwlVersion found|The CWL reference runner no longer supports)",
        lambda its: "field 'cwlVersion': expected v1.0, v1.1 or v1.2",
    ),
    (
        r"^workflowjobj must be a dict",
        lambda its: "expected a CWL document: a mapping with `cwlVersion` and `class`",
    ),
    (
        r"^The following steps have circular dependency: (.*)$",
        lambda its: (
            "steps need the outputs of each other: "
            + ", ".join(one.rpartition("#")[2] for one in _QUOTED.findall(its[1]))
        ),
    ),
    (
        r"^CWL input object at (.*?) is not formatted correctly",
        lambda its: f"{its[1]}: expected inputs as a mapping, such as `name: value`",
    ),
    (
        r"^(?:StopIteration$|CWL input object at .*? is empty)",
        lambda its: "the file of inputs is empty: expected `name: value`, or {}",
    ),
    (
        r"^object of type '(.*?)' has no len\(\)$",
        lambda its: f"`scatter` expects a list, found {_KINDS.get(its[1], its[1])}",
    ),
    (r"^\[Errno \d+\] (.*?): '(.*)'$", lambda its: f"{its[2]}: {its[1]}"),
    (
        r"^(field '.*?': )?value is a Commented(Map|Seq), expected (.*)$",
        lambda its: (
            f"{its[1] or ''}expected {its[3]}, found "
            + ("a mapping" if its[2] == "Map" else "a list")
        ),
    ),
    (
        r"^Field '(.*?)' contains undefined reference to '(?:file://)?(.*?)'",
        lambda its: f"field {its[1]!r}: there is no file {its[2]}",
    ),
    (r"^Step is missing required parameters? (?P<names>.*)$", _missing_inputs),
    (
        r"^Source '(.*?)' of type (.*) is incompatible with sink '(.*?)' of type (.*?)"
        r"(?: \(source: line (\d+)\))?$",
        lambda its: (
            f"{its[3]!r} takes {_type(its[4])}: found {_type(its[2])} from {its[1]!r}"
            + (f" (line {its[5]})" if its[5] else "")
        ),
    ),
    (
        r"^Workflow step output '(.*?)' does not correspond to tool output "
        r"\(expected '(.*)'\)$",
        lambda its: f"its tool has no output {its[1]!r}: expected one of {its[2]}".replace(
            "', '", ", "
        ),
    ),
    (
        r"^'(.*?)' is not an input parameter of (?:\S*/)?(.*?), expected (.*)$",
        lambda its: f"{its[2]} has no input {its[1]!r}: it has {its[3]}",
    ),
    (r"^(expected .*, but got .*)$", lambda its: f"wrong YAML: {its[1]}"),
    (r"^missing required field '(.*?)'$", lambda its: f"field {its[1]!r} is missing"),
    (r"^Missing '(.*?)' field$", lambda its: f"field {its[1]!r} is missing"),
    (
        r"^Missing required input parameter '(.*?)'$",
        lambda its: f"input {its[1]!r} is missing: give a file with inputs that has it",
    ),
    (
        r"^the '(.*?)' field is not valid because (?:the value is not|(.*?) is not) (.*)$",
        lambda its: (
            f"field {its[1]!r}: expected {its[3]}" + (f", found {_bare(its[2])}" if its[2] else "")
        ),
    ),
    (
        r"^Anonymous file object must have 'contents' and 'basename' fields",
        lambda its: "a File needs a `path`, or both `contents` and `basename`",
    ),
    (r"^(?P<before>.*?)Expression evaluation error: (?P<why>.*)$", _expression),
    (
        r"^(?:Error collecting output for parameter '(?P<port>.*?)':\s*)?(?P<at>\S+:\d+:\d+: )?"
        r"Did not find output file with glob pattern: \['?(?P<glob>.*?)'?\]",
        lambda its: (
            (f"output {its['port']!r}: " if its["port"] else "")
            + f"the tool made no file that fits {its['glob']}"
        ),
    ),
)
_WORDS: Final = tuple((re.compile(pattern), words) for pattern, words in _RULES)


def _bare(value: str) -> str:
    return value.strip('"')


def _type(written: str) -> str:
    """Return a type as people write it."""
    return written.replace('"', "")
