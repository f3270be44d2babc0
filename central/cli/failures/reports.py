"""`pilotage failures reports` and `report`: reports of failover."""

from typing import Annotated

from cyclopts import Parameter

from pilotage.proto.api.failures import ReportView

from ..command_frame import CentralConnection, Client, CommandResult, reads
from ..presentation import number, table
from ..times import moment
from .counts import transformation_id

NOTHING = (
    "there are no reports since then: failover reports in each cycle on failures in "
    "transformations that ask for reports"
)
_COLUMNS = ("id#", "at", "saved#", "for people#", "report")


@reads
async def reports(
    central: CentralConnection,
    *,
    transformation: Annotated[
        str, Parameter(help="Only for this transformation (id or name).")
    ] = "",
    since: Annotated[
        str,
        Parameter(help="Only reports since then: 30m, 6h, 2d ago, or 2026-11-25T18:00."),
    ] = "7d",
    most: Annotated[int, Parameter(help="Show at most this many, the newest ones.")] = 50,
) -> CommandResult:
    """List reports of failover, newest first: one for each cause and cycle.

    "Saved" counts repairs without a person.
    """
    begin = moment(since)
    client = await central.client()
    one = await transformation_id(client, transformation)
    found = await client.failure_reports(transformation=one, since=begin, most=most)
    rows = map(_row, found)
    return CommandResult(found, table(_COLUMNS, rows, empty=NOTHING))


@reads
async def report(client: Client, report: int, /) -> CommandResult:
    """Show one report: what failed, where and why, what failover did, and what remains."""
    found = await client.failure_report(report)
    mailed = [f"Mailed  {found.view.mail}"] if found.view.mail else []
    return CommandResult(found, "\n".join([*found.text.splitlines(), *mailed]))


def _row(one: ReportView) -> tuple[str, ...]:
    return (number(one.id), one.at, number(one.saved), number(one.stuck), one.title)
