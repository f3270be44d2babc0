"""`pilotage series` and `accounts`: counts over time, since the first day."""

from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from pilotage.proto.api.accounts import AccountLine, AccountsBy, SeriesBy

from .command_frame import Client, CommandResult, reads
from .presentation import number, table
from .units import with_unit

DAY_S = 86_400.0
HOUR_S = 3_600.0
NO_SLOT = "no such jobs in any slot yet: a slot appears here when it has ended"
NOTHING_USED = "no usage is recorded yet: that of an ended job is added within half a minute"


@reads
async def series(
    client: Client,
    *,
    step_s: Annotated[
        Literal[10, 60, 600],
        with_unit("step_s", help="Length of a slot: 10s, 1m or 10m.", show_choices=False),
    ] = 60,
    by: Annotated[SeriesBy, Parameter(help="Group by this.")] = SeriesBy.SITE,
    site: Annotated[str, Parameter(help="Only this site.")] = "",
    type: Annotated[str, Parameter(help="Only jobs of this type.")] = "",
    last: Annotated[
        int, Parameter(help="Number of slots, the newest last.", validator=Number(gte=1))
    ] = 20,
) -> CommandResult:
    """Show over time how many jobs waited, ran and ended, and what they used.

    The numbers of waiting and running jobs are means over a slot. The central keeps slots of 10 s
    for six hours, of 60 s for a week, and of 600 s for 400 days.
    """
    found = await client.series(step_s=step_s, by=by, site=site, type=type)
    begin = max(0, len(found.at) - last)
    rows = (
        (
            found.at[i],
            line.key or "-",
            f"{line.waiting[i]:g}",
            f"{line.running[i]:g}",
            line.done[i],
            line.failed[i],
            f"{line.cpu_s[i]:.0f}",
        )
        for i in range(begin, len(found.at))
        for line in found.lines
    )
    columns = ("from", "key", "waiting#", "running#", "done#", "failed#", "CPU s#")
    return CommandResult(found, table(columns, rows, empty=NO_SLOT))


@reads
async def accounts(
    client: Client,
    *,
    by: Annotated[AccountsBy, Parameter(help="Group by this.")] = AccountsBy.OWNER,
    days: Annotated[
        float | None,
        Parameter(help="Only the last N days (default: all days).", validator=Number(gt=0)),
    ] = None,
) -> CommandResult:
    """Show what jobs have used: your jobs, or all jobs that your token may see.

    A job is counted within half a minute of each end, so one that ran again is counted twice.
    Accounts include jobs that retention has removed.
    """
    import time

    since = None if days is None else max(0.0, time.time() - days * DAY_S)
    found = await client.accounts(by=by, since=since)
    columns = (
        *(by.value, "done#", "failed#", "CPU h#", "core h#", "HS23 h#"),
        *("MB in#", "MB out#"),
    )
    rows = map(_account, found.lines)
    return CommandResult(found, table(columns, rows, empty=NOTHING_USED))


def _account(line: AccountLine) -> tuple[str, ...]:
    return (
        line.key or "all",
        number(line.done),
        number(line.failed),
        f"{line.cpu_s / HOUR_S:.2f}",
        f"{line.core_s / HOUR_S:.2f}",
        f"{line.hs23_s / HOUR_S:.1f}",
        f"{line.bytes_in / 1e6:.1f}",
        f"{line.bytes_out / 1e6:.1f}",
    )
