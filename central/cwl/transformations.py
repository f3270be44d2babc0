"""Makes a production of a workflow whose steps have the hint `pilotage:Transformation`.

Such a step has many tasks: a number of them, or one for each group of files. Its command is built
once, with marks in place of the number of the task and of the files; the node fills them in. So its
expressions may only be references.
"""

import copy
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from cwl_utils.errors import WorkflowException
from cwltool.process import Process, shortname
from cwltool.workflow import Workflow as LibraryWorkflow
from msgspec import Meta
from schema_salad.ref_resolver import file_uri

from pilotage.pilot.cwl.tool_job import EXT, IN, KEPT, MARKS, ROOT, STORED, TASK, packed
from pilotage.proto.catalogue import KeyType
from pilotage.proto.documents.job import PRIORITY_DEFAULT, Count, Job, Word
from pilotage.proto.documents.transformation import TASKS_MAX, Grouping
from pilotage.proto.documents.workflow import Source, Step, StepInput, StepOutput, Workflow

from .hints import TRANSFORMATION, WrittenHints, check_storable, class_of, kinds, mistake, read_hint
from .known_files import KnownFile, RunFiles
from .needs import need_of
from .run import CwlRun
from .shapes import step_name
from .tools import FOLDERS, JobContext, PlannedTool, Store, ToolJob

