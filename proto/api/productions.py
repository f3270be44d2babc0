"""Bodies of requests and answers about productions: workflows that run on pilots."""

import enum
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType

from ..documents.cwl import CwlDocument
from ..documents.job import Input, Priority
from ..documents.transformation import TASKS_MAX
from ..documents.workflow import StepName, Workflow
from ..failures import FailureClass
from ..production_states import ProductionState
from ..transformation_states import InputState, TaskState, TransformationState
from .bodies import ReplyStruct as _Out, RequestStruct as _In, check_fields
from .jobs import REASON_MAX

TEXT_MAX: Final = 4_000_000  # characters of a workflow file
RULES_MAX: Final = 200_000  # characters of failover rules
FILES_MAX: Final = 10_000  # that travel with jobs
NAME_MAX: Final = 64

NameOrId = Annotated[str, Meta(max_length=128)]  # an id or a name


class Written(_In, frozen=True):
    """The file that a workflow was read from, kept for display."""

    file: Annotated[str, Meta(max_length=1024)] = ""
    form: Annotated[str, Meta(max_length=64)] = ""  # pilotage, ctadirac, python, …
    text: Annotated[str, Meta(max_length=TEXT_MAX)] = ""


class NewProduction(_In, frozen=True):
    """Add a production, with all its transformations or not at all.

    Give one of `workflow`, `cwl` and `rerun_of`. `rerun_of` runs the definition of that production
    again, with all its files and extensions, under another name.

    The same definition under the same name gives the same production. Another definition, or other
    rules, title or priority, are refused.
    """

    workflow: Workflow | None = None
    cwl: CwlDocument | None = None
    name: Annotated[str, Meta(max_length=NAME_MAX)] = ""  # default: from the workflow
    title: Annotated[str, Meta(max_length=1_000)] = ""  # default: from the workflow
    # The files that steps name under `files`, each uploaded once before this request.
    files: Annotated[dict[str, Input], Meta(max_length=FILES_MAX)] = {}
    written: Written = Written()
    #: rules of failover, as YAML; empty: the defaults
    rules: Annotated[str, Meta(max_length=RULES_MAX)] = ""
    priority: Priority | None = None  # of all its jobs; null: as each job says
    images: dict[str, str] = {}
    rerun_of: NameOrId = ""
    start: bool = True  # false: it stays New until it is started
    reuse: bool = True  # false: run all tasks, even those with known results
    # Replace the definition of the production of this name. Steps that differ, and those below
    # them, run again.
    correct: bool = False
    dry_run: bool = False  # show what it would be, and store nothing

    def __post_init__(self) -> None:
        if self.workflow is None and self.cwl is None and not self.rerun_of:
            raise ValueError("expected `workflow`, `cwl`, or `rerun_of` a production")
        if self.workflow is not None and self.cwl is not None:
            raise ValueError("cwl: give either `workflow` or `cwl`")
        if self.correct and self.rerun_of:
            raise ValueError("correct: a rerun has the definition of the old production")


class ProductionActionName(str, enum.Enum):
    """An action on a production."""

    START = "start"
    PAUSE = "pause"  # no step makes tasks; new inputs wait
    RESUME = "resume"  # also steps that a brake has paused: the brake starts to count again
    STOP = "stop"  # no tasks and no inputs are added; running jobs finish
    COMPLETE = "complete"  # steps that query the catalogue: no more inputs will come
    EXTEND = "extend"  # make more tasks or look for inputs again, also in the steps below
    FIX = "fix"  # retry the files and steps that are stuck
    PRIORITY = "priority"  # of waiting and of future jobs
    ARCHIVE = "archive"
    CLEAN = "clean"  # kill its jobs, and remove the files that it made from the catalogue


_N = ProductionActionName
# The fields of an action besides its reason. The other actions apply to the whole production and
# have none.
ACTION_FIELDS: Final = {
    _N.COMPLETE.value: ("step", "anyway"),
    _N.EXTEND.value: ("step", "tasks", "was", "anyway"),
    _N.FIX.value: ("step", "anyway", "problematic"),
    _N.PRIORITY.value: ("priority",),
}


class ProductionAction(_In, frozen=True):
    """Steer a production. An action that changes nothing is not an error.

    A field that the action does not use is refused.
    """

    action: ProductionActionName
    reason: Annotated[str, Meta(max_length=REASON_MAX)] = ""
    step: StepName | None = None  # for `extend`, `complete`, `fix`: this step; empty: all steps
    tasks: Annotated[int, Meta(ge=0, le=TASKS_MAX)] = 0  # for `extend`: new total
    was: Annotated[int, Meta(ge=0, le=TASKS_MAX)] = 0  # for `extend`: old total
    # For `extend` and `fix`: also if steps have processed all files, and would then process only
    # some. For `complete`: also if steps that feed this one may still make files.
    anyway: bool = False
    problematic: bool = False  # for `fix`: also retry files with bad data
    priority: Priority | None | UnsetType = UNSET  # required for `priority`; null: as each job says

    def __post_init__(self) -> None:
        check_fields(self, self.action.value, ACTION_FIELDS, ("action", "reason"))
        if self.action is ProductionActionName.PRIORITY and self.priority is UNSET:
            raise ValueError("priority: expected a number, or null: as each job says")


