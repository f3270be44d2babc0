"""`pilotage transformation …`: what turns files, or a number, into jobs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from pilotage.proto.api_transformations import (
    Preview,
    TransformationActionName,
    TransformationDetail,
    TransformationView,
)
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

from ..client.errors import Refused
from .exit_codes import Exit, UsageError
from .options import CHANGING_S, COMMON, READING_S, Common, run_with
from .present import files_in_words, number, print_json, print_line, print_table
from .whole import whole

if TYPE_CHECKING:
    from ..client.client import AsyncClient

app = App(
    name="transformation", help="Turn files, or a number, into jobs: each input exactly once."
)

A = TransformationActionName
_AWAY = (TransformationState.ARCHIVED, TransformationState.CLEANED)  # their names are free
Named = Annotated[str, Parameter(help="Its id or name.")]
ReasonOption = Annotated[str, Parameter(help="Why; it is shown with the transformation.")]
FileArgument = Annotated[
    Path, Parameter(help="A YAML or JSON file: docs/transformations.md says what it holds.")
]
FilesArgument = Annotated[str, Parameter(help="Files, as SCOPE:NAME.")]


@app.command
def add(
    file: FileArgument,
    /,
    *,
    dry_run: Annotated[bool, Parameter(help="Say what it would do, and store nothing.")] = False,
    hold: Annotated[bool, Parameter(help="Do not start it: `resume` does.")] = False,
    common: Common = COMMON,
) -> int:
    """Add a transformation. The same file again is the same transformation."""
    return _add(file, dry_run=dry_run, start=not hold, parent="", common=common)


@app.command
def derive(
    parent: Annotated[str, Parameter(help="Id or name of a stopped transformation.")],
    file: FileArgument,
    /,
    *,
    common: Common = COMMON,
) -> int:
    """Add a transformation that goes on with the files that a stopped one has not processed."""
    return _add(file, dry_run=False, start=True, parent=parent, common=common)


def _add(file: Path, *, dry_run: bool, start: bool, parent: str, common: Common) -> int:
    async def work(client: "AsyncClient") -> int:
        from ..client.transformation_file import place_in_file, read_transformation_file

        document = read_transformation_file(file)
        parent_id = (await client.transformation(parent)).view.id if parent else 0
        try:
            if dry_run:
                print_preview(await client.preview_transformation(document), common)
                return Exit.OK
            made = await client.add_transformation(document, start=start, derived_from=parent_id)
        except Refused as why:
            if not why.field or why.field == "derived_from":
                raise
            said = f"{place_in_file(file, why.field)}: {why.message.removeprefix('document.')}"
            raise type(why)(why.code, said, "", why.status) from None
        if common.json:
            print_json(made)
        else:
            print_line(f"transformation {made.view.id}: {made.view.name} is {_state(made.view)}")
        return Exit.OK

    return run_with(common, work, patience_s=CHANGING_S)


def print_preview(found: Preview, common: Common) -> None:
    if common.json:
        print_json(found)
        return
    for name, count in found.inputs.items():
        least = "at least " if name in found.more else ""
        print_line(f"{name}: {least}{files_in_words(count)}")
    for i, group in enumerate(found.groups, start=1):
        if group:
            shown = ", ".join(group[:5]) + (f" and {len(group) - 5} more" if len(group) > 5 else "")
            waits = " (waits: it is not full)" if i - 1 in found.later else ""
            print_line(f"group {i}: {shown}{waits}")
    if found.inputs and found.groups_more:
        least = "at least " if found.more else ""
        print_line(f"… {least}{number(found.groups_more)} more")
    if not found.groups:
        print_line("no group" + (f": {found.why}" if found.why else ""))
    if found.first_job is not None:
        print_line(f"first job: {' '.join(map(str, found.first_job.get('command', ())))}")


@app.command(name="list")
def list_them(
    *,
    state: Annotated[
        tuple[TransformationState, ...],
        Parameter(help="Only those in these states; else all but those Archived or Cleaned."),
    ] = (),
    common: Common = COMMON,
) -> int:
    """List transformations, and how far they are."""

    async def work(client: "AsyncClient") -> int:
        states = state or tuple(one for one in TransformationState if one not in _AWAY)
        found = [one async for one in client.transformations(states=states)]
        if common.json:
            print_json(found)
            return Exit.OK
        rows = [
            (
                *(one.id, one.name, _state(one), *_how_far(one), _of_tasks(one.tasks), one.owner),
                one.production,
            )
            for one in found
        ]
        columns = (
            *("id#", "name", "state", "processed#", "left#", "put aside#"),
            *("tasks", "owner", "production"),
        )
        print_table(columns, rows, empty="there are no transformations")
        return Exit.OK

    return run_with(common, work, patience_s=READING_S)


@app.command
def show(named: Named, /, *, common: Common = COMMON) -> int:
    """Show a transformation: its state, its files and its tasks by state."""

    async def work(client: "AsyncClient") -> int:
        print_transformation(await client.transformation(named), common)
        return Exit.OK

    return run_with(common, work, patience_s=READING_S)


@app.command
def files(
    named: Named,
    /,
    *,
    state: Annotated[tuple[InputState, ...], Parameter(help="Only files in these states.")] = (),
    common: Common = COMMON,
) -> int:
    """List the input files of a transformation, and how each stands."""

    async def work(client: "AsyncClient") -> int:
        found = [one async for one in client.transformation_files(named, states=state)]
        if common.json:
            print_json(found)
            return Exit.OK
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
        print_table(columns, rows, empty="it has no such files")
        return Exit.OK

    return run_with(common, work, patience_s=READING_S)


@app.command
def tasks(
    named: Named,
    /,
    *,
    state: Annotated[tuple[TaskState, ...], Parameter(help="Only tasks in these states.")] = (),
    common: Common = COMMON,
) -> int:
    """List the tasks of a transformation, and their jobs."""

    async def work(client: "AsyncClient") -> int:
        found = [one async for one in client.transformation_tasks(named, states=state)]
        if common.json:
            print_json(found)
            return Exit.OK
        rows = [(one.number, one.job, one.state, one.job_state, one.reason) for one in found]
        columns = ("task#", "job#", "state", "its job", "why")
        print_table(columns, rows, empty="it has no such tasks")
        return Exit.OK

    return run_with(common, work, patience_s=READING_S)


# -- steering -----------------------------------------------------------------------------------


@app.command
def extend(
    named: Named,
    more: Annotated[int, whole("How many tasks more; 0: it has inputs.")] = 0,
    /,
    *,
    reason: ReasonOption = "",
    common: Common = COMMON,
) -> int:
    """Ask for more tasks; one with inputs looks for inputs again, also when it was Completed."""

    async def work(client: "AsyncClient") -> int:
        print_transformation(await client.extend_transformation(named, more, reason=reason), common)
        return Exit.OK

    return run_with(common, work, patience_s=CHANGING_S)


@app.command
def flush(named: Named, /, *, reason: ReasonOption = "", common: Common = COMMON) -> int:
    """Let the groups go that are not full. Later ones are full again."""
    return _act(named, A.FLUSH, reason, common)


@app.command
def pause(named: Named, /, *, reason: ReasonOption = "", common: Common = COMMON) -> int:
    """Make no more tasks. Inputs gather, what runs goes on."""
    return _act(named, A.PAUSE, reason, common)


@app.command
def resume(named: Named, /, *, reason: ReasonOption = "", common: Common = COMMON) -> int:
    """Let one go on that is paused, stopped or not started. A step of a production does so only
    where that is Active."""
    return _act(named, A.RESUME, reason, common)


@app.command
def stop(named: Named, /, *, reason: ReasonOption = "", common: Common = COMMON) -> int:
    """Take no more inputs and make no more tasks. What runs ends."""
    return _act(named, A.STOP, reason, common)


@app.command
def complete(named: Named, /, *, reason: ReasonOption = "", common: Common = COMMON) -> int:
    """Say that no more inputs will come: what is left goes, and then it is Completed."""
    return _act(named, A.COMPLETE, reason, common)


@app.command
def archive(named: Named, /, *, reason: ReasonOption = "", common: Common = COMMON) -> int:
    """Put one away that is Completed or Stopped. Its name is free again."""
    return _act(named, A.ARCHIVE, reason, common)


@app.command
def clean(named: Named, /, *, reason: ReasonOption = "", common: Common = COMMON) -> int:
    """Kill its jobs, and end it for good. Its name is free again; files that it made stay."""
    return _act(named, A.CLEAN, reason, common)


@app.command
def replay(
    named: Named, /, *did: FilesArgument, reason: ReasonOption = "", common: Common = COMMON
) -> int:
    """Process files again that are Processed, on purpose."""
    return _act(named, A.REPLAY, reason, common, files=did)


@app.command
def reset(
    named: Named,
    /,
    *did: FilesArgument,
    all: Annotated[bool, Parameter(help="All that are MaxReset, Problematic, Missing.")] = False,
    reason: ReasonOption = "",
    common: Common = COMMON,
) -> int:
    """Try files again that failed too often, or whose data were bad or away."""
    return _act(named, A.RESET, reason, common, files=did, all=all)


@app.command
def refuse(
    named: Named, /, *did: FilesArgument, reason: ReasonOption = "", common: Common = COMMON
) -> int:
    """Say that files are bad: they become Problematic, and no task gets them."""
    return _act(named, A.REFUSE, reason, common, files=did)


def _act(
    named: str,
    action: TransformationActionName,
    reason: str,
    common: Common,
    *,
    files: Iterable[str] = (),
    all: bool = False,
) -> int:
    wanted = tuple(files)
    if action in (A.REPLAY, A.RESET, A.REFUSE) and bool(wanted) == all:
        raise UsageError("name files, as SCOPE:NAME" + (", or say --all" * (action is A.RESET)))

    async def work(client: "AsyncClient") -> int:
        found = await client.act_on_transformation(
            named, action, reason=reason, files=wanted, all=all
        )
        print_transformation(found, common)
        return Exit.OK

    return run_with(common, work, patience_s=CHANGING_S)


# -- how it looks -------------------------------------------------------------------------------


def print_transformation(found: TransformationDetail, common: Common) -> None:
    if common.json:
        print_json(found)
        return
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
    gave_up = any(its.get(InputState.MAXRESET) for its in one.inputs.values())
    is_paused = one.state is TransformationState.PAUSED
    if (is_paused or gave_up) and one.tasks.get(TaskState.FAILED):
        print_line(f"what failed: pilotage transformation tasks {one.id} --state Failed")
        print_line(f"of what: pilotage failures --transformation {one.id}")
    if gave_up:
        print_line(f"to try again: pilotage transformation reset {one.id} --all")
    if found.scouts:
        shown = ", ".join(f"{key} {value}" for key, value in found.scouts.items())
        print_line(f"scouts have shown: {shown}")
    print_line(f"outputs: {one.outputs}")
    if one.state is TransformationState.ARCHIVED:  # by its id: the name may be another one's by now
        print_line(f"its name is free; to end it for good: pilotage transformation clean {one.id}")
    if found.changed:
        print_line(f"{files_in_words(found.changed)} changed")


def _state(one: TransformationView) -> str:
    marks = f" ({', '.join(one.marks)})" if one.marks else ""
    return one.state.value + marks


def _how_far(one: TransformationView) -> tuple[int | None, int | None, int | None]:
    """Return how many files are processed, are still to be, and will not be by themselves."""
    if not one.inputs:
        return None, None, None

    def count(*states: InputState) -> int:
        return sum(its.get(state, 0) for its in one.inputs.values() for state in states)

    return (
        count(InputState.PROCESSED),
        count(InputState.UNUSED, InputState.ASSIGNED),
        count(InputState.MAXRESET, InputState.PROBLEMATIC, InputState.MISSING),
    )


def _of_tasks(counts: Mapping[TaskState, int]) -> str:
    return ", ".join(f"{number(count)} {state.value}" for state, count in counts.items())


def _counted(counts: Mapping[InputState, int]) -> str:
    return ", ".join(f"{number(count)} {state.value}" for state, count in counts.items())
