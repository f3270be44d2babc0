"""Bodies of requests and answers about productions: workflows that run on pilots."""

import enum
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType

from ..documents.job import Input, Priority
from ..documents.transformation import TASKS_MAX
from ..documents.workflow import StepName, Workflow
from ..failures import FailureClass
from ..production_states import ProductionState
from ..transformation_states import InputState, TaskState, TransformationState
from .bodies import ReplyStruct as _Out, RequestStruct as _In, check_fields
from .jobs import REASON_MAX

TEXT_MAX: Final = 4_000_000  # of a workflow file
RULES_MAX: Final = 200_000  # of rules of failover
FILES_MAX: Final = 10_000  # that travel with jobs
NAME_MAX: Final = 64

Named = Annotated[str, Meta(max_length=128)]  # an id or a name


class Written(_In, frozen=True):
    """The file that a workflow was read from, kept to be looked at."""

    file: Annotated[str, Meta(max_length=1024)] = ""  # its name
    form: Annotated[str, Meta(max_length=64)] = ""  # pilotage, ctadirac, python, …
    text: Annotated[str, Meta(max_length=TEXT_MAX)] = ""


class NewProduction(_In, frozen=True):
    """Add a production: `POST /v1/productions`. All of its transformations are stored, or nothing.

    Either `workflow` is given, or `rerun_of`: then the definition of that production runs anew,
    with all of its files and as many tasks as its steps were extended to, under another name. The
    same definition again under the same name gives the same production; another one under its name
    is refused, and so is one with other rules, another title or priority, where they are given.
    """

    workflow: Workflow | None = None
    name: Annotated[str, Meta(max_length=NAME_MAX)] = ""  # empty: the workflow's
    title: Annotated[str, Meta(max_length=1_000)] = ""  # empty: the workflow's
    # What steps name under `files`, as they write it: uploaded before, each once.
    files: Annotated[dict[str, Input], Meta(max_length=FILES_MAX)] = {}
    written: Written = Written()
    rules: Annotated[str, Meta(max_length=RULES_MAX)] = ""  # of failover, as YAML; empty: defaults
    priority: Priority | None = None  # of all of its jobs; none: as each job says
    images: dict[str, str] = {}  # digests of images that jobs name, as far as they are known
    rerun_of: Named = ""
    start: bool = True  # else it stays New until it is started
    dry_run: bool = False  # say what it would be, and store nothing

    def __post_init__(self) -> None:
        if self.workflow is None and not self.rerun_of:
            raise ValueError("expected `workflow`, or `rerun_of` a production")


class ProductionActionName(str, enum.Enum):
    """What can be done to a production."""

    START = "start"
    PAUSE = "pause"  # no step makes tasks; inputs gather
    RESUME = "resume"  # of steps that a brake has paused too: they are judged anew
    STOP = "stop"  # neither tasks nor inputs; what runs ends
    COMPLETE = "complete"  # steps that query the catalogue: no more inputs will come
    EXTEND = "extend"  # a step makes more tasks, or looks for inputs again; so do those below it
    FIX = "fix"  # what waits for a person is tried again
    PRIORITY = "priority"  # of jobs that wait, and of those that come
    ARCHIVE = "archive"
    CLEAN = "clean"  # its jobs are killed, and the files that it made leave the catalogue


_N = ProductionActionName
# What an action has besides its reason: all others are of the whole production, and take no more.
ACTION_FIELDS: Final = {
    _N.COMPLETE.value: ("step", "anyway"),
    _N.EXTEND.value: ("step", "tasks", "was", "anyway"),
    _N.FIX.value: ("step", "anyway", "problematic"),
    _N.PRIORITY.value: ("priority",),
}


class ProductionAction(_In, frozen=True):
    """`POST /v1/productions/{production}/actions`. What is so already stays so.

    A field that the action does not have is refused.
    """

    action: ProductionActionName
    reason: Annotated[str, Meta(max_length=REASON_MAX)] = ""
    step: StepName | None = None  # extend, complete, fix: this one; none: all that can be
    tasks: Annotated[int, Meta(ge=0, le=TASKS_MAX)] = 0  # extend: how many there are to be in all
    was: Annotated[int, Meta(ge=0, le=TASKS_MAX)] = 0  # extend: how many there were to be
    # extend, fix: also where steps have run of all files, and would run of some
    # complete: also where steps that feed this one may still make files
    anyway: bool = False
    problematic: bool = False  # fix: files with bad data are tried again too
    priority: Priority | None | UnsetType = UNSET  # priority, needed; null: as each job says

    def __post_init__(self) -> None:
        check_fields(self, self.action.value, ACTION_FIELDS, ("action", "reason"))
        if self.action is ProductionActionName.PRIORITY and self.priority is UNSET:
            raise ValueError("priority: expected a number, or null: as each job says")


