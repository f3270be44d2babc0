"""`pilotage usage` and `pilotage quota`: quotas, and the jobs and bytes that count."""

from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from pilotage.proto.api.quotas import QuotaChange, QuotaKind, UsageRow, UsageView

from .command_frame import CentralConnection, Client, CommandResult, changes, reads
from .exit_codes import UsageError
from .presentation import number, print_table

NOTHING_USED = "no jobs and no data count towards quotas"
app = App(name="quota", help="Set quotas of a community, a group or an owner.")


@reads
async def usage(client: Client) -> CommandResult:
    """Show the jobs and bytes that count towards quotas, with the limits."""
    return CommandResult(await client.usage(), _print)


@app.command
@changes
async def set(
    central: CentralConnection,
    kind: QuotaKind,
    community: str,
    name: str = "",
    /,
    *,
    jobs: Annotated[
        int | None,
        Parameter(
            help="Limit of jobs that have not ended; 0: no jobs (default: no limit).",
            validator=Number(gte=0),
        ),
    ] = None,
    gb: Annotated[
        float | None,
        Parameter(
            help="Limit of kept data in GB; 0: no data (default: no limit).",
            validator=Number(gte=0),
        ),
    ] = None,
) -> CommandResult:
    """Set a quota. It replaces the old one. NAME is the group or owner, as in `usage`."""
    if jobs is None and gb is None:
        raise UsageError(
            "give the quota: --jobs, --gb or both; `pilotage quota remove` removes a quota"
        )
    size = None if gb is None else int(gb * 1e9)
    change = QuotaChange(kind=kind, community=community, name=name, jobs=jobs, bytes=size)
    return await _changed(await central.client(), change)


@app.command
@changes
async def remove(
    client: Client, kind: QuotaKind, community: str, name: str = "", /
) -> CommandResult:
    """Remove a quota. The default from the settings applies again."""
    change = QuotaChange(kind=kind, community=community, name=name, remove=True)
    return await _changed(client, change)


async def _changed(client: Client, change: QuotaChange) -> CommandResult:
    found = await client.set_quota(change)
    key = (change.kind, change.community, change.name)
    rows = [one for one in found.rows if (one.kind, one.community, one.name) == key]
    return CommandResult(UsageView(rows=rows), _print)


def _print(found: UsageView) -> None:
    columns = ("community", "kind", "name", "jobs#", "of#", "MB#", "of MB#")
    rows = [_cells(one) for one in found.rows]
    print_table(columns, rows, empty=NOTHING_USED)


def _cells(one: UsageRow) -> tuple[str, ...]:
    return (
        one.community,
        one.kind,
        one.name,
        number(one.jobs),
        _most(one.jobs_max),
        _mb(one.bytes),
        "no limit" if one.bytes_max is None else _mb(one.bytes_max),
    )


def _most(limit: int | None) -> str:
    return "no limit" if limit is None else number(limit)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f}"
