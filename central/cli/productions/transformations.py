"""`pilotage transformation …`: transformations make jobs from files, or from a number of tasks."""

import contextlib
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from pilotage.proto.api.transformations import (
    Preview,
    TransformationActionName,
    TransformationDetail,
    TransformationView,
)
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

from ...client.errors import Refused
from ..command_frame import CentralConnection, Client, CommandResult, changes, reads
from ..exit_codes import UsageError
from ..presentation import files_in_words, number, print_line, table
from ..whole_numbers import whole

if TYPE_CHECKING:
    from pilotage.proto.documents.transformation import Transformation


app = App(name="transformation", help="Turn files, or a number of tasks, into jobs.")

A = TransformationActionName
_AWAY = (TransformationState.ARCHIVED, TransformationState.CLEANED)  # their names are free
NamedArgument = Annotated[str, Parameter(help="Id or name.")]
ReasonOption = Annotated[str, Parameter(help="Reason, shown with the transformation.")]
FileArgument = Annotated[
    Path, Parameter(help="YAML or JSON file: see docs/transformation-files.md.")
]
FilesArgument = Annotated[str, Parameter(help="Files, as SCOPE:NAME.")]


@app.command
@changes
async def add(
    client: Client,
    file: FileArgument,
    /,
    *,
    dry_run: Annotated[bool, Parameter(help="Show what it would do, and store nothing.")] = False,
    hold: Annotated[
        bool, Parameter(help="Store it without starting it; `resume` starts it.")
    ] = False,
) -> CommandResult:
    """Add a transformation. Adding the same file again changes nothing."""
    with _reading(file) as document:
        if dry_run:
            return CommandResult(await client.preview_transformation(document), print_preview)
        return _made(await client.add_transformation(document, start=not hold))


@app.command
@changes
async def derive(
    client: Client,
    parent: Annotated[str, Parameter(help="Id or name of a stopped transformation.")],
    file: FileArgument,
    /,
) -> CommandResult:
    """Add a transformation that continues with the unprocessed files of a stopped one."""
    with _reading(file) as document:
        old = (await client.transformation(parent)).view.id
        return _made(await client.add_transformation(document, start=True, derived_from=old))


@contextlib.contextmanager
def _reading(file: Path) -> "Generator[Transformation]":
    """Read a file. A refusal by the central gets the line of the mistake in the file."""
    from ...client.documents.transformation_files import place_in_file, read_transformation_file

    try:
        yield read_transformation_file(file)
    except Refused as why:
        if not why.field or why.field == "derived_from":
            raise
        text = f"{place_in_file(file, why.field)}: {why.message.removeprefix('document.')}"
        raise type(why)(why.code, text, "", why.status) from None


def _made(made: TransformationDetail) -> CommandResult:
    return CommandResult(
        made, f"transformation {made.view.id}: {made.view.name} is {_state(made.view)}"
    )


def print_preview(found: Preview) -> None:
    for name, count in found.inputs.items():
        least = "at least " if name in found.more else ""
        print_line(f"{name}: {least}{files_in_words(count)}")
    for i, group in enumerate(found.groups, start=1):
        if group:
            shown = ", ".join(group[:5]) + (f" and {len(group) - 5} more" if len(group) > 5 else "")
            waits = " (waits until it is full)" if i - 1 in found.later else ""
            print_line(f"group {i}: {shown}{waits}")
    if found.inputs and found.groups_more:
        least = "at least " if found.more else ""
        print_line(f"… {least}{number(found.groups_more)} more")
    if not found.groups:
        print_line("no group" + (f": {found.why}" if found.why else ""))
    if found.first_job is not None:
        print_line(f"first job: {' '.join(map(str, found.first_job.get('command', ())))}")