class StepView(_Out, frozen=True):
    """A step of a production, and how far it is."""

    step: str
    transformation: int
    name: str  # of the transformation
    title: str
    state: TransformationState
    reason: str
    parents: tuple[str, ...]  # the steps that feed it
    inputs: dict[InputState, int]  # of files that are used once
    tasks: dict[TaskState, int]
    tasks_made: int
    tasks_expected: int | None  # in all, of what is known now; none: it cannot be known yet
    tasks_wanted: int = 0  # without inputs: so many were asked for
    expected_exactly: bool = False
    done: float = 0.0  # which part of it, from 0 to 1
    task_s: float | None = None  # how long a task runs, on the mean of the last ones
    outputs: str = ""  # the dataset of its outputs
    marks: tuple[str, ...] = ()  # as of its transformation; it waits for a person
    unfit: str = ""  # of one production: why no pilot fits the jobs of its open tasks
    allow_partial: float = 0.0  # which part of its inputs may be missing, from 0 to 1
    unfit_job: int | None = None  # a job that no pilot fits


class Eta(_Out, frozen=True):
    """When a production will be complete, by its speed of late: 8 of 10 times between the two."""

    at: str
    low: str
    high: str


class ProductionView(_Out, frozen=True):
    """A production, and how far it is."""

    id: int
    name: str
    title: str
    state: ProductionState
    reason: str
    community: str
    group: str
    owner: str
    steps: list[StepView]  # parents before children
    progress: float  # from 0 to 1: the parts of steps, weighted by how long their tasks run
    eta: Eta | None  # none: nothing was done yet, or it does not run
    marks: tuple[str, ...]  # step S waits for a person, N files wait …, no pilot fits step S
    priority: int | None
    rerun_of: int | None
    definition: str  # SHA-256 of the workflow with all of its files: equal ones run the same
    made_at: str
    changed_at: str


class ProductionDetail(_Out, frozen=True):
    """Everything of one production.

    Sealed for who may not read the outputs of its jobs: each hash is 64 zeros; variables,
    parameters and ports are without their values, `written` and `rules` without their texts.
    """

    view: ProductionView
    workflow: dict[str, Any]  # a Workflow: types of elements resolved, parameters chosen
    files: dict[str, Any]  # an Input for each file that travels with jobs, by its path
    written: dict[str, Any]  # a Written
    rules: str
    software: dict[str, str]  # versions that the workflow says
    images: dict[str, str]  # digests of images, as far as they were known
    version: str  # of pilotage, when it was added
    did: list[str] = []  # by the action that this answers, in words
    sealed: bool = False
    was_there: bool = False  # the submission that this answers has added nothing


class ProductionPage(_Out, frozen=True):
    productions: list[ProductionView]
    after: int | None  # ask with it for the next page; none: this was the last


class StepPreview(_Out, frozen=True):
    """What a step would be."""

    step: str
    name: str  # of its transformation
    tasks: int | None  # none: it cannot be known before
    exact: bool
    inputs: dict[str, int | None]  # files by port
    outputs: dict[str, int | None]
    document: dict[str, Any]  # a Transformation; parents by their names
    more: list[str] = []  # ports that get more files of the catalogue than were counted


class ProductionPreview(_Out, frozen=True):
    """What a production would be: the answer to a dry run."""

    name: str
    steps: list[StepPreview]
    tasks: int | None
    files: int | None
    definition: str


class StepFailures(_Out, frozen=True):
    """What failed in a step, by class."""

    failure: FailureClass
    attempts: int
    jobs: int
    examples: tuple[int, ...]  # jobs; the first is the one to look at
    said: str
    stderr: str = ""  # the last line that the first of the examples wrote there


class StepReport(_Out, frozen=True):
    """How a step went: what failed of it, what waits for whom."""

    step: str
    failures: list[StepFailures]
    waits: str  # why no group is made of the inputs that wait
    waits_for_a_person: dict[InputState, int]
    task_s: float | None
    memory_mb: float | None  # that a task used, on the mean of the last ones


class ProductionReport(_Out, frozen=True):
    """How a production went: the answer to `GET /v1/productions/{production}/report`."""

    view: ProductionView
    steps: list[StepReport]
    files: int  # of the catalogue, that it has made and that are there
    bytes: int
