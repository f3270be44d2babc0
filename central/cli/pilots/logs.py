"""`pilotage pilot logs`: the log lines of pilots."""

from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.api.pilots import PilotLogFilter, PilotLogLine

from ...client.errors import NotFound
from ...client.waiting.pilot_log import LAST
from ..command_frame import Answers, CentralConnection, Client, CommandResult, reads
from ..exit_codes import ExitCode
from ..presentation import clean, console, note, on_terminal, print_line
from ..times import moment
from ..unknown_places import missed_site

NOTHING: Final = "no such lines (pilots send new lines within a minute)"


@reads
async def logs(
    central: CentralConnection,
    pilot: str = "",
    /,
    *,
    job: Annotated[
        int | None, Parameter(help="Only lines about this job.", validator=Number(gte=1))
    ] = None,
    site: Annotated[str, Parameter(help="Only pilots at this site.")] = "",
    host: Annotated[str, Parameter(help="Only pilots on this host.")] = "",
    batch_id: Annotated[str, Parameter(help="Only pilots with this id in the batch system.")] = "",
    since: Annotated[
        str, Parameter(help="Only lines since then: 30m, 6h, 2d ago, or 2026-11-25T18:00.")
    ] = "",
    grep: Annotated[str, Parameter(help="Only lines with this word, in upper or lower case.")] = "",
    warnings: Annotated[bool, Parameter(help="Only warnings.")] = False,
    last: Annotated[
        int,
        Parameter(help="Number of lines, without --since.", validator=Number(gte=1, lte=PAGE_MAX)),
    ] = LAST,
    follow: Annotated[bool, Parameter(alias="-f", help="Continue with new lines.")] = False,
) -> Answers:
    """Show the log lines of pilots: of all, of one, or of those that match the options.

    Operators see all lines; other users see lines about jobs that they may read. With --json, it
    prints one JSON object on each line. docs/pilot-logs.md says when pilots send lines, and how
    long they are kept.
    """
    wanted = PilotLogFilter(
        pilot=pilot,
        site=site,
        host=host,
        batch_id=batch_id,
        job=job,
        since=moment(since) if since else None,
        grep=grep,
        warnings=warnings,
    )
    client = await central.client()
    count = 0
    is_known = not follow or await _is_known(client, pilot, job)
    if is_known:
        async for line in client.pilot_log(wanted, last=last, follow=follow):
            count += 1
            yield CommandResult(line, _print)
    if not count:
        if not is_known or not await _is_known(client, pilot, job):
            yield CommandResult(None, code=ExitCode.REFUSED)
        elif not central.json:
            note((await missed_site(client, site) if site else "") or NOTHING)


async def _is_known(client: Client, pilot: str, job: int | None) -> bool:
    """Return whether the pilot and the job are known. Report an unknown one."""
    try:
        if pilot:
            await client.pilot(pilot)
        if job is not None:
            await client.detail(job)
    except NotFound as why:
        note(str(why))
        return False
    return True


def _print(line: PilotLogLine) -> None:
    about = "" if line.job is None else f"  job {line.job}, try {line.epoch}"
    text = f"{line.at}  {line.pilot}  {line.event}{about}  {line.text}".rstrip()
    if line.warning and on_terminal():
        from rich.text import Text

        console().print(Text(clean(text), style="yellow"), soft_wrap=True)
    else:
        print_line(text)
