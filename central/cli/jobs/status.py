"""`pilotage status` and `pilotage summary`."""

from typing import Annotated, NamedTuple

from cyclopts import Parameter

from pilotage.proto.api.jobs import JobFilter, JobPage, JobView, Summary, SummaryBy
from pilotage.proto.job_states import JobState

from ...client.waiting.job_ends import UNFINISHED
from ..command_frame import Answers, CentralConnection, Client, CommandResult, reads
from ..exit_codes import ExitCode, UsageError
from ..presentation import jobs_in_words, note, number, print_line, print_table, table
from ..times import moment
from .columns import LIST, OF_STATUS, JobTable, ListOptions, job_table
from .selection import WHERE, JobSelection, job_filter, parse_ids, shown, views_of, with_me

_PAGE_MAX = 1_000
_SINCE = "Only jobs that have not ended, or have ended since: 2d ago, or 2026-11-25T18:00."


@reads
async def status(
    central: CentralConnection,
    *ids: str,
    where: JobSelection = WHERE,
    since: Annotated[str, Parameter(help=_SINCE)] = "",
    options: ListOptions = LIST,
) -> Answers:
    """Show jobs: by id, by filter, or all that have not finished.

    With --json, it prints one job on each line.
    """
    wanted, chosen = parse_ids(ids), job_filter(where)
    if wanted and (chosen is not None or since):
        raise UsageError("give either ids or a filter, not both")
    shape = job_table(options, OF_STATUS)
    begin = moment(since) if since else 0.0
    client = await central.client()
    if wanted:
        return list_by_id(client, wanted, shape)
    if chosen is None and not central.json:
        print_line(one_line(await client.summary()))
    found = await with_me(client, chosen or JobFilter(states=() if since else UNFINISHED))
    beyond = f" after job {options.after}" if options.after else ""
    no_jobs = "no unfinished jobs" if chosen is None else f"no jobs match {shown(found)}"
    search = JobSearch(found, begin, options.after, options.limit, f"{no_jobs}{beyond}")
    return list_by_filter(client, search, shape, json=central.json)


@reads
async def summary(
    client: Client,
    *,
    by: Annotated[SummaryBy, Parameter(help="Count by this.")] = SummaryBy.STATE,
) -> CommandResult:
    """Count jobs by state: in one line, or by site, type, group or owner."""
    found = await client.summary(by)
    return CommandResult(found, one_line(found) if by is SummaryBy.STATE else print_summary)


def one_line(found: Summary) -> str:
    """Return the number of jobs in each state, in one line."""
    counts = total_counts(found)
    parts = [f"{number(counts[state])} {state.value}" for state in JobState if counts.get(state)]
    return jobs_in_words(found.total) + (": " + ", ".join(parts) if parts else "")


def total_counts(found: Summary) -> dict[JobState, int]:
    """Add up the rows of a summary."""
    counts: dict[JobState, int] = {}
    for row in found.rows:
        for state, n in row.counts.items():
            counts[state] = counts.get(state, 0) + n
    return counts


def print_summary(found: Summary) -> None:
    """Print a table with a column for each state that occurs."""
    used = [state for state in JobState if any(row.counts.get(state) for row in found.rows)]
    print_table(
        [found.by.value, *(f"{state.value}#" for state in used)],
        ([row.key or "-", *(row.counts.get(state, 0) for state in used)] for row in found.rows),
        empty="no jobs",
    )


async def list_by_id(client: Client, ids: tuple[int, ...], shape: JobTable) -> Answers:
    views = [view async for view in views_of(client, ids)]
    if shape.sort:
        views = shape.in_order(views)
    for view in views:
        yield CommandResult(view)
    yield CommandResult(None, table(shape.headers, shape.rows(views), empty=""))
    absent = sorted(set(ids) - {view.id for view in views})
    if absent:
        more = f" (and {len(absent) - 1} more)" * (len(absent) > 1)
        note(f"there is no job {absent[0]}{more}")
        yield CommandResult(None, code=ExitCode.REFUSED)


class JobSearch(NamedTuple):
    """The jobs of a list, and the text in place of an empty one."""

    filter: JobFilter
    since: float
    after: int
    limit: int
    empty: str


async def list_by_filter(
    client: Client, search: JobSearch, shape: JobTable, *, json: bool
) -> Answers:
    """Yield the jobs page by page, so that JSON of half a million jobs needs little memory.

    A sorted list reads all jobs first. Raises NotFound for an unknown submission.
    """
    left = None if shape.sort else search.limit or None
    cursor: int | None = search.after
    count, rows = 0, list[JobView]()
    while cursor is not None and (left is None or left > 0):
        size = _PAGE_MAX if left is None or search.since else min(left, _PAGE_MAX)
        page: JobPage = await client.page(
            search.filter, after=cursor, limit=size, since=search.since
        )
        found, cursor = page.jobs[:left], page.after
        if len(found) < len(page.jobs):
            cursor = found[-1].id
        left = None if left is None else left - len(found)
        count += len(found)
        if shape.sort or not json:
            rows += found
        if not shape.sort:
            for view in found:
                yield CommandResult(view)
    if not count and search.filter.submission is not None:
        await client.submission(search.filter.submission)  # refused if it does not exist
    if shape.sort:
        rows = shape.in_order(rows)[: search.limit or None]
        for view in rows:
            yield CommandResult(view)
    yield CommandResult(None, table(shape.headers, shape.rows(rows), empty=search.empty))
    if cursor is not None and not json:
        note(f"there are more jobs: show them with --after {cursor}, or all with --limit 0")
    elif len(rows) < count and not json:
        note(f"there are {number(count - len(rows))} more jobs: show all with --limit 0")
