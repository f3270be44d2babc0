"""Workflows: steps, what each takes and makes, and how what comes in becomes tasks.

One model for productions, whose steps are fed file by file, and for workflows that pass single
values and files from step to step. The forms in which people write them are in
central/workflows; nothing in here knows YAML, lines or processes.

A step makes its tasks in one of four ways: `tasks` of them, when nothing comes in; one for each
element of the ports named in `scatter`; one for each group of the files that are used once, by
`grouping`; else a single one, when all that it takes is there.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from ..catalogue import KeyType, Value
from ..decoding.patterns import whole
from .job import Count, Job
from .transformation import Grouping, Portion

StepName = Annotated[
    str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9_-]*"), min_length=1, max_length=64)
]
PortName = Annotated[str, Meta(pattern=whole("[A-Za-z_][A-Za-z0-9_]*"), max_length=64)]
Key = Annotated[str, Meta(pattern=whole("[A-Za-z][A-Za-z0-9_.-]*"), max_length=64)]
PortType = Annotated[
    str,
    Meta(pattern=whole(r"((file|string|integer|number|boolean|any)(\[\]){0,4})?"), max_length=20),
]

FILE: Final = "file"
LIST: Final = "[]"
ANY: Final = "any"
COUNT: Final = "count"
BYTES: Final = "bytes"
KEY: Final = "key"
JOIN: Final = "join"
ALL: Final = "all"


class _Part(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    pass


class Parameter(_Part, frozen=True, kw_only=True):
    """A value that whoever submits the workflow may choose."""

    type: PortType = ANY
    value: Any = None  # chosen, or the default; none: it must be chosen
    help: Annotated[str, Meta(max_length=1_000)] = ""


class Source(_Part, frozen=True, kw_only=True):
    """A port of a step, written `step.port`."""

    step: StepName
    port: PortName

    def __str__(self) -> str:
        return f"{self.step}.{self.port}"


class StepInput(_Part, frozen=True, kw_only=True):
    """A port through which a step gets files or a value.

    Where it comes from says exactly one of `from`, `query`, `dataset`, `value` and `parameter`.
    """

    sources: tuple[Source, ...] = msgspec.field(name="from", default=())  # ports of parents
    where: dict[str, Any] = {}  # of the files of parents or of a dataset, those that meet this
    query: dict[str, Any] = {}  # files of the catalogue, by their metadata
    dataset: Annotated[str, Meta(max_length=580)] = ""  # files of the catalogue: scope:name
    value: Any = msgspec.UNSET  # this value
    parameter: str = ""  # the value of this parameter of the workflow
    type: PortType = ""  # empty: whatever comes
    use: Literal["once", "shared"] = "once"  # each file in one task, or in every task
    on: Annotated[tuple[Key, ...], Meta(max_length=16)] = ()  # files of a task agree in these keys
    count: Count = 0  # how many a task gets; 0: of a join one, of shared files all
    files_max: Count = 0  # only so many files, the first that come; 0: all

    @property
    def is_catalogue(self) -> bool:
        """Whether its files are looked for in the catalogue."""
        return bool(self.query or self.dataset)

    @property
    def has_value(self) -> bool:
        """Whether it has a value that the definition says; null is one too."""
        return self.value is not msgspec.UNSET


class StepOutput(_Part, frozen=True, kw_only=True):
    """A port through which a step gives files, by `pattern`, or a value, by `value`."""

    pattern: Annotated[str, Meta(max_length=1024)] = ""  # files that are kept, as in a job
    value: Annotated[str, Meta(max_length=1024)] = ""  # a JSON file of the task: its content
    type: PortType = ""  # of the value; empty: any
    required: bool = True  # a task without it has failed
    files: Count | Literal["per_input"] = 1  # how many a task makes; the dry run counts with it
    name: Annotated[str, Meta(max_length=512)] = ""  # in the catalogue; empty: job and file
    dataset: Annotated[str, Meta(max_length=580)] = ""  # that gets the files; empty: one a port
    metadata: dict[Key, Value] = {}  # of the files, over those of the step
    sets: dict[Key, tuple[Value, ...]] = {}  # keys that the task says, with their values; []: any
    storages: Annotated[tuple[str, ...], Meta(max_length=64)] = ()  # in this order; empty: default


class Step(_Part, frozen=True, kw_only=True):
    """One kind of work: a job for each task.

    In the command, the environment, the names and the metadata stand braces: `{task}` is the
    number of the task, from 1 on, `{PORT}` the files or the value of a port, `{inputs}` all files,
    and `{KEY}` what all files of the task have under that key. A word of the command that is
    nothing else becomes one word for each file or element.
    """

    job: Job
    title: Annotated[str, Meta(max_length=1_000)] = ""
    files: Annotated[tuple[str, ...], Meta(max_length=1_000)] = ()  # that travel with each job
    tasks: Annotated[int, Meta(ge=0, le=10_000_000)] = 0  # of a step that takes no files
    inputs: dict[PortName, StepInput] = {}
    scatter: Annotated[tuple[PortName, ...], Meta(max_length=16)] = ()  # a task for each element
    scatter_method: Literal["dot", "cross", "nested"] = "dot"  # of several ports
    gather: Annotated[tuple[PortName, ...], Meta(max_length=64)] = ()  # all of it, in one task
    when: dict[str, Any] = {}  # on values of ports and common keys; where not met, nothing runs
    grouping: Grouping | None = None
    outputs: dict[PortName, StepOutput] = {}
    metadata: dict[Key, Value] = {}  # of all files that it makes
    inherit: bool = True  # files have what those have in common that a task is made of
    scouts: Annotated[int, Meta(ge=0, le=1_000)] = 0  # so many tasks run first
    pause_when_failed: Annotated[float, Meta(gt=0, le=1)] = 0.3  # part of the last 100 tasks
    errors_max: Annotated[int, Meta(ge=1, le=1_000)] = 10  # how often a file may be tried
    tasks_open_max: Count = 0  # tasks that have not ended, at most; 0: no limit
    failover: bool = True  # what failed is tried again as rules say; false: as it was
    failure_rules: dict[str, Any] = {}  # before the workflow's; in files also a list, or a path
    # Part of the inputs that may be missing for good; none: as the workflow says.
    allow_partial: Portion | None = (
        None  # part of the inputs that may be missing, else the workflow's
    )


class Workflow(_Part, frozen=True, kw_only=True):
    """Steps that feed each other. Its definition is kept with every production of it."""

    name: StepName
    title: Annotated[str, Meta(max_length=1_000)] = ""
    parameters: dict[PortName, Parameter] = {}
    metadata: dict[Key, Value] = {}  # of all files of all steps
    software: dict[str, str] = {}  # versions, by name: kept with the production
    keys: dict[Key, KeyType] = {}  # that files have which come from elsewhere
    failure_rules: dict[str, Any] = {}  # before the default ones; in files also a list, or a path
    steps: Annotated[dict[StepName, Step], Meta(min_length=1, max_length=10_000)]
    allow_partial: Portion = 0.0  # of the inputs that may be missing, of all steps that say none

    def allowed(self, step: str) -> float:
        """Return which part of the inputs of a step may be missing, from 0 to 1."""
        own = self.steps[step].allow_partial
        return self.allow_partial if own is None else own


def parse_source(text: str) -> Source | None:
    """Return the port that `step.port` names; None where it is not of this form."""
    step, dot, port = text.partition(".")
    if not dot:
        return None
    try:
        return msgspec.convert({"step": step, "port": port}, Source)
    except msgspec.ValidationError:
        return None
