"""Finds all mistakes of a document, and of its inputs: the library ends with the first kind."""

import copy
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NoReturn, cast

from cwl_utils.errors import WorkflowException
from cwltool.builder import INPUT_OBJ_VOCAB
from cwltool.context import LoadingContext
from cwltool.errors import UnsupportedRequirement
from cwltool.load_tool import fetch_document
from cwltool.process import Process, get_schema, shortname
from cwltool.utils import normalizeFilesDirs
from cwltool.workflow import Workflow, WorkflowStep
from schema_salad.exceptions import ValidationException
from schema_salad.ref_resolver import Loader, uri_file_path
from schema_salad.schema import validate_doc
from schema_salad.sourceline import SourceLine
from schema_salad.validate import validate_ex

from .mistakes import Mistake, Mistakes, in_words, mistakes_of

_VERSIONS: Final = ("v1.0", "v1.1", "v1.2")
FILES_MAX: Final = 100  # that are checked after a mistake
_LACKS: Final = re.compile(r"Step is missing required parameters? (.*)")


class CheckedWorkflow(Workflow):
    """A workflow that tells the mistakes of all of its steps."""

    def __init__(self, toolpath_object: Any, loadingContext: Any) -> None:
        self._found: list[Mistake] = []
        try:
            super().__init__(toolpath_object, loadingContext)
        except ValidationException as why:
            known = why if str(why).strip() else None
            more = self._placed(mistakes_of(known)) if known is not None else []
            raise Mistakes([*self._found, *more]) from why
        if self._found:
            raise Mistakes(self._found)

    def _placed(self, found: Iterable[Mistake]) -> list[Mistake]:
        """Return mistakes with the names of the steps whose inputs they are about."""
        tool: Any = self.tool
        steps: dict[int, str] = {}
        for one in tool.get("steps", ()):
            places = getattr(one["in"], "lc", None)
            lines = places.data.values() if places is not None and places.data else ()
            steps.update((at[0] + 1, shortname(one["id"])) for at in lines)
        return [
            replace(one, text=f"step {steps[one.line]}: {one.text}")
            if one.line in steps and not one.text.startswith("step ")
            else one
            for one in found
        ]

    def make_workflow_step(self, toolpath_object: Any, *given: Any, **named: Any) -> WorkflowStep:
        try:
            return super().make_workflow_step(toolpath_object, *given, **named)
        except (ValidationException, WorkflowException) as why:
            if isinstance(why, UnsupportedRequirement):
                raise
            name = shortname(toolpath_object["id"])
            self._found += _of_step(name, why)
            lacks = _LACKS.search(str(why))
            if lacks is None:
                raise ValidationException("") from why  # the next steps are checked, too
            # With the missing inputs the types of the others are checked.
            filled = _with_inputs(toolpath_object, re.findall(r"'(.*?)'", lacks[1]))
            return self.make_workflow_step(filled, *given, **named)

    def _init_job(self, joborder: Any, runtime_context: Any) -> Any:
        try:
            return super()._init_job(joborder, runtime_context)
        except WorkflowException as why:
            refuse_inputs(self, joborder, why)


def _of_step(name: str, why: BaseException) -> list[Mistake]:
    """Return the mistakes of a step, with its name, unless they are in the file of its tool."""
    if isinstance(why.__cause__, ValidationException):
        return mistakes_of(why.__cause__)
    return [replace(one, text=f"step {name}: {one.text}") for one in mistakes_of(why)]


def _with_inputs(step: Any, names: Iterable[str]) -> Any:
    """Return a step that has these inputs, too."""
    filled = copy.deepcopy(step)
    at = filled["in"].lc
    for name in names:
        entry = type(step)({"id": f"{step['id']}/{name}", "default": ""})
        at.data[len(filled["in"])] = [step.lc.line, step.lc.col]
        filled["in"].append(entry)
    return filled


def refuse_inputs(process: Process, order: Mapping[str, Any], why: WorkflowException) -> NoReturn:
    """Raise WorkflowException with all mistakes of inputs that the library refuses."""
    if isinstance(why, UnsupportedRequirement):
        raise why
    tool = cast(Mapping[str, Any], process.tool)
    given = copy.deepcopy(dict(order))
    found: list[Mistake] = []
    for number, port in enumerate(tool["inputs"]):
        name = shortname(port["id"])
        if given.get(name) is not None:
            continue
        given.pop(name, None)
        if "default" in port:
            given[name] = port["default"]
        elif "null" in _listed(port["type"]):
            given[name] = None
        else:
            text = f"input {name!r} ({_shown(port['type'])}) is missing: give it in the inputs"
            at = SourceLine(tool["inputs"], number, ValidationException).makeError("x")
            found += [replace(one, text=text) for one in mistakes_of(at)]
            given[name] = None
    missing = {shortname(one["id"]) for one in tool["inputs"]}
    missing = {name for name in missing if any(f"input {name!r} (" in one.text for one in found)}
    for name in given.keys() - missing:
        found += _wrong(process, name, order, given[name])
    if not found:
        raise why
    # The library ends one step with this kind of exception.
    raise WorkflowException(in_words(sorted(set(found)))) from Mistakes(found)


