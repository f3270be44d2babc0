"""`pilotage set` and `pilotage retry`."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from pilotage.proto.api.jobs import ActionName, ActionReply
from pilotage.proto.documents.job import PRIORITY_MAX, PRIORITY_MIN, Need

from ...client.documents.need_changes import NAMES, need_changes
from ...client.errors import Invalid
from ..command_frame import CentralConnection, CommandResult, changes
from ..exit_codes import UsageError
from ..presentation import jobs_in_words, note, number
from .actions import JobReasonOption, Yes, completed_filter, confirm, report
from .selection import WHERE, JobSelection, is_ids, job_filter, parse_ids, shown, with_me

_DEFAULTS: Final[dict[str, object]] = {
    one.name: one.default for one in msgspec.structs.fields(Need)
}
_JOB: Final = re.compile(r"^job \d+: ")
_NO_JOB: Final = re.compile(r"\bno job \d+")
_REASONS_SHOWN: Final = 5
Words = Annotated[
    str,
    Parameter(
        name="JOBS", help="Jobs as in 12 20-29, then new needs: memory=8GB wall=x2 sites=PIC,CNAF."
    ),
]


@changes
async def set_jobs(
    central: CentralConnection,
    *words: Words,
    where: JobSelection = WHERE,
    yes: Yes = False,
    reason: JobReasonOption = "",
) -> CommandResult:
    """Change Waiting and Held jobs: pilotage set 5-10 memory=8GB wall=4h priority=7 sites=PIC,CNAF

    The names are those of a job file; `memory=x2` doubles a size or time. The command tells how
    many jobs it would change and asks, if there is more than one.
    """
    return await _change(central, ActionName.SET, words, where, {}, yes=yes, reason=reason)


@changes
async def retry(
    central: CentralConnection,
    *words: Words,
    where: JobSelection = WHERE,
    memory: Annotated[str, Parameter(help="New memory, as in 8GB, or x2 for twice.")] = "",
    wall: Annotated[str, Parameter(help="New limit of the run time, as in 4h or x2.")] = "",
    yes: Yes = False,
    reason: JobReasonOption = "",
) -> CommandResult:
    """Run Failed and Held jobs again, with what they lacked: pilotage retry 5-10 --memory x2

    Other needs can follow the jobs, as for `pilotage set`.
    """
    more = {name: text for name, text in (("memory", memory), ("wall", wall)) if text}
    return await _change(central, ActionName.RETRY, words, where, more, yes=yes, reason=reason)


async def _change(
    central: CentralConnection,
    action: ActionName,
    words: tuple[str, ...],
    where: JobSelection,
    more: Mapping[str, str],
    *,
    yes: bool,
    reason: str,
) -> CommandResult:
    count = next((at for at, word in enumerate(words) if not is_ids(word)), len(words))
    ids, chosen = parse_ids(words[:count]), job_filter(where)
    texts = {**_texts(words[count:]), **more}
    needs, priority = _needs_and_priority(texts)
    if action is ActionName.SET and not texts:
        raise UsageError("set needs a new value, as in memory=8GB or priority=7")
    if ids and chosen is not None:
        raise UsageError("give either ids or a filter, not both")
    if not ids and chosen is None:
        raise UsageError(
            f"{action.value} needs jobs: give ids as in 12 or 20-29, or a filter such as"
            " --submission 3"
        )
    client = await central.client()
    said = f"ids {' '.join(words[:count])}"
    if chosen is not None:
        meant = completed_filter(action, chosen)
        found = client.search(await with_me(client, meant))
        ids, said = tuple([view.id async for view in found]), shown(meant)
    if not ids:
        note(f"no jobs match {said}")
        return CommandResult(None)
    if len(ids) > 1 and not yes:
        would = await client.act(action, ids, needs=needs, priority=priority, dry_run=True)
        if not would.done:
            return report(action, would)
        _preview(would, len(ids))
        what = " ".join((action.value, *(f"{name}={text}" for name, text in texts.items())))
        confirm(f"{what[0].upper()}{what[1:]} for {jobs_in_words(would.done)} ({said})?")
    reply = await client.act(action, ids, needs=needs, priority=priority, reason=reason)
    return report(action, reply, by_filter=chosen is not None)


def _preview(would: ActionReply, count: int) -> None:
    """Say how many jobs would stay as they are, and why."""
    if would.unchanged:
        note(f"{jobs_in_words(would.unchanged)}: nothing changes")
    refused = count - would.done - would.unchanged
    if not refused:
        return
    reasons = Counter(
        _NO_JOB.sub("no such job", _JOB.sub("", one.message)) for one in would.refused
    )
    told = [f"{why} ({number(jobs)})" for why, jobs in reasons.most_common(_REASONS_SHOWN)]
    note(f"{jobs_in_words(refused)} refused: {'; '.join(told)}")


def _texts(words: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not sign or not name:
            raise UsageError(f"{word!r} is no new value: write it as in memory=8GB")
        if name in found:
            raise UsageError(f"{name} is given twice")
        found[name] = text
    return found


def _needs_and_priority(texts: Mapping[str, str]) -> tuple[dict[str, Any], int | None]:
    """Return the values of the new needs, and the new priority. Raises UsageError."""
    needs = {name: _value(name, text) for name, text in texts.items() if name != "priority"}
    try:
        need_changes(needs)
    except Invalid as why:
        raise UsageError(str(why)) from None
    text = texts.get("priority")
    if text is None:
        return needs, None
    if not text.isdecimal() or not PRIORITY_MIN <= int(text) <= PRIORITY_MAX:
        raise UsageError(f"priority={text}: expected {PRIORITY_MIN} to {PRIORITY_MAX}")
    return needs, int(text)


def _value(name: str, text: str) -> object:
    """Return the value of a text by the kind of its field."""
    default = _DEFAULTS.get(NAMES.get(name, ""))
    if isinstance(default, tuple):
        return [word for word in text.split(",") if word]
    if isinstance(default, bool):
        return {"true": True, "false": False}.get(text, text)
    return int(text) if isinstance(default, int) and text.isdecimal() else text
