"""`pilotage kill`, `hold`, `release`, `reschedule` and `delete`."""

import sys
from collections.abc import Callable
from typing import Annotated

import msgspec
from cyclopts import Parameter

from pilotage.proto.api.jobs import ActionName, ActionReply, JobFilter
from pilotage.proto.job_states import JobState
from pilotage.proto.problems import Code

from ...client.errors import CountChanged
from ...client.waiting.job_ends import UNFINISHED
from ..command_frame import CentralConnection, Client, CommandResult, changes
from ..exit_codes import ExitCode, UsageError
from ..presentation import jobs_in_words, note, number, print_line
from .selection import WHERE, JobSelection, job_filter, parse_ids, shown, with_me

All = Annotated[
    bool,
    Parameter(help="Take all jobs that match the filter. Without a filter: all your own jobs."),
]
Yes = Annotated[bool, Parameter(alias="-y", help="Do not ask for confirmation.")]
JobReasonOption = Annotated[str, Parameter(help="Reason, for the history of the jobs.")]

# States of the jobs that an action changes; other actions change jobs that have not ended.
_STATES: dict[ActionName, tuple[JobState, ...]] = {
    ActionName.RELEASE: (JobState.HELD,),
    ActionName.RESCHEDULE: (JobState.FAILED, JobState.KILLED),
    ActionName.DELETE: (JobState.DONE, JobState.FAILED, JobState.KILLED),
    ActionName.SET: (JobState.WAITING, JobState.HELD),
    ActionName.RETRY: (JobState.FAILED, JobState.HELD),
}
_REFUSALS_SHOWN = 5


def _acting(action: ActionName, help: str) -> Callable[..., int]:
    async def act(
        central: CentralConnection,
        *ids: str,
        where: JobSelection = WHERE,
        all: All = False,
        yes: Yes = False,
        reason: JobReasonOption = "",
    ) -> CommandResult:
        return await _act(central, action, ids, where, all_matching=all, yes=yes, reason=reason)

    act.__doc__ = help
    return changes(act)


kill = _acting(
    ActionName.KILL, "Kill jobs for good. A running job ends when its pilot confirms it."
)
hold = _acting(ActionName.HOLD, "Hold jobs until they are released, and stop those that run.")
release = _acting(ActionName.RELEASE, "Release held jobs, so that they run again.")
reschedule = _acting(
    ActionName.RESCHEDULE, "Run jobs again from the start, including jobs that have ended."
)
delete = _acting(ActionName.DELETE, "Hide ended jobs from lists. The central keeps them.")


async def _act(
    central: CentralConnection,
    action: ActionName,
    words: tuple[str, ...],
    where: JobSelection,
    *,
    all_matching: bool,
    yes: bool,
    reason: str,
) -> CommandResult:
    ids, given = parse_ids(words), job_filter(where)
    meant = completed_filter(action, given)
    if ids and (given is not None or all_matching):
        raise UsageError("give either ids or a filter, not both")
    if not ids and not all_matching:
        if given is not None:
            raise UsageError(f"add --all to {action.value} all jobs with {shown(given)}")
        state = _STATES.get(action, UNFINISHED)[0].value
        example = f"pilotage {action.value} --filter state={state},owner=me --all"
        raise UsageError(f"{action.value} needs jobs: give ids, or a filter and --all: {example}")
    client = await central.client()
    if ids:
        if len(ids) > 1 and not yes:
            confirm(f"{_verb(action)} {jobs_in_words(len(ids))} ({' '.join(words)})?")
        return report(action, await client.act(action, ids, reason=reason))
    chosen = await with_me(client, meant)
    matching = [view.id async for view in client.search(chosen)]
    if not matching:
        note(f"no jobs match {shown(meant)}")
        return CommandResult(None)
    if len(matching) > 1 and not yes:
        confirm(question(action, len(matching), meant))
    reply = await _act_on_all(client, action, chosen, matching, reason)
    return report(action, reply, by_filter=True)


def completed_filter(action: ActionName, given: JobFilter | None) -> JobFilter:
    """Complete a filter: no filter means the user's own jobs, and no state means the states in
    which the action is possible."""
    chosen = given or JobFilter(owner="me")
    if chosen.states:
        return chosen
    return msgspec.structs.replace(chosen, states=_STATES.get(action, UNFINISHED))


async def _act_on_all(
    client: Client,
    action: ActionName,
    chosen: JobFilter,
    matching: list[int],
    reason: str,
) -> ActionReply:
    """Act only on the jobs that were counted.

    If the filter matches another number of jobs by now, the action names the counted ids.
    """
    try:
        return await client.act(action, filter=chosen, expected=len(matching), reason=reason)
    except CountChanged:
        return await client.act(action, matching, reason=reason)


def question(action: ActionName, count: int, chosen: JobFilter) -> str:
    """Return the question to confirm: `Kill 7 matching jobs (name=big, unfinished)?`."""
    return f"{_verb(action)} {number(count)} matching jobs ({shown(chosen)})?"


def _verb(action: ActionName) -> str:
    return action.value.capitalize()


def confirm(question: str) -> None:
    """Return if the person confirms. Raise UsageError otherwise."""
    if not sys.stdin.isatty():
        raise UsageError(f"{question} The standard input is not a terminal: confirm with --yes")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was done")


def report(action: ActionName, reply: ActionReply, *, by_filter: bool = False) -> CommandResult:
    """Return the outcome of an action.

    A job that ended while the central read the filter does not count as a refusal.
    """
    serious = [
        refusal
        for refusal in reply.refused
        if not (by_filter and refusal.code == Code.ILLEGAL_STATE.value)
    ]

    def words(_: object) -> None:
        line = f"{action.value}: {number(reply.done)} done"
        if reply.unchanged:
            line += f", {number(reply.unchanged)} unchanged"
        print_line(line)
        if len(serious) < len(reply.refused):
            count = jobs_in_words(len(reply.refused) - len(serious))
            ended = "ended" if action in (ActionName.KILL, ActionName.HOLD) else "changed state"
            note(f"{count} {ended} before the action")
        for refusal in serious[:_REFUSALS_SHOWN]:
            note(refusal.message)
        if len(serious) > _REFUSALS_SHOWN:
            note(f"and {number(len(serious) - _REFUSALS_SHOWN)} more were refused")

    return CommandResult(reply, words, ExitCode.REFUSED if serious else ExitCode.OK)
