"""`pilotage kill`, `hold`, `release`, `reschedule` and `delete`."""

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pilotage.proto.api import ActionName, ActionReply, JobFilter
from pilotage.proto.job_states import FINAL, JobState

from ..client.waiting import UNFINISHED
from .exit_codes import Exit, UsageError
from .options import CHANGING_S, COMMON, Common, run_with
from .present import note, number, print_json, print_line
from .where import WHERE, Where, job_filter, parse_ids, shown, with_me

if TYPE_CHECKING:
    from ..client.client import AsyncClient

All = Annotated[bool, Parameter(help="All jobs that match the filter; without one, all your own.")]
Yes = Annotated[bool, Parameter(alias="-y", help="Do not ask.")]
Reason = Annotated[str, Parameter(help="Kept in the history of the jobs.")]

# Which of somebody's own jobs `--all` without a filter means.
_MEANT: dict[ActionName, tuple[JobState, ...]] = {
    ActionName.RELEASE: (JobState.HELD,),
    ActionName.RESCHEDULE: (JobState.FAILED, JobState.KILLED),
    ActionName.DELETE: tuple(FINAL),
}


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

    async def work(client: "AsyncClient") -> int:
        if ids:
            return _report(action, await client.act(action, ids, reason=reason), common)
        chosen = await with_me(client, given or _all_own(action))
        count = await client.count(chosen)
        words = shown(where) or "your own jobs, " + "|".join(s.value for s in chosen.states)
        if not count:
            note(f"no jobs match {words}")
            return Exit.OK
        if not yes:
            _ask(f"{action.value} all {number(count)} jobs that match ({words})?")
        reply = await client.act(action, filter=chosen, expected=count, reason=reason)
        return _report(action, reply, common)

    return run_with(common, work, patience_s=CHANGING_S)


def _all_own(action: ActionName) -> JobFilter:
    return JobFilter(owner="me", states=_MEANT.get(action, UNFINISHED))


def _ask(question: str) -> None:
    """Return if a person says yes; raise UsageError otherwise."""
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody is here to be asked: say --yes")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was done")


def _report(action: ActionName, reply: ActionReply, common: Common) -> int:
    if common.json:
        print_json(reply)
    else:
        words = f"{action.value}: {number(reply.done)} done"
        if reply.unchanged:
            words += f", {number(reply.unchanged)} unchanged"
        print_line(words)
        for refusal in reply.refused[:10]:
            note(f"job {refusal.id}: {refusal.message}")
        if len(reply.refused) > 10:
            note(f"and {len(reply.refused) - 10} more were refused")
    return Exit.REFUSED if reply.refused else Exit.OK
