"""The document of a transformation. Unknown fields are refused by name."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from ..decoding.patterns import whole
from .job import Count, Job, Word

TASKS_MAX: Final = 10_000_000  # of one transformation
ROWS_MAX: Final = 10_000  # values of tasks
GROUP_MAX: Final = 10_000  # files of one task
SPREAD_OF: Final = 100  # a brake counts the failed ones among this many last tasks
JUDGED_FROM: Final = 10  # a brake does not act on fewer tasks

ParameterRow = dict[str, str | int | float | bool]
GroupingKey = Annotated[str, Meta(min_length=1, max_length=128)]
Portion = Annotated[float, Meta(ge=0, le=1)]
InputName = Annotated[str, Meta(pattern=whole("[A-Za-z_][A-Za-z0-9_]*"), max_length=64)]


class InputSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"from_": "from"},
):
    """The files that are inputs: those that match a query, or outputs of a transformation.

    Each file is used once: one task has it. A *shared* file goes to every task that it fits, such
    as calibrations and models. With `count: 0` a task gets all files that fit, at least one, once
    the transformation that they are `from` has completed.
    """

    name: InputName = "files"
    query: dict[str, Any] = {}  # as for `pilotage data find`; narrows `from`
    from_: Annotated[str, Meta(max_length=128)] = ""  # name or id of a transformation
    use: Literal["once", "shared"] = "once"
    on: Annotated[
        tuple[GroupingKey, ...], Meta(max_length=16)
    ] = ()  # keys that must be equal in a group
    count: Annotated[int, Meta(ge=0, le=GROUP_MAX)] = (
        1  # files in a joined group; 0: all shared files
    )
    #: folder below the payload's folder; empty: that folder
    to: Annotated[str, Meta(max_length=512)] = ""
    files_max: Count = 0  # only the first files that it takes; 0: all


class Grouping(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Rules that make tasks from inputs. Plug-ins add rules by entry points `pilotage.groupings`.

    - `count`: `size` files
    - `bytes`: files of up to `bytes_max` bytes
    - `site`: `size` files that one site has
    - `key`: `size` files with equal values of `keys`
    - `join`: `count` files of each input, with equal values of its `on`
    - `all`: one task

    `partial` says when a group that is not full becomes a task. `flush` and `complete` release all
    of them.

    - `never`
    - `parent_done`: when the transformations of its inputs have completed, or a user completes it
    - `after`: when its oldest file has waited `after_s`
    """

    rule: Word = "count"
    size: Annotated[int, Meta(ge=1, le=GROUP_MAX)] = 1
    bytes_max: Count = 0
    keys: Annotated[tuple[GroupingKey, ...], Meta(max_length=16)] = ()
    partial: Literal["never", "parent_done", "after"] = "parent_done"
    after_s: Count = 0


class Transformation(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A job template, and the files or number of tasks that make jobs from it.

    The template may contain `{task}` (number of the task, from 1), `{transformation}` (its id) and
    `{KEY}` (a metadata value that all files of the group share, or a value of the task's row). An
    argument that is `{inputs}` alone becomes one argument for each input file. `{{` and `}}` stand
    for braces.
    """

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    title: Annotated[str, Meta(max_length=1024)] = ""
    inputs: Annotated[tuple[InputSpec, ...], Meta(max_length=8)] = ()
    tasks: Annotated[int, Meta(ge=0, le=TASKS_MAX)] = 0  # number of tasks, without inputs
    rows: Annotated[tuple[ParameterRow, ...], Meta(max_length=ROWS_MAX)] = ()  # values of each task
    grouping: Grouping = Grouping()
    job: Job
    outputs_dataset: Annotated[str, Meta(max_length=600)] = ""  # empty: GROUP:transformation-ID
    metadata: dict[str, str | int | float | bool] = {}  # of all outputs
    scouts: Annotated[int, Meta(ge=0, le=1_000)] = 0  # tasks that run first, alone
    pause_when_failed: Annotated[float, Meta(gt=0, le=1)] = 0.3  # share of the last 100 tasks
    #: failed tasks of a file before it is Stuck
    errors_max: Annotated[int, Meta(ge=1, le=1_000)] = 10
    tasks_open_max: Count = 0  # tasks that have not ended; 0: no limit
    failover: bool = False  # retry failures as docs/failures.md says
    by_run: bool = False  # a run of a CWL document makes its tasks; only in productions
    # Share of the parents' results that may be missing for a task that takes all, or for groups
    # that are not full.
    allow_partial: Portion = 0.0  # share of inputs that may be missing
    #: reuse the results of earlier tasks with the same command, inputs and metadata
    reuse: bool = False
    versions: dict[str, str] = {}  # of software and images, by name: `reuse` needs the same
    #: keys of outputs, over `metadata`, if all files of the task have the same value
    inherit: Annotated[tuple[GroupingKey, ...], Meta(max_length=64)] = ()
