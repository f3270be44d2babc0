"""`pilotage prod start`, `pause`, `extend` and others: what people do to productions."""

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from pilotage.proto.api_productions import ProductionActionName

from ..client.errors import Refused
from .exit_codes import Exit, UsageError
from .options import CHANGING_S, COMMON, Common, run_with
from .prod_look import Named, print_production
from .whole import whole

if TYPE_CHECKING:
    from ..client.client import AsyncClient

A = ProductionActionName
PRIORITY_MAX: Final = 10
ReasonOption = Annotated[str, Parameter(help="Why; it is shown with the production.")]
StepOption = Annotated[str | None, Parameter(help="Only this step.")]


def start(named: Named, /, *, reason: ReasonOption = "", common: Common = COMMON) -> int:
    """Start a production that was submitted with --no-start."""
    return _act(named, A.START, reason, common)


def pause(named: Named, /, *, reason: ReasonOption = "", common: Common = COMMON) -> int:
    """Let no step make more tasks. Files gather, what runs goes on."""
    return _act(named, A.PAUSE, reason, common)


def resume(named: Named, /, *, reason: ReasonOption = "", common: Common = COMMON) -> int:
    """Let a production go on, and steps that were paused because too much failed."""
    return _act(named, A.RESUME, reason, common)


def stop(named: Named, /, *, reason: ReasonOption = "", common: Common = COMMON) -> int:
    """Take no more files and make no more tasks. What runs ends."""
    return _act(named, A.STOP, reason, common)


def complete(
    named: Named,
    /,
    *,
    step: StepOption = None,
    anyway: Annotated[
        bool,
        Parameter(help="Also while steps that feed this one work: what they lack is missing."),
    ] = False,
    reason: ReasonOption = "",
    common: Common = COMMON,
) -> int:
    """Say that no more files of the catalogue come: what is left goes, then it is Completed."""
    return _act(named, A.COMPLETE, reason, common, step=step, anyway=anyway)


def extend(
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
            help="Also where steps below have run of all files, and would of new ones alone."
        ),
    ] = False,
    reason: ReasonOption = "",
    common: Common = COMMON,
) -> int:
    """Ask a step for more tasks, or let it look for files again; steps below go on with them."""

    async def work(client: "AsyncClient") -> int:
        with _in_options():
            found = await client.extend_production(named, step, more, anyway=anyway, reason=reason)
        print_production(found, common)
        return Exit.OK

    return run_with(common, work, patience_s=CHANGING_S)


def fix(
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
    common: Common = COMMON,
) -> int:
    """Try again what waits for a person: files that failed too often or were away, steps that were
    paused or stopped alone."""
    return _act(named, A.FIX, reason, common, step=step, problematic=problematic, anyway=anyway)


def priority(
    named: Named,
    value: Annotated[str, Parameter(help="From 0 to 10, or `none`: as each job says.")],
    /,
    *,
    reason: ReasonOption = "",
    common: Common = COMMON,
) -> int:
    """Set the priority of its jobs: those that wait, and those that come."""
    wanted = None
    if value != "none":
        if not value.isdecimal() or int(value) > PRIORITY_MAX:
            raise UsageError(f"{value!r}: expected a number from 0 to {PRIORITY_MAX}, or none")
        wanted = int(value)
    return _act(named, A.PRIORITY, reason, common, priority=wanted)


def rerun(
    named: Named,
    name: Annotated[str, Parameter(help="Of the new production.")],
    /,
    *,
    no_start: Annotated[bool, Parameter(help="Only store it: `prod start` starts it.")] = False,
    common: Common = COMMON,
) -> int:
    """Run the same anew under another name: the definition of the production, with all files, and
    as many tasks as its steps were extended to."""

    async def work(client: "AsyncClient") -> int:
        print_production(await client.rerun_production(named, name, start=not no_start), common)
        return Exit.OK

    return run_with(common, work, patience_s=CHANGING_S)


def archive(named: Named, /, *, reason: ReasonOption = "", common: Common = COMMON) -> int:
    """Put a production away that is Completed or Stopped. Its name is free again."""
    return _act(named, A.ARCHIVE, reason, common)


def clean(named: Named, /, *, reason: ReasonOption = "", common: Common = COMMON) -> int:
    """Kill its jobs, remove the files that it made from the catalogue, and end it for good. Their
    bytes go later, from storages whose files say `deletes: true`."""
    return _act(named, A.CLEAN, reason, common)


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


def _act(
    named: str,
    action: ProductionActionName,
    reason: str,
    common: Common,
    *,
    step: str | None = None,
    problematic: bool = False,
    anyway: bool = False,
    priority: int | None = None,
) -> int:
    async def work(client: "AsyncClient") -> int:
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
        print_production(found, common)
        return Exit.OK

    return run_with(common, work, patience_s=CHANGING_S)
