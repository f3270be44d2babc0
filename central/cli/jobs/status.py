"""`pilotage status` and `pilotage summary`."""

from typing import Annotated

from cyclopts import Parameter

from pilotage.proto.api.jobs import JobFilter, JobPage, JobView, Summary, SummaryBy
from pilotage.proto.job_states import JobState

from ...client.waiting.job_ends import UNFINISHED
from ..command_frame import Answers, CentralConnection, Client, CommandResult, reads
from ..exit_codes import ExitCode, UsageError
from ..presentation import jobs_in_words, note, number, print_line, print_table, table
from .selection import WHERE, JobSelection, job_filter, parse_ids, shown, views_of, with_me

_PAGE_MAX = 1_000
_COLUMNS = ("id#", "name", "state", "site", "owner", "tries#", "code#", "submitted", "reason")


@reads
async def status(
    central: CentralConnection,
    *ids: str,
    where: JobSelection = WHERE,
    limit: Annotated[int, Parameter(help="Show at most this many jobs; 0: all.")] = 50,
    after: Annotated[int, Parameter(help="Only jobs with a greater id.")] = 0,
) -> Answers:
    """Show jobs: by id, by filter, or all that have not finished.

    With --json, it prints one job on each line.
    """
    wanted, chosen = parse_ids(ids), job_filter(where)
    if wanted and chosen is not None:
        raise UsageError("give either ids or a filter, not both")
    client = await central.client()
    if wanted:
        return _by_id(client, wanted)
    if chosen is None and not central.json:
        print_line(one_line(await client.summary()))
    found = await with_me(client, chosen or JobFilter(states=UNFINISHED))
    beyond = f" after job {after}" if after else ""
    empty = (
        f"no unfinished jobs{beyond}" if chosen is None else f"no jobs match {shown(found)}{beyond}"
    )
    return _by_filter(client, found, after, limit, empty, json=central.json)


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


async def _by_id(client: Client, ids: tuple[int, ...]) -> Answers:
    views = [view async for view in views_of(client, ids)]
    for view in views:
        yield CommandResult(view)
    yield CommandResult(None, table(_COLUMNS, map(_row, views), empty=""))
    absent = sorted(set(ids) - {view.id for view in views})
    if absent:
        more = f" (and {len(absent) - 1} more)" * (len(absent) > 1)
        note(f"there is no job {absent[0]}{more}")
        yield CommandResult(None, code=ExitCode.REFUSED)


async def _by_filter(
    client: Client, chosen: JobFilter, after: int, limit: int, empty: str, *, json: bool
) -> Answers:
    """Yield the jobs page by page, so that JSON of half a million jobs needs little memory.

    Raises NotFound for an unknown submission.
    """
    left = limit or None
    cursor: int | None = after
    count, rows = 0, list[JobView]()
    while cursor is not None and (left is None or left > 0):
        size = _PAGE_MAX if left is None else min(left, _PAGE_MAX)
        page: JobPage = await client.page(chosen, after=cursor, limit=size)
        cursor = page.after
        left = None if left is None else left - len(page.jobs)
        count += len(page.jobs)
        for view in page.jobs:
            yield CommandResult(view)
        if not json:
            rows += page.jobs
    if not count and chosen.submission is not None:
        await client.submission(chosen.submission)  # refused if it does not exist
    yield CommandResult(None, table(_COLUMNS, map(_row, rows), empty=empty))
    if cursor is not None and not json:
        note(f"there are more jobs: show them with --after {cursor}, or all with --limit 0")


def _row(view: JobView) -> tuple[object, ...]:
    marks = " ".join(f"({mark.value})" for mark in view.marks)
    return (
        view.id,
        view.name or "-",
        f"{view.state.value} {marks}".rstrip(),
        view.site or "-",
        view.owner,
        view.epoch,
        view.exit_code,
        view.submitted_at.replace("T", " ")[:19],
        view.reason or view.status,
    )
