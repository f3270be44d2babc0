"""`pilotage prod start`, `pause`, `extend` and others: what people do to productions."""

import contextlib
from collections.abc import Callable, Generator
from typing import Annotated, Final

from cyclopts import Parameter

from pilotage.proto.api.productions import ProductionActionName

from ...client.errors import Refused
from ..command_frame import CentralConnection, Client, CommandResult, changes
from ..exit_codes import UsageError
from ..whole_numbers import whole
from .views import Named, print_production

A = ProductionActionName
PRIORITY_MAX: Final = 10
ReasonOption = Annotated[str, Parameter(help="Why; it is shown with the production.")]
StepOption = Annotated[str | None, Parameter(help="Only this step.")]


def _steering(action: ProductionActionName, help: str) -> Callable[..., int]:
    async def act(client: Client, named: Named, /, *, reason: ReasonOption = "") -> CommandResult:
        return await _act(client, named, action, reason)

    act.__name__, act.__doc__ = action.value, help
    return changes(act)


start = _steering(A.START, "Start a production that was submitted with --no-start.")
pause = _steering(A.PAUSE, "Let no step make more tasks. Files gather, what runs goes on.")
resume = _steering(
    A.RESUME, "Let a production go on, and steps that were paused because too much failed."
)
stop = _steering(A.STOP, "Take no more files and make no more tasks. What runs ends.")
archive = _steering(
    A.ARCHIVE, "Put a production away that is Completed or Stopped. Its name is free again."
)
clean = _steering(
    A.CLEAN,
    "Kill its jobs, remove the files that it made from the catalogue, and end it for good. Their\n"
    "bytes go later, from storages whose files say `deletes: true`.",
)


@changes
async def complete(
    client: Client,
    named: Named,
    /,
    *,
    step: StepOption = None,
    anyway: Annotated[
        bool,
        Parameter(help="Also while steps that feed this one work: what they lack is missing."),
    ] = False,
    reason: ReasonOption = "",
) -> CommandResult:
    """Say that no more files of the catalogue come: what is left goes, then it is Completed."""
    return await _act(client, named, A.COMPLETE, reason, step=step, anyway=anyway)


@changes
async def extend(
    client: Client,
    named: Named,
    step: Annotated[
        str | None, Parameter(help="A step; else all that query the catalogue.")
    ] = None,
    more: Annotated[int, whole("How many tasks more; 0: it takes files.")] = 0,
    /,
    *,
    anyway: Annotated[
        bool,
        Parameter(
            help="Go on even if later steps that took all files would take only the new ones."
        ),
    ] = False,
    reason: ReasonOption = "",
) -> CommandResult:
    """Ask a step for more tasks, or let it look for files again; steps below go on with them."""
    with _in_options():
        found = await client.extend_production(named, step, more, anyway=anyway, reason=reason)
    return CommandResult(found, print_production)


@changes
async def fix(
    client: Client,
    named: Named,
    /,
    *,
    step: StepOption = None,
    problematic: Annotated[
        bool, Parameter(help="Files with bad data too, which were looked at.")
    ] = False,
    anyway: Annotated[
        bool,
        Parameter(help="Also where steps have run of all files, and would of those alone."),
    ] = False,
    reason: ReasonOption = "",
) -> CommandResult:
    """Try again what waits for a person: files that failed too often or were away, steps that were
    paused or stopped alone."""
    return await _act(
        client, named, A.FIX, reason, step=step, problematic=problematic, anyway=anyway
    )


@changes
async def priority(
    central: CentralConnection,
    named: Named,
    value: Annotated[str, Parameter(help="From 0 to 10, or `none`: as each job says.")],
    /,
    *,
    reason: ReasonOption = "",
) -> CommandResult:
    """Set the priority of its jobs: those that wait, and those that come."""
    wanted = None
    if value != "none":
        if not value.isdecimal() or int(value) > PRIORITY_MAX:
            raise UsageError(f"{value!r}: expected a number from 0 to {PRIORITY_MAX}, or none")
        wanted = int(value)
    return await _act(await central.client(), named, A.PRIORITY, reason, priority=wanted)


@changes
async def rerun(
    central: CentralConnection,
    named: Named,
    name: Annotated[str, Parameter(help="Of the new production.")],
    /,
    *,
    no_start: Annotated[bool, Parameter(help="Only store it: `prod start` starts it.")] = False,
) -> CommandResult:
    """Run the same anew under another name: the definition of the production, with all files, and
    as many tasks as its steps were extended to."""
    if name == named:
        raise UsageError(f"{name!r} is the production itself: the new one needs another name")
    client = await central.client()
    return CommandResult(
        await client.rerun_production(named, name, start=not no_start), print_production
    )


COMMANDS: Final = (
    *(start, pause, resume, stop, complete, extend, fix, priority, rerun, archive, clean),
)


@contextlib.contextmanager
def _in_options() -> Generator[None]:
    """Tell what would be right by the option that says it here."""
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
