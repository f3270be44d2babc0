"""`pilotage prod start`, `pause`, `extend` and others: the actions on productions."""

import contextlib
from collections.abc import Callable, Generator
from typing import Annotated, Final

from cyclopts import Parameter

from pilotage.proto.api.productions import ProductionActionName

from ...client.errors import Refused
from ..command_frame import CentralConnection, Client, CommandResult, changes
from ..exit_codes import UsageError
from ..whole_numbers import whole
from .views import NamedArgument, print_production

A = ProductionActionName
PRIORITY_MAX: Final = 10
ReasonOption = Annotated[str, Parameter(help="Reason, shown with the production.")]
StepOption = Annotated[str | None, Parameter(help="Only this step.")]


def _steering(action: ProductionActionName, help: str) -> Callable[..., int]:
    async def act(
        client: Client, named: NamedArgument, /, *, reason: ReasonOption = ""
    ) -> CommandResult:
        return await _act(client, named, action, reason)

    act.__name__, act.__doc__ = action.value, help
    return changes(act)


start = _steering(A.START, "Start a production that was submitted with --no-start.")
pause = _steering(A.PAUSE, "Make no more tasks. New files wait, and running jobs continue.")
resume = _steering(A.RESUME, "Resume a production, and steps that paused after too many failures.")
stop = _steering(A.STOP, "Take no more files and make no more tasks. Running jobs end normally.")
archive = _steering(A.ARCHIVE, "Archive a Completed or Stopped production, and free its name.")
clean = _steering(
    A.CLEAN,
    (
        "Kill its jobs, remove its files from the catalogue, and end it for good. "
        "Their bytes are removed later, if the storage's file says `deletes: true`."
    ),
)


@changes
async def complete(
    client: Client,
    named: NamedArgument,
    /,
    *,
    step: StepOption = None,
    anyway: Annotated[
        bool,
        Parameter(
            help="Do it even if earlier steps still run. Their remaining files count as missing."
        ),
    ] = False,
    reason: ReasonOption = "",
) -> CommandResult:
    """Declare that no more files of the catalogue will come.

    The production becomes Completed after the last tasks.
    """
    return await _act(client, named, A.COMPLETE, reason, step=step, anyway=anyway)


@changes
async def extend(
    client: Client,
    named: NamedArgument,
    step: Annotated[
        str | None, Parameter(help="A step (default: all steps that query the catalogue).")
    ] = None,
    more: Annotated[int, whole("Number of additional tasks; 0 if the step takes files.")] = 0,
    /,
    *,
    anyway: Annotated[
        bool,
        Parameter(
            help="Continue even if later steps that took all files would take only the new ones."
        ),
    ] = False,
    reason: ReasonOption = "",
) -> CommandResult:
    """Add tasks to a step, or let it look for files again. Later steps process the results."""
    with _in_options():
        found = await client.extend_production(named, step, more, anyway=anyway, reason=reason)
    return CommandResult(found, print_production)


@changes
async def fix(
    client: Client,
    named: NamedArgument,
    /,
    *,
    step: StepOption = None,
    problematic: Annotated[
        bool, Parameter(help="Also retry files with bad data, after a person looked at them.")
    ] = False,
    anyway: Annotated[
        bool,
        Parameter(
            help=(
                "Continue even if steps that ran on all files would run on the retried ones alone."
            )
        ),
    ] = False,
    reason: ReasonOption = "",
) -> CommandResult:
    """Retry stuck files and steps.

    These are files that failed too often or were missing, and steps that were paused or stopped
    alone.
    """
    return await _act(
        client, named, A.FIX, reason, step=step, problematic=problematic, anyway=anyway
    )


@changes
async def priority(
    central: CentralConnection,
    named: NamedArgument,
    value: Annotated[str, Parameter(help="From 0 to 10, or `none`: as each job says.")],
    /,
    *,
    reason: ReasonOption = "",
) -> CommandResult:
    """Set the priority of its jobs, both waiting and future ones."""
    wanted = None
    if value != "none":
        if not value.isdecimal() or int(value) > PRIORITY_MAX:
            raise UsageError(f"{value!r}: expected a number from 0 to {PRIORITY_MAX}, or none")
        wanted = int(value)
    return await _act(await central.client(), named, A.PRIORITY, reason, priority=wanted)


@changes
async def rerun(
    central: CentralConnection,
    named: NamedArgument,
    name: Annotated[str, Parameter(help="Name of the new production.")],
    /,
    *,
    no_start: Annotated[
        bool, Parameter(help="Store it without starting it; `prod start` starts it.")
    ] = False,
) -> CommandResult:
    """Run the same definition again under another name, with all files and as many tasks as its
    steps were extended to.
    """
    if name == named:
        raise UsageError(f"{name!r} is the name of the production: the new one needs another name")
    client = await central.client()
    return CommandResult(
        await client.rerun_production(named, name, start=not no_start), print_production
    )


COMMANDS: Final = (
    *(start, pause, resume, stop, complete, extend, fix, priority, rerun, archive, clean),
)


@contextlib.contextmanager
def _in_options() -> Generator[None]:
    """Name the option `--anyway` in refusals, in place of the field."""
    try:
        yield
    except Refused as why:
        said = why.message.replace("`anyway`", "`--anyway`")
        raise type(why)(why.code, said, why.field, why.status) from None


async def _act(
    client: Client,
    named: str,
    action: ProductionActionName,
    reason: str,
    *,
    step: str | None = None,
    problematic: bool = False,
    anyway: bool = False,
    priority: int | None = None,
) -> CommandResult:
    with _in_options():
        found = await client.act_on_production(
            named,
            action,
            step=step,
            problematic=problematic,
            anyway=anyway,
            priority=priority,
            reason=reason,
        )
    return CommandResult(found, print_production)
