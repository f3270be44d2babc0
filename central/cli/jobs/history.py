"""`pilotage history`."""

from typing import Annotated

import msgspec
from cyclopts import Parameter

from pilotage.proto.api.jobs import JobFilter
from pilotage.proto.job_states import FINAL

from ..command_frame import Answers, CentralConnection, Client, CommandResult, reads
from ..exit_codes import UsageError
from ..times import moment
from .columns import LIST, OF_HISTORY, ListOptions, job_table
from .selection import WHERE, JobSelection, job_filter, parse_ids, shown, with_me
from .show import print_history
from .status import JobSearch, list_by_filter, list_by_id


@reads
async def history(
    central: CentralConnection,
    *ids: str,
    where: JobSelection = WHERE,
    since: Annotated[str, Parameter(help="Ended since: 2d ago, or 2026-11-25T18:00.")] = "1d",
    options: ListOptions = LIST,
) -> Answers:
    """Show what happened: to one job, event by event, or the jobs that ended, with what they used.

    Without jobs it shows your own of the last day.
    """
    wanted, chosen = parse_ids(ids), job_filter(where)
    if wanted and chosen is not None:
        raise UsageError("give either ids or a filter, not both")
    shape = job_table(options, OF_HISTORY)
    begin = moment(since)
    client = await central.client()
    if len(wanted) == 1 and not options.columns:
        return _of_job(client, wanted[0])
    if wanted:
        return list_by_id(client, wanted, shape)
    found = await with_me(client, chosen or JobFilter(owner="me"))
    if not found.states:
        found = msgspec.structs.replace(found, states=tuple(sorted(FINAL)))
    empty = f"no jobs match {shown(found)} since {since}"
    search = JobSearch(found, begin, options.after, options.limit, empty)
    return list_by_filter(client, search, shape, json=central.json)


async def _of_job(client: Client, job: int) -> Answers:
    yield CommandResult(await client.history(job), print_history)
