"""Bodies of requests and answers about transformations."""

import enum
from typing import Annotated, Any, Final

from msgspec import Meta

from ..documents.transformation import TASKS_MAX, Transformation
from ..job_states import JobState
from ..transformation_states import InputState, TaskState, TransformationState
from .bodies import ReplyStruct as _Out, RequestStruct as _In, check_fields
from .jobs import REASON_MAX, Id

DIDS_MAX: Final = 10_000


class NewTransformation(_In, frozen=True):
    """Add a transformation: `POST /v1/transformations`.

    The same document again gives the same transformation; another one under its name is refused.
    """

    document: Transformation
    start: bool = True  # else it stays New until it is resumed
    dry_run: bool = False  # say what it would be, and store nothing
    derived_from: Id = 0  # a stopped one, whose unprocessed files it takes


class TransformationActionName(str, enum.Enum):
    """What can be done to a transformation."""

    START = "start"
    PAUSE = "pause"  # no more tasks; inputs gather
    RESUME = "resume"
    STOP = "stop"  # neither tasks nor inputs; what runs ends
    FLUSH = "flush"  # groups that are not full go now
    COMPLETE = "complete"  # no more inputs will come: what is left goes, then it is Completed
    EXTEND = "extend"  # more tasks, or look for inputs again
    ARCHIVE = "archive"
    CLEAN = "clean"  # its jobs are killed
    REPLAY = "replay"  # process files anew that are Processed
    RESET = "reset"  # try files again that are MaxReset, Problematic or Missing
    REFUSE = "refuse"  # files are Problematic: no task gets them


_N = TransformationActionName
# What an action has besides its reason.
ACTION_FIELDS: Final = {
    _N.EXTEND.value: ("tasks", "was"),
    _N.REPLAY.value: ("files",),
    _N.RESET.value: ("files", "all"),
    _N.REFUSE.value: ("files",),
}


class TransformationAction(_In, frozen=True):
    """`POST /v1/transformations/{transformation}/actions`.

    A field that the action does not have is refused.
    """

    action: TransformationActionName
    reason: Annotated[str, Meta(max_length=REASON_MAX)] = ""
    tasks: Annotated[int, Meta(ge=0, le=TASKS_MAX)] = 0  # extend: how many there are to be in all
    was: Annotated[int, Meta(ge=0, le=TASKS_MAX)] = 0  # extend: how many there were to be
    files: Annotated[tuple[str, ...], Meta(max_length=DIDS_MAX)] = ()  # names, scope:name
    all: bool = False  # reset: all files that can be

    def __post_init__(self) -> None:
        check_fields(self, self.action.value, ACTION_FIELDS, ("action", "reason"))


class TransformationView(_Out, frozen=True):
    """A transformation, and how far it is."""

    id: int
    name: str
    title: str
    state: TransformationState
    reason: str
    community: str
    group: str
    owner: str
    inputs: dict[str, dict[InputState, int]]  # by the input's name: how many files stand how
    tasks: dict[TaskState, int]
    tasks_made: int
    tasks_wanted: int  # 0: as many as its inputs make
    outputs: str  # the dataset of its outputs
    marks: tuple[str, ...]  # scouting, flushing, closing, looking for inputs
    derived_from: int | None
    made_at: str
    changed_at: str
    production: str = ""  # whose step it is; empty: of none
    step: str = ""


class TransformationDetail(_Out, frozen=True):
    """Everything of one transformation.

    Sealed, as a job is, for who may not read the outputs of its jobs: each hash is 64 zeros, each
    value of the environment is empty.
    """

    view: TransformationView
    document: dict[str, Any]  # a Transformation
    scouts: dict[str, Any] | None = None  # what scouts have shown
    changed: int = 0  # by the action that this answers: how many files
    waits: str = ""  # why no group is made of the inputs that wait
    sealed: bool = False


class TransformationPage(_Out, frozen=True):
    transformations: list[TransformationView]
    after: int | None  # ask with it for the next page; none: this was the last


class InputView(_Out, frozen=True):
    """A file in a transformation."""

    file: str  # scope:name
    input: str
    state: InputState
    task: int | None  # the number of the last task that had it
    errors: int
    replays: int
    inherited: bool  # it came with the transformation that this one is derived from
    changed_at: str


class InputPage(_Out, frozen=True):
    files: list[InputView]
    after: str | None


class TaskView(_Out, frozen=True):
    """A task, and its job."""

    number: int
    job: int
    state: TaskState
    job_state: JobState | None  # none: the job has gone
    reason: str
    made_at: str
    ended_at: str


class TaskPage(_Out, frozen=True):
    tasks: list[TaskView]
    after: int | None


class Preview(_Out, frozen=True):
    """What a document would do: the answer to a dry run."""

    inputs: dict[str, int]  # files that are there, by the input's name; at most 10 000 are counted
    groups: list[list[str]]  # the first groups that would become tasks now
    first_job: dict[str, Any] | None  # what the first task would run
    groups_more: int = 0  # beside those
    why: str = ""  # without a group: why there is none
    more: list[str] = []  # inputs with more files than were counted: there may be more groups too
    later: list[int] = []  # which of `groups` go only once they are full, flushed or completed
