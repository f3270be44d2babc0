"""`pilotage prod list`, `show`, `graph`, `report` and `wait`: productions and their progress."""

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import Parameter

from pilotage.proto.api.productions import (
    ProductionDetail,
    ProductionReport,
    ProductionView,
    StepReport,
)
from pilotage.proto.documents.workflow import Workflow
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import TaskState

from ...client.pace import RealPace
from ...client.waiting.production_ends import LOOK_S as _LOOK_S, PUT_AWAY as _AWAY, production_ended
from ..command_frame import CentralConnection, Client, CommandResult, changes, reads
from ..exit_codes import ExitCode, UsageError
from ..jobs.waiting import LongestWait, says_what_continues
from ..presentation import files_in_words, note, number, print_line, print_table, table
from ..progress import bar
from .status_texts import (
    SUCCESS,
    how_far,
    is_excused,
    is_only_unfit,
    made_without,
    next_command,
    node_of,
    percent,
    running_and_waiting,
    state_in_words,
    stuck_files,
    tasks_in_words,
    waits_in_words,
    what_stays,
    why_it_is_stuck,
    without_missing,
)
from .waiting_steps import steps_to_complete
from .workflow_files import steps_in_words

if TYPE_CHECKING:
    from ...workflows.draw import Nodes

P = ProductionState
NamedArgument = Annotated[str, Parameter(help="Id or name.")]


@reads
async def list_them(
    client: Client,
    *,
    state: Annotated[
        tuple[ProductionState, ...],
        Parameter(help="Only these states (default: all but Archived and Cleaned)."),
    ] = (),
) -> CommandResult:
    """List productions with their progress."""
    states = state or tuple(one for one in ProductionState if one not in _AWAY)
    found = [one async for one in client.productions(states=states)]
    now = datetime.now(timezone.utc)
    rows = [
        (one.id, one.name, state_in_words(one), len(one.steps), how_far(one, now), one.owner)
        for one in found
    ]
    columns = ("id#", "name", "state", "steps#", "how far", "owner")
    return CommandResult(found, table(columns, rows, empty="there are no productions"))


@reads
async def show(central: CentralConnection, named: NamedArgument, /) -> CommandResult:
    """Show a production: the progress of each step, the expected end, and why steps wait.

    The transformation of a step is named PRODUCTION-STEP.
    """
    client = await central.client()
    found = await client.production(named)
    waits: Sequence[str] = ()
    if not central.json and steps_to_complete(found.view):
        its_report = await client.production_report(found.view.id)
        waits = [_waits_in_words(one) for one in its_report.steps if one.waits]
    return CommandResult(found, lambda found: print_production(found, waits=waits))


@reads
async def report(client: Client, named: NamedArgument, /) -> CommandResult:
    """Report on a production: failures by step, stuck steps with reasons, and outputs."""
    return CommandResult(await client.production_report(named), print_report)


@changes
async def wait(
    client: Client,
    named: NamedArgument,
    /,
    *,
    timeout_s: LongestWait = None,
    through_held: Annotated[
        bool, Parameter(help="Keep waiting if all remaining steps are stuck.")
    ] = False,
) -> CommandResult:
    """Wait until a production is complete.

    Exit codes: 0 if it is Completed within its limits of missing inputs, 5 after the timeout, 6 if
    it is stuck until a user acts. The code is 1 if more inputs are missing, if a CWL run
    has failed, or if the production was stopped, archived or cleaned.
    """
    with says_what_continues("the production continues", f"pilotage prod wait {named}"):
        view = await _awaited(client, named, timeout_s, through_held=through_held)
    return CommandResult(view, _print_end, outcome_of(view))


COMMANDS: Final = (show, report, wait)


def _print_end(view: ProductionView) -> None:
    print_line(f"production {view.id}: {view.name} is {state_in_words(view)}")
    _print_what_is_stuck(view)
    if what_stays(view):
        print_line(f"it has ended: {what_stays(view)}")
    if view.run is not None and next_command(view):
        print_line(f"next: {next_command(view)}")


