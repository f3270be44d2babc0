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
    """Add a transformation. The same document again gives the same transformation.

    Another document under the same name is refused.
    """

    document: Transformation
    start: bool = True  # false: it stays New until it is resumed
    dry_run: bool = False  # show what it would do, and store nothing
    derived_from: Id = 0  # a stopped one, whose unprocessed files it takes


class TransformationActionName(str, enum.Enum):
    """An action on a transformation."""

    START = "start"
    PAUSE = "pause"  # no more tasks; new inputs wait
    RESUME = "resume"
    STOP = "stop"  # no tasks and no inputs are added; running jobs finish
    FLUSH = "flush"  # groups that are not full become tasks now
    COMPLETE = "complete"  # no more inputs will come: finish the remaining files
    EXTEND = "extend"  # make more tasks, or look for inputs again
    ARCHIVE = "archive"
    CLEAN = "clean"  # its jobs are killed
    REPLAY = "replay"  # process files again that are Processed
    RESET = "reset"  # retry files that are Stuck, Problematic or Missing
    REFUSE = "refuse"  # mark files as Problematic: no task gets them


_N = TransformationActionName
# The fields of an action besides its reason.
ACTION_FIELDS: Final = {
    _N.EXTEND.value: ("tasks", "was"),
    _N.REPLAY.value: ("files",),
    _N.RESET.value: ("files", "all"),
    _N.REFUSE.value: ("files",),
}


class TransformationAction(_In, frozen=True):
    """Steer a transformation. A field that the action does not use is refused."""

    action: TransformationActionName
    reason: Annotated[str, Meta(max_length=REASON_MAX)] = ""
    tasks: Annotated[int, Meta(ge=0, le=TASKS_MAX)] = 0  # for `extend`: new total
    was: Annotated[int, Meta(ge=0, le=TASKS_MAX)] = 0  # for `extend`: old total
    files: Annotated[tuple[str, ...], Meta(max_length=DIDS_MAX)] = ()
    all: bool = False  # for `reset`: all files that can be reset

    def __post_init__(self) -> None:
        check_fields(self, self.action.value, ACTION_FIELDS, ("action", "reason"))


class TransformationView(_Out, frozen=True):
    """A transformation and its progress."""

    id: int
    name: str
    title: str
    state: TransformationState
    reason: str
    community: str
    group: str
    owner: str
    inputs: dict[str, dict[InputState, int]]  # counts of files by state, for each input
    tasks: dict[TaskState, int]
    tasks_made: int
    tasks_wanted: int  # 0: as many as its inputs make
    outputs: str
    marks: tuple[str, ...]  # scouting, flushing, closing, looking for inputs
    derived_from: int | None
    made_at: str
    changed_at: str
    production: str = ""
    step: str = ""


class TransformationDetail(_Out, frozen=True):
    """Everything about one transformation.

    It is sealed for callers that may not read job outputs: hashes are 64 zeros, and values of
    environment variables are empty.
    """

    view: TransformationView
    document: dict[str, Any]
    scouts: dict[str, Any] | None = None
    changed: int = 0  # files that this action changed
    waits: str = ""  # why the waiting inputs make no group
    sealed: bool = False


class TransformationPage(_Out, frozen=True):
    transformations: list[TransformationView]
    after: int | None


class InputView(_Out, frozen=True):
    """An input file of a transformation."""

    file: str
    input: str
    state: InputState
    task: int | None  # number of its last task
    errors: int
    replays: int
    inherited: bool  # inherited from the transformation that this one derives from
    changed_at: str


class InputPage(_Out, frozen=True):
    files: list[InputView]
    after: str | None


class TaskView(_Out, frozen=True):
    """A task and its job."""

    number: int
    job: int
    state: TaskState
    job_state: JobState | None  # null: the job was removed
    reason: str
    made_at: str
    ended_at: str
    reused: bool = False  # the job is that of an earlier task


class TaskPage(_Out, frozen=True):
    tasks: list[TaskView]
    after: int | None


class Preview(_Out, frozen=True):
    """The preview of a transformation: the answer to a dry run."""

    inputs: dict[str, int]  # existing files, by input; at most 10,000 are counted
    groups: list[list[str]]  # the first groups that would become tasks now
    first_job: dict[str, Any] | None  # what the first task would run
    groups_more: int = 0  # further groups
    why: str = ""  # why there is no group
    more: list[str] = []  # inputs with more files than were counted: there may be more groups too
    later: list[int] = []  # indices of `groups` that wait until full, flushed or completed
