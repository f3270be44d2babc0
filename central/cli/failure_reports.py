"""`pilotage failures reports` and `report`: what failover has told."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pilotage.proto.api_failures import ReportView

from .exit_codes import Exit
from .moments import moment
from .options import COMMON, READING_S, Common, run_with
from .present import note, number, on_terminal, print_json, print_line, print_table

if TYPE_CHECKING:
    from ..client.client import AsyncClient

NOTHING = (
    "there are no reports since then: each cycle of failover makes them, of what has failed "
    "in transformations that ask for it"
)
_COLUMNS = ("id#", "at", "saved#", "for people#", "report")


def reports(
    *,
    transformation: Annotated[
        str, Parameter(help="Only of this transformation, by id or name.")
    ] = "",
    since: Annotated[
        str, Parameter(help="Of then on: 30m, 6h, 2d ago, or a time as 2026-11-25T18:00.")
    ] = "7d",
    most: Annotated[int, Parameter(help="How many at most, the newest.")] = 50,
    common: Common = COMMON,
) -> int:
    """List reports of failover, the newest first: one for each cause and cycle.

    Saved are failures and groups that people need not have looked after.
    """
    begin = moment(since)

    async def work(client: "AsyncClient") -> int:
        one = int(transformation) if transformation.isdecimal() else None
        if transformation and one is None:
            one = (await client.transformation(transformation)).view.id
        found = await client.failure_reports(transformation=one, since=begin, most=most)
        if common.json:
            print_json(found)
            return Exit.OK
        if not found and not on_terminal():
            note(NOTHING)
        print_table(_COLUMNS, map(_row, found), empty=NOTHING)
        return Exit.OK

    return run_with(common, work, patience_s=READING_S)


def report(report: int, /, *, common: Common = COMMON) -> int:
    """Show one report: what failed, why and where, what was done, and what is left."""

    async def work(client: "AsyncClient") -> int:
        found = await client.failure_report(report)
        if common.json:
            print_json(found)
            return Exit.OK
        for line in found.text.splitlines():
            print_line(line)
        if found.view.mail:
            print_line(f"Mailed  {found.view.mail}")
        return Exit.OK

    return run_with(common, work, patience_s=READING_S)


def _row(one: ReportView) -> tuple[str, ...]:
    return (number(one.id), one.at, number(one.saved), number(one.for_people), one.title)
