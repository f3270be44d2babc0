"""The jobs of a command, chosen by ids or by a filter."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgspec
from cyclopts import Parameter, Token

from pilotage.proto.api.jobs import JobFilter, JobView
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.pilot_states import PilotState

from ...client.waiting.job_ends import UNFINISHED
from ..command_frame import Client
from ..exit_codes import UsageError
from ..options import option

# The text fields of a filter are keys with the same names.
_SINGLE = tuple(one.name for one in msgspec.structs.fields(JobFilter) if one.type is str)
KEYS = ("state", *_SINGLE, "submission", "id", "include_deleted")
_IDS = re.compile(r"^(\d{1,16})(?:-(\d{1,16}))?$")
_RANGE_MAX = 1_000_000
_IDS_A_PAGE = 200  # the URL holds them
State = TypeVar("State", JobState, PilotState)


@Parameter(name="*")
@dataclass(frozen=True)
class JobSelection:
    """Options that choose jobs."""

    state: tuple[str, ...] = option((), "Only jobs in this state. Repeatable.")
    submission: int | None = option(None, "Only jobs of this submission.")
    filter: tuple[str, ...] = option(
        (),
        "Only jobs for which all of these hold: state=Waiting,owner=me,site=PIC. Keys: "
        + ", ".join(KEYS)
        + ".",
    )


WHERE = JobSelection()


def _one_id(_: Any, tokens: Sequence[Token]) -> int:
    """Return the id of one job. Raises ValueError; the command line adds the name."""
    text = tokens[0].value
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"found {text!r}, expected the id of one job, as in 12")
    return int(text)


JobArgument = Annotated[int, Parameter(converter=_one_id)]


def parse_ids(words: tuple[str, ...]) -> tuple[int, ...]:
    """Return the ids in `12 20-29`."""
    ids: list[int] = []
    for word in words:
        match = _IDS.match(word)
        if not match:
            raise UsageError(f"{word!r} is not a job id: give numbers or ranges, as in 12 20-29")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"{word!r} is not a range of job ids: give the smaller one first")
        if last - first >= _RANGE_MAX:
            raise UsageError(f"{word!r} has more than {_RANGE_MAX} ids: give a smaller range")
        ids.extend(range(first, last + 1))
    return tuple(ids)


def is_ids(word: str) -> bool:
    """Return whether the word is an id or a range of ids, as in 12 or 20-29."""
    return _IDS.match(word) is not None


def job_filter(where: JobSelection) -> JobFilter | None:
    """Return the filter from the options; None if there is none."""
    clauses = _clauses(where)
    if not clauses:
        return None
    single = {key: clauses[key][-1] for key in _SINGLE if key in clauses}
    return JobFilter(
        states=tuple(parse_state(JobState, word) for word in clauses.get("state", ())),
        ids=parse_ids(tuple(clauses.get("id", ()))),
        submission=_number(clauses["submission"][-1]) if "submission" in clauses else None,
        include_deleted="include_deleted" in clauses,
        **single,
    )


async def views_of(client: Client, ids: tuple[int, ...]) -> AsyncIterator[JobView]:
    """Yield the jobs with these ids, including deleted ones. Unknown ids are omitted."""
    for start in range(0, len(ids), _IDS_A_PAGE):
        some = JobFilter(ids=ids[start : start + _IDS_A_PAGE], include_deleted=True)
        async for view in client.search(some):
            yield view


async def with_me(client: Client, chosen: JobFilter) -> JobFilter:
    """Return the filter with the name of the caller in place of `owner=me`."""
    if chosen.owner != "me":
        return chosen
    return msgspec.structs.replace(chosen, owner=(await client.whoami()).subject)


def shown(chosen: JobFilter) -> str:
    """Return a filter in words, for people: `name=big, state Waiting`."""
    clauses = [(key, getattr(chosen, key)) for key in _SINGLE]
    parts = [f"{key}={value}" for key, value in clauses if value]
    if chosen.submission is not None:
        parts.append(f"submission={chosen.submission}")
    if chosen.ids:
        parts.append(f"{len(chosen.ids)} ids")
    parts.append(_states_in_words(chosen.states))
    return ", ".join(parts)


def _states_in_words(states: tuple[JobState, ...]) -> str:
    """Return states in words; the states of all unfinished, or of all ended jobs in one word."""
    for whole, word in ((UNFINISHED, "unfinished"), (FINAL, "ended"), (JobState, "any state")):
        if set(states) == set(whole):
            return word
    return "state " + " or ".join(state.value for state in states) if states else "any state"


def parse_state(kind: type[State], word: str) -> State:
    """Return the state of this name. Upper and lower case are equal."""
    names = {state.value.lower(): state for state in kind}
    if word.lower() not in names:
        raise UsageError(unknown(word, (state.value for state in kind), what="state"))
    return names[word.lower()]


def _clauses(where: JobSelection) -> dict[str, list[str]]:
    clauses: dict[str, list[str]] = {}
    for part in (part.strip() for text in where.filter for part in text.split(",")):
        key, sign, value = part.partition("=")
        if key not in KEYS:
            raise UsageError(f"--filter: {unknown(key, KEYS)}")
        if key == "include_deleted" and not sign:
            value = "true"
        if not value:
            raise UsageError(f"--filter: {key} needs a value, as in {key}=…")
        clauses.setdefault(key, []).append(value)
    for state in where.state:
        clauses.setdefault("state", []).append(state)
    if where.submission is not None:
        clauses["submission"] = [str(where.submission)]
    for key in _SINGLE:
        if len(clauses.get(key, ())) > 1:
            raise UsageError(f"--filter: {key} is given twice; only state and id may be repeated")
    return clauses


def _number(word: str) -> int:
    if not word.isdecimal():
        raise UsageError(f"--filter: submission={word}: expected a number")
    return int(word)