# -- drawing ------------------------------------------------------------------------------------


async def draw_production(
    central: CentralConnection, named: str, svg: Path | None
) -> CommandResult:
    """Draw a production, with the progress of each step."""
    detail = await (await central.client()).production(named)

    def draw(view: ProductionView) -> None:
        if svg is None:
            print_line(f"{view.name} is {state_in_words(view)}: {_now(view)}")
        nodes = {one.step: node_of(one, view.state) for one in view.steps}
        print_graph(msgspec.convert(detail.workflow, Workflow), nodes, svg)

    return CommandResult(detail.view, draw)


def print_graph(workflow: Workflow, nodes: "Nodes | None", svg: Path | None) -> None:
    """Print a graph, or write it to a file. Raises UsageError if the file cannot be written."""
    from ...workflows import draw

    if svg is None:
        print_line("\n".join(draw.as_text(workflow, nodes)))
        return
    try:
        svg.write_text(draw.as_svg(workflow, nodes), encoding="utf-8")
    except OSError as why:
        raise UsageError(f"{svg}: {why.strerror or why}") from None
    print_line(f"{svg}: the graph of {steps_in_words(len(workflow.steps))}, as SVG")


# -- waiting ------------------------------------------------------------------------------------


async def _awaited(
    client: Client, named: str, timeout_s: float | None, *, through_held: bool
) -> ProductionView:
    """Wait until the production has ended, or until it is stuck."""
    lines: list[str] = []
    unfit: list[str] = []  # at the last look: a pilot that has just started fits at the next one
    with bar(f"% of {named}", 100) as moved:

        def looked_at(view: ProductionView) -> None:
            nonlocal unfit
            lasting, unfit = [one for one in _unfit(view) if one in unfit], _unfit(view)
            if moved is not None:
                moved(int(view.progress * 100))
            for words in (*_more_files(view), *lasting, *waits_in_words(view)):
                if words not in lines:
                    lines.append(words)
                    note(words)

        return await production_ended(
            client,
            named,
            timeout_s,
            RealPace(),
            through_held=through_held,
            look_s=_LOOK_S,
            progress=looked_at,
        )


def _more_files(view: ProductionView) -> list[str]:
    """Return lines about steps that wait for files, with the command that ends the waiting."""
    return [
        f"step {one.step} waits for more files that meet its query; if no more come: "
        f"pilotage prod complete {view.name}"
        for one in steps_to_complete(view)
    ]


def _unfit(view: ProductionView) -> list[str]:
    """Return lines about steps that no pilot fits, and the clause that excludes pilots."""
    return [f"step {one.step} waits: {one.unfit}" for one in view.steps if one.unfit]


def outcome_of(view: ProductionView) -> int:
    if view.state in (P.NEW, P.ACTIVE, P.PAUSED):
        return ExitCode.HELD
    if view.run is not None:
        is_good = view.state is P.COMPLETED and view.run == SUCCESS
        return ExitCode.OK if is_good else ExitCode.FAILED
    lacks = [one for one in view.steps if not is_excused(view, one)]
    is_whole = not any(one.tasks.get(TaskState.LOST) for one in view.steps)
    is_whole = is_whole and not any(stuck_files(one) for one in lacks)
    alone = [one for one in lacks if not one.inputs]  # their failed tasks are not retried
    failed = sum(one.tasks.get(TaskState.FAILED, 0) for one in alone)
    return ExitCode.OK if view.state is P.COMPLETED and is_whole and not failed else ExitCode.FAILED


# -- output ------------------------------------------------------------------------------------


