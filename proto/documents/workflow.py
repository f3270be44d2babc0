"""Workflows: steps, the inputs and outputs of each step, and how inputs become tasks.

The model serves productions, whose steps get file after file, and workflows that pass single values
and files from step to step. The file formats are in central/workflows; this module knows neither
YAML nor lines nor processes.

A step makes its tasks in one of four ways:

- a fixed number (`tasks`), if the step has no inputs
- one for each element of the ports in `scatter`
- one for each group (`grouping`) of the files that are used once
- otherwise one task, as soon as all inputs exist
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
ElementKey = Annotated[str, Meta(pattern=whole("[A-Za-z][A-Za-z0-9_.-]*"), max_length=64)]
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
    """A value that the submitter can choose."""

    type: PortType = ANY
    value: Any = None  # default, or chosen value; empty: it must be chosen
    help: Annotated[str, Meta(max_length=1_000)] = ""


class Source(_Part, frozen=True, kw_only=True):
    """A port of a step, written `step.port`."""

    step: StepName
    port: PortName

    def __str__(self) -> str:
        return f"{self.step}.{self.port}"


class StepInput(_Part, frozen=True, kw_only=True):
    """A port through which a step gets files or a value.

    Give exactly one of `from`, `query`, `dataset`, `value` and `parameter`.
    """

    sources: tuple[Source, ...] = msgspec.field(name="from", default=())  # ports of parents
    where: dict[str, Any] = {}  # condition on files of parents or a dataset
    query: dict[str, Any] = {}  # files of the catalogue by metadata
    dataset: Annotated[str, Meta(max_length=580)] = ""  # files of the catalogue, as SCOPE:NAME
    value: Any = msgspec.UNSET
    parameter: str = ""  # parameter of the workflow
    type: PortType = ""  # empty: any
    use: Literal["once", "shared"] = "once"  # each file in one task, or in every task
    on: Annotated[
        tuple[ElementKey, ...], Meta(max_length=16)
    ] = ()  # keys in which files of a task agree
    count: Count = 0  # files of a task; 0: one of a join, all shared files
    files_max: Count = 0  # use the first files only; 0: all

    @property
    def is_catalogue(self) -> bool:
        """Whether the port gets files from the catalogue."""
        return bool(self.query or self.dataset)

    @property
    def has_value(self) -> bool:
        """Whether the definition gives the port a value; null is a value."""
        return self.value is not msgspec.UNSET


class StepOutput(_Part, frozen=True, kw_only=True):
    """A port through which a step gives files (`pattern`) or a value (`value`)."""

    pattern: Annotated[str, Meta(max_length=1024)] = ""  # files to keep, as in a job
    value: Annotated[str, Meta(max_length=1024)] = ""  # JSON file of the task that holds the value
    type: PortType = ""  # type of the value; empty: any
    required: bool = True  # a task without it fails
    files: Count | Literal["per_input"] = 1  # files of a task, for the dry run
    name: Annotated[str, Meta(max_length=512)] = ""  # in the catalogue; empty: job and file
    dataset: Annotated[str, Meta(max_length=580)] = ""  # gets the files; empty: one for each port
    metadata: dict[ElementKey, Value] = {}  # of the files, over those of the step
    #: keys that the task sets, with possible values; []: any
    sets: dict[ElementKey, tuple[Value, ...]] = {}
    #: in the order to try; empty: the default ones
    storages: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    scope: Annotated[str, Meta(max_length=64)] = ""  # of the files; empty: the group of the jobs
    confirm: bool = False  # a task is Done only when Rucio has the files


class Step(_Part, frozen=True, kw_only=True):
    """One kind of work, with a job for each task.

    The command, environment, names and metadata may contain `{task}` (number of the task, from 1),
    `{PORT}` (files or value of a port), `{inputs}` (all files) and `{KEY}` (a value that all files
    of the task share). A word of the command that is one of these alone becomes one word for each
    file or element.
    """

    job: Job
    title: Annotated[str, Meta(max_length=1_000)] = ""
    #: files that travel with each job
    files: Annotated[tuple[str, ...], Meta(max_length=1_000)] = ()
    tasks: Annotated[int, Meta(ge=0, le=10_000_000)] = 0  # number of tasks of a step without files
    inputs: dict[PortName, StepInput] = {}
    #: ports with a task for each element
    scatter: Annotated[tuple[PortName, ...], Meta(max_length=16)] = ()
    scatter_method: Literal["dot", "cross", "nested"] = "dot"  # how several ports combine
    #: ports whose elements all go to one task
    gather: Annotated[tuple[PortName, ...], Meta(max_length=64)] = ()
    when: dict[str, Any] = {}  # condition on port values and common keys; else nothing runs
    grouping: Grouping | None = None
    outputs: dict[PortName, StepOutput] = {}
    metadata: dict[ElementKey, Value] = {}  # of all files that it makes
    #: files inherit the common metadata of their inputs; a list: only these keys, over `metadata`
    inherit: bool | Annotated[tuple[ElementKey, ...], Meta(max_length=64)] = True
    scouts: Annotated[int, Meta(ge=0, le=1_000)] = 0  # tasks that run first
    pause_when_failed: Annotated[float, Meta(gt=0, le=1)] = 0.3  # share of the last 100 tasks
    errors_max: Annotated[int, Meta(ge=1, le=1_000)] = 10  # tries of a file
    tasks_open_max: Count = 0  # tasks that have not ended; 0: no limit
    failover: bool = True  # retry failures by rules; false: retry unchanged
    #: before the workflow's rules; a file may also have a list, or a path
    failure_rules: dict[str, Any] = {}
    reuse: bool | None = None  # reuse results of earlier tasks; empty: as the workflow says
    # Share of the inputs that may be missing for good; None: as the workflow says.
    allow_partial: Portion | None = (
        None  # share of inputs that may be missing; empty: as the workflow
    )


class Workflow(_Part, frozen=True, kw_only=True):
    """Steps that feed each other. Each production keeps the definition."""

    name: StepName
    title: Annotated[str, Meta(max_length=1_000)] = ""
    parameters: dict[PortName, Parameter] = {}
    metadata: dict[ElementKey, Value] = {}  # of all files of all steps
    software: dict[str, str] = {}  # versions by name, kept with the production
    keys: dict[ElementKey, KeyType] = {}  # types of keys of files from elsewhere
    #: before the default rules; a file may also have a list, or a path
    failure_rules: dict[str, Any] = {}
    steps: Annotated[dict[StepName, Step], Meta(min_length=1, max_length=10_000)]
    allow_partial: Portion = 0.0  # share of inputs that may be missing, for steps without their own

    reuse: bool = False  # steps reuse the results of earlier tasks with the same recipe

    def reuses(self, step: str) -> bool:
        """Return whether a step reuses results of earlier tasks."""
        own = self.steps[step].reuse
        return self.reuse if own is None else own

    def allowed(self, step: str) -> float:
        """Return the share of a step's inputs that may be missing, from 0 to 1."""
        own = self.steps[step].allow_partial
        return self.allow_partial if own is None else own


def parse_source(text: str) -> Source | None:
    """Return the port in `step.port`; None if the text has another form."""
    step, dot, port = text.partition(".")
    if not dot:
        return None
    try:
        return msgspec.convert({"step": step, "port": port}, Source)
    except msgspec.ValidationError:
        return None