TOOL: Final = "tool_job.py"
CHECKED: Final = "cwl-tool"  # stands for the command where a document is only checked
_ATTRIBUTES: Final = ("path", "basename", "nameroot", "nameext")  # of a file that comes later
_EXPRESSION: Final = re.compile(r"\$[({]")
_SEGMENT: Final = re.compile(r"\.(\w+)|\[(\d+)\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
_REFERENCE: Final = re.compile(rf"\$\((inputs|runtime|self)((?:{_SEGMENT.pattern})*)\)")
_FOLDERS: Final = ("in", "out", "tmp", "outside", "programs", "given", KEPT, STORED)  # on a node
_KEY_TYPES: Final[Mapping[type, KeyType]] = {
    str: KeyType.STRING,
    int: KeyType.NUMBER,
    float: KeyType.NUMBER,
    bool: KeyType.BOOLEAN,
}
_TRIED: Final = (1, 2, 3)  # numbers of files with which a command is built


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class TaskInput(_Part, frozen=True, kw_only=True):
    """The port that differs between tasks."""

    port: str
    query: dict[str, Any] = {}  # as for `pilotage data find`; narrows the files of an earlier step
    grouping: Annotated[int, Meta(ge=1, le=10_000)] | Grouping = 1  # files of a task, or a rule
    partial: Literal["never", "parent_done", "after"] | None = None


class PortOutput(_Part, frozen=True, kw_only=True):
    """Where the catalogue gets the files of a port."""

    dataset: Annotated[str, Meta(max_length=580)] = ""
    metadata: dict[str, str | int | float | bool] = {}
    name: Annotated[str, Meta(max_length=512)] = ""
    storages: tuple[Word, ...] = ()


class Transformation(_Part, frozen=True, kw_only=True):
    """The hint: `tasks` is a number of tasks, whose port gets the number of each."""

    input: TaskInput | None = None
    output: dict[str, PortOutput] = {}
    tasks: Annotated[Count, Meta(le=TASKS_MAX)] = 0


@dataclass(frozen=True)
class Built:
    """A production, and the local files that its steps name."""

    workflow: Workflow
    files: Mapping[str, str] = field(default_factory=dict[str, str])


def has_transformations(process: Process) -> bool:
    """Return whether a step of a workflow has the hint."""
    every: Sequence[Any] = process.steps if isinstance(process, LibraryWorkflow) else ()
    return any(_own(step) is not None for step in every)


def _own(step: Any) -> Any:
    """Return the hint of a step; None: it has none."""
    hints: Sequence[Any] = step.tool.get("hints") or ()
    return next((one for one in hints if class_of(one) == TRANSFORMATION), None)


def built(
    process: Process,
    name: str,
    *,
    inputs: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    group: str = "",
) -> Built:
    """Return the production of a workflow; `files` are local ones, by their place in the inputs.

    Without inputs it has no commands, for a check. Raises HintMistake.
    """
    builder = _Builder(process, inputs, files or {}, group)
    steps = {
        step_name(shortname(one.id), set()): builder.step(one) for one in builder.process.steps
    }
    title = str(builder.process.tool.get("label") or "")
    keys = {key: kind for one in steps.values() for key, kind in _keys(one)}
    workflow = Workflow(name=step_name(name, set()), title=title, steps=steps, keys=keys)
    return Built(workflow, builder.named)


class _Builder:
    def __init__(
        self,
        process: Any,
        inputs: Mapping[str, Any] | None,
        files: Mapping[str, str],
        group: str,
    ) -> None:
        self.process, self._inputs, self._files, self._group = process, inputs, files, group
        self.named: dict[str, str] = {}  # local files that steps name
        self._written = WrittenHints()
        # Which step makes what, by the name that the library gives it.
        self._makers = {
            out["id"]: Source(step=step_name(shortname(step.id), set()), port=_port(out["id"]))
            for step in process.steps
            for out in step.tool["outputs"]
        }

    def step(self, step: Any) -> Step:
        """Return a step of the production."""
        hint = self._hint(step)
        tool = step.embedded_tool
        if not isinstance(tool, PlannedTool):
            raise mistake(step.tool, "run: only a CommandLineTool can have tasks of its own", "run")
        own = [hint.input.port] if hint.input else []
        scattered = [shortname(one) for one in _listed(step.tool.get("scatter"))]
        for key, is_wrong in (
            ("scatter", scattered not in ([], own)),
            ("when", "when" in step.tool),
        ):
            if is_wrong:
                why = f"{key}: it has no meaning beside pilotage:Transformation, which makes tasks"
                raise mistake(step.tool, why, key)
        if tool.stores:
            why = "output_paths: use `output` of pilotage:Transformation"
            raise mistake(step.tool, why, "run")
        port = self._task_port(step, hint)
        stored = self._stored(hint, tool)
        values, given = self._values(step, hint)
        job = Job(command=(CHECKED, *(["{inputs}"] if given else [])))
        files: tuple[str, ...] = ()
        if self._inputs is not None:
            _check_references(tool, hint.input.port if hint.input else "", bool(given))
            job, files = self._job(step, tool, values, port, stored, bool(given))
        ports = cast(Sequence[Any], tool.tool["outputs"])
        return Step(
            job=job,
            files=files,
            tasks=hint.tasks,
            inputs=given,
            grouping=_grouping(hint.input) if given and hint.input else None,
            outputs={
                _port(port["id"]): _output(i, stored[shortname(port["id"])], port["type"])
                for i, port in enumerate(ports)
            },
        )

    def _hint(self, step: Any) -> Transformation:
        name, hint = shortname(step.id), _own(step)
        if hint is None:
            why = f"step {name}: it has no pilotage:Transformation, expected it at all steps"
            raise mistake(step.tool, why, "run")
        self._written.enter(step.tool)
        where = f"{name}/{hint['class']}"
        found = read_hint(hint, self._written.of(hint, self.process), Transformation, where)
        named: dict[str, list[str]] = {
            "inputs": [found.input.port] if found.input else [],
            "outputs": list(found.output),
        }
        for key, names in named.items():
            ports = [shortname(one["id"]) for one in step.embedded_tool.tool[key]]
            for one in names:
                if one not in ports:
                    right = f"found the port {one[:80]!r}, expected {', '.join(ports) or 'none'}"
                    raise mistake(hint, f"{where}.{key.removesuffix('s')}: {right}")
        return found

    def _task_port(self, step: Any, hint: Transformation) -> Any:
        """Return the port that differs between tasks; None: no port does."""
        if hint.input is None:
            if not hint.tasks:
                why = "expected `tasks`, or `input` with a port of type File or File[]"
                raise mistake(step.tool, f"step {shortname(step.id)}: {why}", "hints")
            return None
        ports = cast(Sequence[Any], step.embedded_tool.tool["inputs"])
        (port,) = (one for one in ports if shortname(one["id"]) == hint.input.port)
        found = set(kinds(port["type"])) - {"null"}
        right = {"int", "long", "string"} if hint.tasks else {"File"}
        if not found or not found <= right:
            what = "`tasks`" if hint.tasks else "files"
            why = f"its type has {', '.join(sorted(found))}, expected {' or '.join(sorted(right))}"
            raise mistake(port, f"input port {hint.input.port} gets {what}: {why}")
        if port.get("secondaryFiles") or port.get("loadContents"):
            why = "secondaryFiles and loadContents are not known before the tasks"
            raise mistake(port, f"input port {hint.input.port}: {why}")
        return port

    def _stored(self, hint: Transformation, tool: Any) -> dict[str, PortOutput]:
        """Return the output ports: the catalogue gets all of them. Raises HintMistake."""
        found: dict[str, PortOutput] = {}
        for port in tool.tool["outputs"]:
            name = shortname(port["id"])
            check_storable(port, name)
            if dict[str, Any](port.get("outputBinding") or {}).get("outputEval"):
                raise mistake(port, f"output port {name}: outputEval is not known before the tasks")
            found[name] = hint.output.get(name, PortOutput())
        return found

    def _values(
        self, step: Any, hint: Transformation
    ) -> tuple[dict[str, Any], dict[str, StepInput]]:
        """Return the values of the ports, and the input with the files of each task."""
        values: dict[str, Any] = {}
        given: dict[str, StepInput] = {}
        for port in step.tool["inputs"]:
            name, sources = shortname(port["id"]), _listed(port.get("source"))
            for key in ("valueFrom", "pickValue"):
                if port.get(key):
                    why = f"{name}.{key}: it has no meaning beside pilotage:Transformation"
                    raise mistake(port, why, key)
            makers = [self._makers[one] for one in sources if one in self._makers]
            is_task_port = hint.input is not None and name == hint.input.port
            if hint.input is not None and is_task_port and not hint.tasks:
                if makers:
                    given[_input(name)] = StepInput(sources=tuple(makers), where=hint.input.query)
                elif hint.input.query:
                    given[_input(name)] = StepInput(query=hint.input.query)
                else:
                    why = "expected a `query`, or files of an earlier step"
                    raise mistake(port, f"input port {name}: {why}")
            elif makers:
                why = f"input port {name} gets files of step {makers[0].step}: name it as `input`"
                raise mistake(port, why)
            elif not is_task_port and len(sources) > 1:
                raise mistake(port, f"input port {name}: expected one source")
            elif self._inputs is not None and not is_task_port:
                values[name] = self._value(port, sources)
        return values, given

    def _value(self, port: Any, sources: Sequence[str]) -> Any:
        assert self._inputs is not None
        for one in self.process.tool["inputs"]:
            if one["id"] in sources:
                name = shortname(one["id"])
                found = self._inputs.get(name, one.get("default"))
                if found is not None:
                    return copy.deepcopy(found)
        return copy.deepcopy(port.get("default"))

    # -- the job ----------------------------------------------------------------------------------

    def _job(
        self,
        step: Any,
        tool: Any,
        values: dict[str, Any],
        port: Any,
        stored: Mapping[str, PortOutput],
        has_files: bool,
    ) -> tuple[Job, tuple[str, ...]]:
        """Return the job of all tasks, and the files that travel with it."""
        tool.stores = {one: Store("") for one in stored}
        values = {key: value for key, value in values.items() if value is not None}
        is_list = has_files and any(
            not isinstance(one, str) and one["type"] == "array" for one in _listed(port["type"])
        )
        if port is not None and not has_files:
            values[shortname(port["id"])] = (
                TASK if "string" in set(kinds(port["type"])) else int(TASK)
            )
        one, spec = self._planned(step, tool, values, port, 1 if has_files else 0, is_list)
        if is_list:
            tried = [self._planned(step, tool, values, port, n, True)[1] for n in _TRIED]
            spec = _repeated(step, tried)
        files: dict[str, str] = {TOOL: ""}
        for entry in spec["stage"]:
            if entry["kind"] == "folder":
                raise mistake(step.tool, "a Directory cannot be an input beside "
                              "pilotage:Transformation", "in")  # fmt: skip
            if entry["kind"] == "file" and not entry["source"].startswith(MARKS):
                place = entry["source"].removeprefix("file://")
                if place not in self._files:
                    raise mistake(step.tool, f"{place}: only `input` takes files of the catalogue",
                                  "in")  # fmt: skip
                name = f"given/{len(files)}/{os.path.basename(place)}"
                files[name] = self._files[place]
                spec.setdefault("sources", {})[entry["source"]] = name
        spec |= {
            "made": [],
            "executable": [n for n, p in files.items() if p and os.access(p, os.X_OK)],
        }
        self.named.update(files)
        placement = tool.placement
        if placement.get("platform"):
            why = "dirac:Scheduling.platform: it has no meaning beside pilotage:Transformation"
            raise mistake(step.tool, why, "run")
        words = [w.replace("{", "{{").replace("}", "}}") for w in packed(spec)]
        job = Job(
            command=("python3", TOOL, *words, "--", "{task}", *(["{inputs}"] if has_files else [])),
            group=self._group,
            needs=(need_of(one.needs, spec.get("limit_s"), placement.get("sites", ())),),
            priority=placement.get("priority", PRIORITY_DEFAULT),
        )
        return job, tuple(files)

    def _planned(
        self, step: Any, tool: Any, values: Mapping[str, Any], port: Any, count: int, is_list: bool
    ) -> tuple[ToolJob, dict[str, Any]]:
        """Build the command of a task with this number of files; return its description too."""
        known = RunFiles(lambda path: _read(self._files.get(path)))
        for place, path in self._files.items():
            one = KnownFile(size=os.path.getsize(path))
            known.add(os.path.dirname(place), [(os.path.basename(place), one)])
        marks = [f"{MARKS}/{i}/{ROOT}{i}{EXT}{i}" for i in range(count)]
        for mark in marks:
            known.add(os.path.dirname(mark), [(os.path.basename(mark), KnownFile())])
        order = copy.deepcopy(dict(values))
        if marks:
            files = [{"class": "File", "location": file_uri(one)} for one in marks]
            order[shortname(port["id"])] = files if is_list else files[0]
        context = JobContext({**FOLDERS, "basedir": "/pilotage-cwl", "toplevel": True})
        try:
            run = CwlRun(tool, order, known, context)
            jobs = run.advance()
        except WorkflowException as why:
            raise mistake(step.tool, f"step {shortname(step.id)}: {why}", "run") from why
        if not jobs:
            raise mistake(step.tool, f"step {shortname(step.id)}: {' '.join(run.why)}", "run")
        return jobs[0], _canonical(jobs[0].spec)


def _canonical(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description whose inputs lie in folders that do not depend on their number."""
    text = json.dumps(spec)
    for entry in spec["stage"]:
        if entry["path"].startswith(IN) and entry["kind"] == "file":
            source = entry["source"].removeprefix("file://")
            folder = os.path.dirname(source).replace("/", "_")
            old, new = (json.dumps(one)[1:-1] for one in (
                entry["path"], f"{IN}/{folder}/{os.path.basename(entry['path'])}"))  # fmt: skip
            text = text.replace(old, new)
    found: dict[str, Any] = json.loads(text.replace(f"file://{MARKS}", MARKS))
    return found


def _repeated(step: Any, tried: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the description for any number of files, given those for 1, 2 and 3 files.

    `each` has the words and the entries of `stage` of one file.
    """
    rest = [
        {**spec, "argv": [], "stage": [one for one in spec["stage"] if not _is_mark(one)]}
        for spec in tried
    ]
    first, argv = tried[0], [list[str](spec["argv"]) for spec in tried]
    size = len(argv[1]) - len(argv[0])
    for at in range(len(argv[0]) - size + 1):
        words = argv[0][at : at + size]
        before, after = argv[0][:at], argv[0][at + size :]
        each = [[_of(word, i) for word in words] for i in range(len(_TRIED))]
        if (
            rest[0] == rest[1] == rest[2]
            and ROOT not in json.dumps([before, after, rest[0]])
            and all(
                [*before, *(word for i in range(n) for word in each[i]), *after] == argv[n - 1]
                for n in _TRIED
            )
        ):
            stage = [one for one in first["stage"] if _is_mark(one)]
            return {**rest[0], "argv": [*before, *after],
                    "each": {"at": at, "words": words, "stage": stage}}  # fmt: skip
    why = "its command is no repetition of the same words for each file of File[]"
    raise mistake(step.tool, f"step {shortname(step.id)}: {why}", "run")


def _of(text: str, number: int) -> str:
    """Return a text about file 0 for another file."""
    folder = MARKS.replace("/", "_")
    text = text.replace(f"{folder}_0/", f"{folder}_{number}/")
    return text.replace(f"{ROOT}0{EXT}0", f"{ROOT}{number}{EXT}{number}").replace(
        f"{ROOT}0", f"{ROOT}{number}").replace(f"{EXT}0", f"{EXT}{number}")  # fmt: skip


def _is_mark(entry: Mapping[str, Any]) -> bool:
    return str(entry["source"]).startswith(MARKS)


def _check_references(tool: Any, port: str, has_files: bool) -> None:
    """Raise HintMistake for an expression that is no reference, or needs what is not known."""
    for text in _texts(tool.tool):
        found = list(_REFERENCE.finditer(text))
        is_known = len(found) == len(_EXPRESSION.findall(text))
        for one in found:
            parts = ["".join(part) for part in _SEGMENT.findall(one[2])]
            if one[1] == "self":
                is_known &= _is_known(parts, True)
            elif one[1] == "inputs" and (not parts or (has_files and parts[0] == port)):
                is_known &= bool(parts) and _is_known(parts[1:], text.strip() == one[0])
        if not is_known:
            why = (
                f"found {text.strip()[:200]!r}, expected references such as "
                f"$(inputs.x) only, and {', '.join(_ATTRIBUTES)} of files: "
                "the command is built once for all tasks"
            )
            raise mistake(tool.tool, why)
    if has_files and tool.get_requirement("ShellCommandRequirement")[0] is not None:
        why = "ShellCommandRequirement: the names of files are not known when words are quoted"
        raise mistake(tool.tool, why)


def _is_known(parts: Sequence[str], is_whole: bool) -> bool:
    """Return whether a part of a file, or the file itself, is known before the tasks."""
    if parts and parts[0].isdecimal():
        parts = parts[1:]
    return is_whole if not parts else len(parts) == 1 and parts[0] in _ATTRIBUTES


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in cast(dict[str, Any], value).items():
            if key not in ("doc", "label", "hints", "id"):
                yield from _texts(one)
    else:
        for one in _listed(value) if isinstance(value, list) else ():
            yield from _texts(one)


def _keys(step: Step) -> Iterator[tuple[str, KeyType]]:
    """Yield the keys of queries on the catalogue, with the types of their values."""
    for given in step.inputs.values():
        for key, clause in given.query.items():
            plain: Any = clause
            values = list(plain.values()) if isinstance(clause, dict) else [plain]
            one = next(iter(_listed(values[0] if values else None)), None)
            if key != "dataset" and type(one) in _KEY_TYPES:
                yield key, _KEY_TYPES[type(one)]


def _grouping(given: TaskInput) -> Grouping:
    found = given.grouping
    grouping = Grouping(size=found) if isinstance(found, int) else found
    if given.partial is not None:
        grouping = msgspec.structs.replace(grouping, partial=given.partial)
    return grouping


def _output(number: int, one: PortOutput, kind: Any) -> StepOutput:
    return StepOutput(
        pattern=f"{STORED}/{number}/**",
        name=one.name or "{job}/{stem}{suffix}",
        dataset=one.dataset,
        metadata=one.metadata,
        storages=one.storages,
        required=kind == "File",
    )


def _port(name: str) -> str:
    """Return the name of a port as a production takes it."""
    found = re.sub(r"\W", "_", shortname(name), flags=re.ASCII)[:60]
    return f"_{found}" if found[:1].isdigit() else found


def _input(name: str) -> str:
    """Return the name of an input, which is the folder of its files on a node."""
    found = _port(name)
    return f"{found}_files" if found in _FOLDERS else found


def _listed(value: Any) -> Sequence[Any]:
    if isinstance(value, list):
        return cast(Sequence[Any], value)
    return [] if value is None else [value]


def _read(path: str | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read(65_537)