def print_production(found: ProductionDetail, *, waits: Sequence[str] = ()) -> None:
    """Print a production: the effect of an action, the progress of its steps, and the next command.

    `waits` are lines about steps that have files, but make no tasks from them.
    """
    view = found.view
    print_line(f"production {view.id}: {view.name} is {state_in_words(view)}: {_now(view)}")
    if view.title:
        print_line(view.title)
    if view.reason:
        print_line(f"why: {view.reason}")
    for said in found.did:
        print_line(said)
    rows = [
        (
            one.step,
            one.transformation,
            one.state.value,
            tasks_in_words(one),
            *(count or None for count in running_and_waiting(one)),
            one.tasks.get(TaskState.FAILED) or None,
            stuck_files(one) or None,
            percent(one.done),
        )
        for one in view.steps
    ]
    columns = (
        *("step", "transformation#", "state", "done#", "run#", "wait#"),
        *("failed#", "stuck#", "how far"),
    )
    print_table(columns, rows, empty="")
    _print_what_is_stuck(view)
    for said in waits:
        print_line(said)
    _print_next(view)


def _waits_in_words(one: StepReport) -> str:
    return f"step {one.step} waits: {one.waits}"


def _print_next(view: ProductionView, *, after: str = "") -> None:
    """Print the next command. `after` is the command that was just typed."""
    stays = what_stays(view)
    if stays:
        print_line(stays)
    command = next_command(view).removeprefix(after)
    if command:
        print_line(f"next: {command}")
    for other in without_missing(view):
        if other != command:
            print_line(f"or continue without the missing files: {other}")


def _now(view: ProductionView) -> str:
    return how_far(view, datetime.now(timezone.utc))


def _print_what_is_stuck(view: ProductionView) -> None:
    for one in view.steps:
        why = why_it_is_stuck(one, view.state)
        if why:
            verb = "waits" if is_only_unfit(one, view.state) else "is stuck"
            print_line(f"step {one.step} {verb}: {why}")
    for said in (*made_without(view), *waits_in_words(view)):
        print_line(said)


def _uncounted(view: ProductionView) -> str:
    """Return the text for a report without failures. Failed tasks are known before attempts."""
    failed = sum(one.tasks.get(TaskState.FAILED, 0) for one in view.steps)
    if not failed:
        return "no attempt has failed (new failures are counted within ten seconds)"
    what = "1 task has" if failed == 1 else f"{number(failed)} tasks have"
    return f"{what} failed: details follow within ten seconds"


def _print_examples(found: ProductionReport) -> None:
    """Print for each cause a command that shows the output of a job, and the last line of it."""
    for one in found.steps:
        for failure in one.failures:
            if failure.examples:
                look = f"pilotage logs {failure.examples[0]} --stream stderr"
                print_line(f"step {one.step}, {failure.failure.value}: {look}")
            if failure.stderr:
                print_line(f"    {failure.stderr}")


def print_report(found: ProductionReport) -> None:
    """Print the report on a production."""
    view = found.view
    print_line(f"production {view.id}: {view.name} is {state_in_words(view)}: {_now(view)}")
    rows: list[Sequence[object]] = [
        (
            one.step,
            None if one.task_s is None else f"{one.task_s:.0f}",
            None if one.memory_mb is None else f"{one.memory_mb:.0f}",
            failure.failure.value,
            failure.attempts,
            failure.jobs,
            ", ".join(map(str, failure.examples)),
            failure.said,
        )
        for one in found.steps
        for failure in one.failures
    ]
    columns = (
        *("step", "task s#", "MB#", "failure", "attempts#", "jobs#", "examples"),
        "most often",
    )
    if rows:
        print_table(columns, rows, empty="")
        _print_examples(found)
    else:
        print_line(_uncounted(view))
    for one in found.steps:
        for name, count in one.reused.items():
            print_line(f"step {one.step}: {count} of its tasks reuse results of {name}")
        for why, count in one.not_reused.items():
            print_line(f"step {one.step}: {count} of its tasks ran: {why}")
        if one.waits:
            print_line(_waits_in_words(one))
        for state, count in one.stuck.items():
            verb = "is" if count == 1 else "are"
            print_line(f"step {one.step}: {files_in_words(count)} {verb} {state.value}")
    _print_what_is_stuck(view)
    print_line(f"{files_in_words(found.files)}, {number(found.bytes)} bytes in the catalogue")
    _print_next(view, after=f"pilotage prod report {view.name}, then ")