def _wrong(process: Process, name: str, order: Any, value: Any) -> list[Mistake]:
    """Return the mistakes in the value of an input."""
    schema: Any = process.names.get_name("input_record_schema", None)
    field = next((one for one in schema.fields if one.name == name), None)
    if field is None:
        return []
    try:
        normalizeFilesDirs({"value": value})
        validate_ex(field.type, value, strict=False, vocab=INPUT_OBJ_VOCAB)
    except ValidationException as why:
        where = SourceLine(order, name, ValidationException).makeError("x")
        at = next(iter(mistakes_of(where)))
        tool: Any = process.tool
        port: Any = next(one for one in tool["inputs"] if shortname(one["id"]) == name)
        its = [] if why.file is None and not why.children else mistakes_of(why)
        if len(its) == 1 and its[0].line:
            return [replace(its[0], text=f"input {name!r}: {its[0].text}")]
        said = f"input {name!r}: expected {_shown(port['type'])}, found {_value(value)}"
        return [replace(at, text=said)]
    return []


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"a {cast(Mapping[str, Any], value).get('class', 'record')}"
    if isinstance(value, list):
        return "an array"
    text = repr(value if isinstance(value, (int, float, bool)) else str(value))
    return text if len(text) <= 80 else f"{text[:80]} …"


def _shown(kind: Any) -> str:
    """Return a type as people write it."""
    if isinstance(kind, list):
        kinds = cast(Sequence[Any], kind)
        parts = [_shown(one) for one in kinds if one != "null"]
        return " or ".join(parts) + ("?" if "null" in kinds else "")
    if isinstance(kind, dict):
        made = cast(Mapping[str, Any], kind)
        if made.get("type") == "array":
            return f"{_shown(made['items'])}[]"
        symbols = ", ".join(shortname(one) for one in made.get("symbols", ()))
        return f"one of {symbols}" if symbols else str(made.get("type"))
    return shortname(str(kind)) if "#" in str(kind) else str(kind)


def _listed(value: Any) -> list[Any]:
    return list(cast(Sequence[Any], value)) if isinstance(value, list) else [value]


def all_mistakes(file: str, first: Iterable[Mistake], context: LoadingContext) -> list[Mistake]:
    """Return the mistakes of a document, and of the files that its steps run.

    `first` are those that the library found. It ends with the links of the first file: here the
    fields of all files are checked as well.
    """
    found, left, seen = list(first), [file], set[str]()
    while left and len(seen) < FILES_MAX:
        one = left.pop(0)
        if one in seen or (one.startswith("file://") and not os.path.exists(uri_file_path(one))):
            continue
        seen.add(one)
        mistakes, runs = _fields(one, context)
        found += mistakes
        left += runs
    others = [one for one in found if not one.text.startswith("Expected class ")]
    return [one if one.file else replace(one, file=file) for one in others or found]


def _fields(file: str, context: LoadingContext) -> tuple[list[Mistake], list[str]]:
    """Return the wrong fields of a file, and the files that it runs."""
    logger, level = logging.getLogger("cwltool"), logging.getLogger("cwltool").level
    logger.setLevel(logging.CRITICAL)
    runs: list[str] = []
    try:
        _, written, uri = fetch_document(file, context)
        plain: Any = written
        version = str(plain.get("cwlVersion", "v1.2")).rpartition("#")[2]
        if version not in _VERSIONS:
            return [], []
        schema, names = get_schema(version)[:2]
        fetcher = context.fetcher_constructor
        loader = Loader(schema.ctx, schemagraph=schema.graph, idx={}, cache=schema.cache,
                        skip_schemas=True, fetcher_constructor=fetcher)  # fmt: skip
        document, _ = loader.resolve_all(written, uri, checklinks=False)
        runs = [one for one in _runs(document) if one.startswith("file://")]
        assert not isinstance(names, Exception)
        validate_doc(names, document, loader, True)
    except ValidationException as why:
        return mistakes_of(why), runs
    except (KeyError, TypeError, AttributeError):  # what is wrong was told: links need it
        return [], runs
    finally:
        logger.setLevel(level)
    return [], runs


def _runs(value: Any) -> Iterable[str]:
    """Yield the files that the steps of a document run."""
    if isinstance(value, dict):
        for key, one in cast(dict[str, Any], value).items():
            if key == "run" and isinstance(one, str):
                yield one.partition("#")[0]
            else:
                yield from _runs(one)
    elif isinstance(value, list):
        for one in cast(Sequence[Any], value):
            yield from _runs(one)