@app.command(name="list")
@reads
async def list_them(
    client: Client,
    *,
    state: Annotated[
        tuple[TransformationState, ...],
        Parameter(help="Only these states (default: all but Archived and Cleaned)."),
    ] = (),
) -> CommandResult:
    """List transformations with their progress."""
    states = state or tuple(one for one in TransformationState if one not in _AWAY)
    found = [one async for one in client.transformations(states=states)]
    rows = [
        (
            *(one.id, one.name, _state(one), *_how_far(one), _of_tasks(one.tasks), one.owner),
            one.production,
        )
        for one in found
    ]
    columns = (
        *("id#", "name", "state", "processed#", "left#", "stuck#"),
        *("tasks", "owner", "production"),
    )
    return CommandResult(found, table(columns, rows, empty="there are no transformations"))


@app.command
@reads
async def show(client: Client, named: NamedArgument, /) -> CommandResult:
    """Show a transformation: its state, and its files and tasks by state."""
    return CommandResult(await client.transformation(named), print_transformation)


@app.command
@reads
async def files(
    client: Client,
    named: NamedArgument,
    /,
    *,
    state: Annotated[tuple[InputState, ...], Parameter(help="Only files in these states.")] = (),
) -> CommandResult:
    """List the input files of a transformation with their states."""
    found = [one async for one in client.transformation_files(named, states=state)]
    rows = [
        (
            one.file,
            one.input,
            one.state.value + (" (inherited)" if one.inherited else ""),
            one.task,
            one.errors or None,
            one.replays or None,
        )
        for one in found
    ]
    columns = ("file", "input", "state", "task#", "errors#", "replays#")
    return CommandResult(found, table(columns, rows, empty="no such files"))


@app.command
@reads
async def tasks(
    client: Client,
    named: NamedArgument,
    /,
    *,
    state: Annotated[tuple[TaskState, ...], Parameter(help="Only tasks in these states.")] = (),
) -> CommandResult:
    """List the tasks of a transformation, and their jobs."""
    found = [one async for one in client.transformation_tasks(named, states=state)]
    rows = [(one.number, one.job, one.state, one.job_state, one.reason) for one in found]
    columns = ("task#", "job#", "state", "its job", "why")
    return CommandResult(found, table(columns, rows, empty="no such tasks"))


# -- steering -----------------------------------------------------------------------------------


@app.command
@changes
async def extend(
    client: Client,
    named: NamedArgument,
    more: Annotated[int, whole("Number of additional tasks; 0 if it has inputs.")] = 0,
    /,
    *,
    reason: ReasonOption = "",
) -> CommandResult:
    """Add tasks. If it has inputs, look for inputs again instead, even after it was Completed."""
    return CommandResult(
        await client.extend_transformation(named, more, reason=reason), print_transformation
    )


def _steering(action: TransformationActionName, help: str) -> Callable[..., int]:
    async def act(
        client: Client, named: NamedArgument, /, *, reason: ReasonOption = ""
    ) -> CommandResult:
        return await _act(client, named, action, reason)

    act.__doc__ = help
    return changes(act)


for _action, _help in {
    A.FLUSH: "Make tasks from groups that are not full. Later groups must be full again.",
    A.PAUSE: "Make no more tasks. New inputs wait, and running jobs continue.",
    A.RESUME: (
        "Resume a paused or stopped transformation, or start a new one. For a step of"
        " a production, the production must be Active."
    ),
    A.STOP: "Take no more inputs and make no more tasks. Running jobs end normally.",
    A.COMPLETE: (
        "Declare that no more inputs will come. It becomes Completed after the last tasks."
    ),
    A.ARCHIVE: "Archive a Completed or Stopped transformation, and free its name.",
    A.CLEAN: ("Kill its jobs and end it for good. Its name becomes free; its output files stay."),
}.items():
    app.command(_steering(_action, _help), name=_action.value)


@app.command
@changes
async def replay(
    central: CentralConnection,
    named: NamedArgument,
    /,
    *did: FilesArgument,
    reason: ReasonOption = "",
) -> CommandResult:
    """Process files again that are already Processed."""
    return await _act_on_files(central, named, A.REPLAY, reason, did)


