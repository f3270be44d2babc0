"""`pilotage failures …`: failed attempts by class, reports of failover, and its rules."""

from typing import Annotated

from cyclopts import App, Parameter

from pilotage.proto.api.failures import FailureLine, Failures

from ..command_frame import CentralConnection, Client, CommandResult, reads
from ..presentation import number, on_terminal, print_line, print_table
from ..times import moment
from ..unknown_places import missed_site

NOTHING = "no failed attempts since then (new ones are counted within ten seconds)"
_COLUMNS = ("failure", "site", "attempts#", "jobs failed#", "most often", "times#", "jobs")

app = App(name="failures", help="Show why attempts failed, by class and site.")
for _name, _place, _help in (
    ("reports", "reports:reports", "List reports of failover, newest first."),
    ("report", "reports:report", "Show one report."),
    ("rules", "rules:app", "Check and test files of failover rules."),
):
    app.command(f"{__package__}.{_place}", name=_name, help=_help)


@app.default
@reads
async def failures(
    central: CentralConnection,
    *,
    site: Annotated[str, Parameter(help="Only attempts at this site.")] = "",
    group: Annotated[str, Parameter(help="Only jobs of this group.")] = "",
    owner: Annotated[str, Parameter(help="Only jobs of this owner.")] = "",
    transformation: Annotated[
        str, Parameter(help="Only jobs of this transformation (id or name); 0: jobs without one.")
    ] = "",
    since: Annotated[
        str,
        Parameter(help="Start, rounded down to the hour: 30m, 6h, 2d ago, or 2026-11-25T18:00."),
    ] = "1d",
) -> CommandResult:
    """Show why attempts failed, by class and site, with examples of jobs.

    It counts your jobs, or all that your token reaches, including jobs that retention has removed.
    For the thirteen classes see docs/failures.md.
    """
    begin = moment(since)
    client = await central.client()
    one = await transformation_id(client, transformation)
    found = await client.failures(
        site=site, group=group, owner=owner, transformation=one, since=begin
    )
    missed = await missed_site(client, site) if site and not (found.lines or central.json) else ""
    return CommandResult(found, lambda found: _print(found, empty=missed or NOTHING))


async def transformation_id(client: Client, named: str) -> int | None:
    """Return the id of a transformation that is given by id or name; None if none is given."""
    if named.isdecimal():
        return int(named)
    return (await client.transformation(named)).view.id if named else None


def _print(found: Failures, *, empty: str) -> None:
    print_table(_COLUMNS, map(_row, found.lines), empty=empty)
    if on_terminal():
        for failure, meaning in sorted({(one.failure.value, one.meaning) for one in found.lines}):
            print_line(f"{failure}: {meaning}")


def _row(line: FailureLine) -> tuple[str, ...]:
    return (
        line.failure.value,
        line.site or "-",
        number(line.attempts),
        number(line.jobs),
        line.said,
        number(line.said_count) if line.said_count else "",
        " ".join(map(str, line.examples)),
    )