class CwlOutputs(_Out, frozen=True):
    """The end of a run of a CWL document.

    The location of a file is `job:ID/PATH` (an output of a job), `blob:SHA256` or `lfn:SCOPE:NAME`
    (an input that is put out again).
    """

    status: str  # success, temporaryFail or permanentFail; empty: it still runs
    outputs: dict[str, Any]
    why: str  # what went wrong


class StepView(_Out, frozen=True):
    """A step of a production and its progress."""

    step: str
    transformation: int
    name: str
    title: str
    state: TransformationState
    reason: str
    parents: tuple[str, ...]  # earlier steps that feed it
    inputs: dict[InputState, int]  # files that are used once
    tasks: dict[TaskState, int]
    tasks_made: int
    tasks_expected: int | None  # total as known now; null: not known yet
    tasks_wanted: int = 0  # asked for, if it has no inputs
    expected_exactly: bool = False
    done: float = 0.0
    task_s: float | None = None  # mean run time of the last tasks
    outputs: str = ""
    marks: tuple[str, ...] = ()  # those of its transformation, and `stuck`
    unfit: str = ""  # why no pilot fits its open tasks; only if one production is asked for
    allow_partial: float = 0.0  # share of inputs that may be missing, 0 to 1
    unfit_job: int | None = None
    tasks_running: int | None = None  # their jobs run; only if one production is asked for


class Eta(_Out, frozen=True):
    """The expected end of a production at its recent speed, right in 8 of 10 cases."""

    at: str
    low: str
    high: str


class ProductionView(_Out, frozen=True):
    """A production and its progress."""

    id: int
    name: str
    title: str
    state: ProductionState
    reason: str
    community: str
    group: str
    owner: str
    steps: list[StepView]  # parents before children
    progress: float  # 0 to 1, with steps weighted by the run time of their tasks
    eta: Eta | None  # null: no progress yet, or it does not run
    marks: tuple[str, ...]  # step S is stuck, N files are stuck, no pilot fits step S
    priority: int | None
    rerun_of: int | None
    definition: str  # SHA-256 of the workflow with all its files
    made_at: str
    changed_at: str
    #: of a CWL document: success, temporaryFail or permanentFail, empty while it runs; null: none
    run: str | None = None


class ProductionDetail(_Out, frozen=True):
    """Everything about one production.

    It is sealed for callers that may not read job outputs: hashes are 64 zeros. Variables,
    parameters and ports have no values, and `written` and `rules` no text.
    """

    view: ProductionView
    workflow: dict[str, Any]  # a Workflow, with element types resolved and parameters chosen
    files: dict[str, Any]  # an Input by path, for each file that travels with jobs
    written: dict[str, Any]
    rules: str
    software: dict[str, str]
    images: dict[str, str]
    version: str  # of pilotage, when it was added
    did: list[str] = []  # what this action did, in words
    sealed: bool = False
    was_there: bool = False  # the production existed before this submission


class ProductionPage(_Out, frozen=True):
    productions: list[ProductionView]
    after: int | None


class StepPreview(_Out, frozen=True):
    """The preview of a step."""

    step: str
    name: str  # of its transformation
    tasks: int | None  # none: it cannot be known before
    exact: bool
    inputs: dict[str, int | None]  # files by port
    outputs: dict[str, int | None]
    document: dict[str, Any]  # a Transformation; parents by their names
    more: list[str] = []  # ports that get more files of the catalogue than were counted


class ProductionPreview(_Out, frozen=True):
    """The preview of a production: the answer to a dry run."""

    name: str
    steps: list[StepPreview]
    tasks: int | None
    files: int | None
    definition: str


class StepFailures(_Out, frozen=True):
    """Failures of a step, of one class."""

    failure: FailureClass
    attempts: int
    jobs: int
    examples: tuple[int, ...]  # jobs; look at the first one
    said: str
    stderr: str = ""  # last line of the first example's standard error


class StepReport(_Out, frozen=True):
    """The report on a step."""

    step: str
    failures: list[StepFailures]
    waits: str  # why the waiting inputs make no group
    stuck: dict[InputState, int]
    task_s: float | None
    memory_mb: float | None
    reused: dict[str, int] = {}  # tasks that reuse results, by the name of their transformation
    not_reused: dict[str, int] = {}  # tasks that were run, by why no result was reused


class ProductionReport(_Out, frozen=True):
    """The report on a production."""

    view: ProductionView
    steps: list[StepReport]
    files: int  # files that it made and that are still in the catalogue
    bytes: int