@app.command
@changes
async def reset(
    central: CentralConnection,
    named: NamedArgument,
    /,
    *did: FilesArgument,
    all: Annotated[bool, Parameter(help="Retry all Stuck, Problematic and Missing files.")] = False,
    reason: ReasonOption = "",
) -> CommandResult:
    """Retry files that failed too often, had bad data or could not be read."""
    return await _act_on_files(central, named, A.RESET, reason, did, all=all)


@app.command
@changes
async def refuse(
    central: CentralConnection,
    named: NamedArgument,
    /,
    *did: FilesArgument,
    reason: ReasonOption = "",
) -> CommandResult:
    """Mark files as bad: they become Problematic, and no task gets them."""
    return await _act_on_files(central, named, A.REFUSE, reason, did)


async def _act_on_files(
    central: CentralConnection,
    named: str,
    action: TransformationActionName,
    reason: str,
    files: tuple[str, ...],
    *,
    all: bool = False,
) -> CommandResult:
    if bool(files) == all:
        raise UsageError("give files, as SCOPE:NAME" + (", or --all" * (action is A.RESET)))
    return await _act(await central.client(), named, action, reason, files=files, all=all)


async def _act(
    client: Client,
    named: str,
    action: TransformationActionName,
    reason: str,
    *,
    files: tuple[str, ...] = (),
    all: bool = False,
) -> CommandResult:
    found = await client.act_on_transformation(named, action, reason=reason, files=files, all=all)
    return CommandResult(found, print_transformation)


# -- output ------------------------------------------------------------------------------------


def print_transformation(found: TransformationDetail) -> None:
    one = found.view
    print_line(f"transformation {one.id}: {one.name} is {_state(one)}")
    if one.title:
        print_line(one.title)
    if one.production:
        print_line(f"step {one.step} of production {one.production}")
    if one.derived_from:
        print_line(f"derived from transformation {one.derived_from}")
    if one.reason:
        print_line(f"why: {one.reason}")
    for name, counts in one.inputs.items():
        print_line(f"{name}: {_counted(counts) or 'no files yet'}")
    if found.waits:
        print_line(f"waits: {found.waits}")
    wanted = f" of {number(one.tasks_wanted)}" if one.tasks_wanted else ""
    print_line(f"tasks: {number(one.tasks_made)}{wanted} made; {_of_tasks(one.tasks) or 'none'}")
    gave_up = any(its.get(InputState.STUCK) for its in one.inputs.values())
    is_paused = one.state is TransformationState.PAUSED
    if (is_paused or gave_up) and one.tasks.get(TaskState.FAILED):
        print_line(f"failed tasks: pilotage transformation tasks {one.id} --state Failed")
        print_line(f"causes: pilotage failures --transformation {one.id}")
    if gave_up:
        print_line(f"to retry: pilotage transformation reset {one.id} --all")
    if found.scouts:
        shown = ", ".join(f"{key} {value}" for key, value in found.scouts.items())
        print_line(f"results of the scouts: {shown}")
    print_line(f"outputs: {one.outputs}")
    if one.state is TransformationState.ARCHIVED:  # by its id: the name may be in use again
        print_line(f"its name is free; to end it for good: pilotage transformation clean {one.id}")
    if found.changed:
        print_line(f"{files_in_words(found.changed)} changed")


def _state(one: TransformationView) -> str:
    marks = f" ({', '.join(one.marks)})" if one.marks else ""
    return one.state.value + marks


def _how_far(one: TransformationView) -> tuple[int | None, int | None, int | None]:
    """Return the number of processed files, of remaining files, and of files put aside."""
    if not one.inputs:
        return None, None, None

    def count(*states: InputState) -> int:
        return sum(its.get(state, 0) for its in one.inputs.values() for state in states)

    return (
        count(InputState.PROCESSED),
        count(InputState.UNUSED, InputState.ASSIGNED),
        count(InputState.STUCK, InputState.PROBLEMATIC, InputState.MISSING),
    )


def _of_tasks(counts: Mapping[TaskState, int]) -> str:
    return ", ".join(f"{number(count)} {state.value}" for state, count in counts.items())


def _counted(counts: Mapping[InputState, int]) -> str:
    return ", ".join(f"{number(count)} {state.value}" for state, count in counts.items())
