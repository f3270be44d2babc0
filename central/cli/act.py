"""`pilotage kill`, `hold`, `release`, `reschedule` and `delete`."""

import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from pilotage.proto.api import ActionName, ActionReply, JobFilter
from pilotage.proto.job_states import JobState
from pilotage.proto.problems import Code

from ..client.errors import CountChanged
from ..client.waiting import UNFINISHED
from .exit_codes import Exit, UsageError
from .options import CHANGING_S, COMMON, Common, run_with
from .present import jobs_in_words, note, number, print_json, print_line
from .where import WHERE, Where, job_filter, parse_ids, shown, with_me

if TYPE_CHECKING:
    from ..client.client import AsyncClient

All = Annotated[bool, Parameter(help="All jobs that match the filter; without one, all your own.")]
Yes = Annotated[bool, Parameter(alias="-y", help="Do not ask.")]
Reason = Annotated[str, Parameter(help="Kept in the history of the jobs.")]

# To which jobs an action can be done; where it is not here, to those that have not ended.
_STATES: dict[ActionName, tuple[JobState, ...]] = {
    ActionName.RELEASE: (JobState.HELD,),
    ActionName.RESCHEDULE: (JobState.FAILED, JobState.KILLED),
    ActionName.DELETE: (JobState.DONE, JobState.FAILED, JobState.KILLED),
}
_REFUSALS_SHOWN = 5


def kill(
    *ids: str,
    where: Where = WHERE,
    all: All = False,
    yes: Yes = False,
    reason: Reason = "",
    common: Common = COMMON,
) -> int:
    """End jobs for good. A running payload ends when its pilot says so."""
    return _act(ActionName.KILL, ids, where, all, yes, reason, common)


def hold(
    *ids: str,
    where: Where = WHERE,
    all: All = False,
    yes: Yes = False,
    reason: Reason = "",
    common: Common = COMMON,
) -> int:
    """Keep jobs from running until they are released; what runs is stopped."""
    return _act(ActionName.HOLD, ids, where, all, yes, reason, common)


def release(
    *ids: str,
    where: Where = WHERE,
    all: All = False,
    yes: Yes = False,
    reason: Reason = "",
    common: Common = COMMON,
) -> int:
    """Let held jobs run again."""
    return _act(ActionName.RELEASE, ids, where, all, yes, reason, common)


def reschedule(
    *ids: str,
    where: Where = WHERE,
    all: All = False,
    yes: Yes = False,
    reason: Reason = "",
    common: Common = COMMON,
) -> int:
    """Run jobs again from the start, also those that have ended."""
    return _act(ActionName.RESCHEDULE, ids, where, all, yes, reason, common)


def delete(
    *ids: str,
    where: Where = WHERE,
    all: All = False,
    yes: Yes = False,
    reason: Reason = "",
    common: Common = COMMON,
) -> int:
    """Hide jobs that have ended from lists; nothing of them is lost."""
    return _act(ActionName.DELETE, ids, where, all, yes, reason, common)


def _act(
    action: ActionName,
    words: tuple[str, ...],
    where: Where,
    all_matching: bool,
    yes: bool,
    reason: str,
    common: Common,
) -> int:
    ids, given = parse_ids(words), job_filter(where)
    if ids and (given is not None or all_matching):
        raise UsageError("give either ids or a filter, not both")
    if not ids and not all_matching:
        example = f"pilotage {action.value} --filter state=Waiting,owner=me --all"
        raise UsageError(f"{action.value} which jobs? Give ids, or a filter and --all: {example}")

    chosen = _meant(action, given)

    async def work(client: "AsyncClient") -> int:
        if ids:
            return report(action, await client.act(action, ids, reason=reason), common)
        found = await with_me(client, chosen)
        matching = [view.id async for view in client.search(found)]
        if not matching:
            note(f"no jobs match {shown(chosen)}")
            return Exit.OK
        if not yes:
            count = jobs_in_words(len(matching))
            _ask(f"{action.value} all {count} that match ({shown(chosen)})?")
        reply = await _act_on_all(client, action, found, matching, reason)
        return report(action, reply, common, by_filter=True)

    return run_with(common, work, patience_s=CHANGING_S)


def _meant(action: ActionName, given: JobFilter | None) -> JobFilter:
    """Return which jobs are meant: without a filter one's own, without a state those to which the
    action can be done."""
    chosen = given or JobFilter(owner="me")
    if chosen.states:
        return chosen
    return msgspec.structs.replace(chosen, states=_STATES.get(action, UNFINISHED))


async def _act_on_all(
    client: "AsyncClient",
    action: ActionName,
    chosen: JobFilter,
    matching: list[int],
    reason: str,
) -> ActionReply:
    """Act on the jobs that were counted, and on no others: where jobs come and go the filter
    matches other ones by now, and then it is their ids that count."""
    try:
        return await client.act(action, filter=chosen, expected=len(matching), reason=reason)
    except CountChanged:
        return await client.act(action, matching, reason=reason)


def _ask(question: str) -> None:
    """Return if a person says yes; raise UsageError otherwise."""
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody is here to be asked: say --yes")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was done")


def report(
    action: ActionName, reply: ActionReply, common: Common, *, by_filter: bool = False
) -> int:
    """Print what was done. A job that ended while a filter was being read is no refusal."""
    serious = [
        refusal
        for refusal in reply.refused
        if not (by_filter and refusal.code == Code.ILLEGAL_STATE.value)
    ]
    if common.json:
        print_json(reply)
    else:
        words = f"{action.value}: {number(reply.done)} done"
        if reply.unchanged:
            words += f", {number(reply.unchanged)} unchanged"
        print_line(words)
        if len(serious) < len(reply.refused):
            ended = "ended" if action in (ActionName.KILL, ActionName.HOLD) else "moved on"
            note(f"{number(len(reply.refused) - len(serious))} had {ended} meanwhile")
        for refusal in serious[:_REFUSALS_SHOWN]:
            note(refusal.message)
        if len(serious) > _REFUSALS_SHOWN:
            note(f"and {number(len(serious) - _REFUSALS_SHOWN)} more were refused")
    return Exit.REFUSED if serious else Exit.OK
