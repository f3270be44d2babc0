"""`pilotage wait` and `pilotage watch`."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pilotage.proto.api.jobs import JobFilter, Summary, SummaryBy, SummaryRow
from pilotage.proto.job_states import FINAL, JobState

from ..command_frame import Answers, CentralConnection, Client, CommandResult, changes
from ..exit_codes import ExitCode, UsageError
from ..presentation import console, note, on_terminal, rich_table
from ..units import with_unit
from .selection import WHERE, JobSelection, job_filter, parse_ids, shown, views_of, with_me
from .status import one_line
from .waiting import LongestWait, report_states, says_what_continues, wait_for

if TYPE_CHECKING:
    from rich.table import Table

_IDS_SHOWN = 5


@changes
async def wait(
    central: CentralConnection,
    *ids: str,
    where: JobSelection = WHERE,
    timeout_s: LongestWait = None,
    through_held: Annotated[
        bool, Parameter(help="Keep waiting if all remaining jobs are Held.")
    ] = False,
) -> CommandResult:
    """Wait until jobs have ended: by id, or those that match a filter now.

    It reports each job that becomes Held, with the reason, and stops when all remaining jobs are
    Held. If no job matches the filter, it ends at once with code 0. An unknown submission is
    refused.

    Exit codes: 0 if all jobs are Done, 1 if one is Failed or Killed, 5 after the timeout, 6 if one
    is Held.
    """
    wanted, chosen = parse_ids(ids), job_filter(where)
    if bool(wanted) == (chosen is not None):
        raise UsageError("no jobs to wait for: give ids, or --submission, --state, --filter")
    client = await central.client()
    all_ids, submission = wanted, None
    if chosen is not None:
        found = await with_me(client, chosen)
        all_ids = tuple([view.id async for view in client.search(found)])
        submission = chosen.submission
        if not all_ids:
            if submission is not None:
                await client.submission(submission)  # refused if it does not exist
            note(f"no jobs match {shown(found)}: nothing to wait for")
    with says_what_continues("the jobs continue", _again(ids, submission)):
        await wait_for(client, all_ids, submission, timeout_s, through_held=through_held)
    counts = Counter([view.state async for view in views_of(client, all_ids)])
    return report_states(counts, all_ids, submission)


def _again(ids: tuple[str, ...], submission: int | None) -> str:
    """Return the command that waits again, as far as it fits in a line."""
    if submission is not None:
        return f"pilotage wait --submission {submission}"
    if 0 < len(ids) <= _IDS_SHOWN:
        return f"pilotage wait {' '.join(ids)}"
    return "run this command again"


@changes
async def watch(
    central: CentralConnection,
    submission: int | None = None,
    /,
    *,
    interval_s: Annotated[float, with_unit("interval_s", help="Time between two updates.")] = 1.0,
) -> CommandResult | Answers:
    """Watch jobs live, by site: all jobs until Ctrl-C, or one submission until it has ended.

    For a submission the exit code is 0 if all jobs are Done, else 1. Held jobs do not end it. In a
    pipe it prints a line for each change.
    """
    if interval_s < 0.1:
        raise UsageError("--interval must be at least 0.1s")
    client = await central.client()
    looks = _until_interrupted(_looks(client, submission, interval_s), submission)
    if central.json or not on_terminal():
        return _in_lines(looks)
    return await _live(looks, submission)


async def _until_interrupted(
    looks: AsyncIterator[Summary], submission: int | None
) -> AsyncIterator[Summary]:
    """Pass the summaries on; after Ctrl-C, say that the jobs continue."""
    again = "pilotage watch" if submission is None else f"pilotage watch {submission}"
    with says_what_continues("the jobs continue", again):
        async for look in looks:
            yield look


async def _looks(
    client: Client, submission: int | None, interval_s: float
) -> AsyncIterator[Summary]:
    """Yield the summary by site at each interval, until the submission has ended."""
    import asyncio

    while True:
        if submission is None:
            yield await client.summary(SummaryBy.SITE)
        else:
            look = await _by_site(client, submission)
            yield look
            if all(state in FINAL for row in look.rows for state in row.counts):
                return
        await asyncio.sleep(interval_s)


async def _by_site(client: Client, submission: int) -> Summary:
    rows: dict[str, dict[JobState, int]] = {}
    total = 0
    async for view in client.search(JobFilter(submission=submission, include_deleted=True)):
        counts = rows.setdefault(view.site, {})
        counts[view.state] = counts.get(view.state, 0) + 1
        total += 1
    if not total:
        raise UsageError(f"there is no submission {submission}")
    return Summary(
        by=SummaryBy.SITE,
        total=total,
        rows=[SummaryRow(key=site, counts=counts) for site, counts in sorted(rows.items())],
    )


async def _in_lines(looks: AsyncIterator[Summary]) -> Answers:
    before: Summary | None = None
    async for look in looks:
        if look != before:
            yield CommandResult(look, one_line(look))
        before = look
    yield CommandResult(None, code=_ending(before))


async def _live(looks: AsyncIterator[Summary], submission: int | None) -> CommandResult:
    from rich.live import Live

    look: Summary | None = None
    what = "all jobs" if submission is None else f"submission {submission}"
    with Live(console=console(), auto_refresh=False) as live:
        async for look in looks:
            live.update(_picture(look, what), refresh=True)
    return CommandResult(None, code=_ending(look))


def _picture(look: Summary, what: str) -> "Table":
    columns = ("site", "waiting#", "matched#", "running#", "held#", "done#", "failed#", "progress")
    rows = [(row.key or "(not matched yet)", *_numbers(row.counts)) for row in look.rows]
    return rich_table(columns, rows, f"{what}: {one_line(look)}")


def _numbers(counts: dict[JobState, int]) -> tuple[object, ...]:
    def of(*states: JobState) -> int:
        return sum(counts.get(state, 0) for state in states)

    total = sum(counts.values())
    ended = of(*FINAL)
    width = 20 * ended // total if total else 0
    return (
        of(JobState.WAITING),
        of(JobState.MATCHED),
        of(JobState.RUNNING, JobState.COMPLETING),
        of(JobState.HELD),
        of(JobState.DONE),
        of(JobState.FAILED, JobState.KILLED),
        "█" * width + "░" * (20 - width),
    )


def _ending(look: Summary | None) -> int:
    rows = look.rows if look else []
    done = all(state is JobState.DONE for row in rows for state in row.counts)
    return ExitCode.OK if done else ExitCode.FAILED
