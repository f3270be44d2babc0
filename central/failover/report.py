"""What people are told of failures: one report for each cause and cycle, none when all is quiet.

Pure. A cause is a class of failures in one transformation.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from pilotage.proto.failures import WORDS, Evidence, FailureClass, likeness

from .decide import Decision
from .rules import Do

SHOWN_MAX: Final = 5  # of sites, hosts, jobs and words each
_NOT_SAVED: Final = (Do.GIVE_UP, Do.IGNORE, Do.REPORT)
_PAST: Final[Mapping[Do, str]] = {
    Do.RETRY: "run again",
    Do.GROW_MEMORY: "run again with more memory",
    Do.GROW_TIME: "run again with more time",
    Do.SPLIT: "split into halves",
    Do.BISECT: "split to find a bad input",
    Do.PROBLEMATIC: "its input set Problematic",
    Do.MISSING: "its input set Missing",
    Do.RETRY_UPLOAD: "uploaded again",
    Do.SUSPEND_HOST: "host suspended",
    Do.IGNORE: "ignored",
    Do.GIVE_UP: "left to a person",
    Do.PAUSE: "transformation paused",
    Do.COMPLETE: "transformation completed",
    Do.FLUSH: "flushed",
    Do.REASSIGN: "inputs reassigned",
    Do.REPORT: "reported",
}


class _Values(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Case(_Values, frozen=True):
    """One failed attempt, and what was decided about it."""

    transformation: int
    job: int
    failure: FailureClass
    evidence: Evidence
    decisions: tuple[Decision, ...] = ()


class Standing(_Values, frozen=True):
    """What is left of a transformation."""

    name: str = ""
    state: str = ""
    tasks_open: int = 0
    inputs_unused: int = 0
    inputs_problematic: int = 0
    inputs_given_up: int = 0  # MaxReset


class Line(_Values, frozen=True):
    """How often something was."""

    what: str
    count: int


class Report(_Values, frozen=True):
    """What failed of one cause in one cycle."""

    transformation: int
    name: str
    cycle: int
    failure: FailureClass
    family: str
    meaning: str
    attempts: int
    jobs: int
    examples: tuple[int, ...]  # ids of jobs, the newest first
    sites: tuple[Line, ...]
    hosts: tuple[Line, ...]
    words: tuple[Line, ...]  # what pilots said, alike ones together
    done: tuple[Line, ...]
    only_said: tuple[Line, ...]  # by rules that only try
    saved: int  # failures that a rule repaired: nobody had to
    for_people: int  # that wait for a person
    left: Standing


def reports(
    cases: Iterable[Case], left: Mapping[int, Standing], *, cycle: int, told: Iterable[str] = ()
) -> list[Report]:
    """Return a report for each cause that was not `told` in this cycle; of no failures none."""
    causes: defaultdict[tuple[int, FailureClass], list[Case]] = defaultdict(list)
    for case in cases:
        causes[case.transformation, case.failure].append(case)
    known = set(told)
    return [
        _report(one, failure, some, left.get(one, Standing()), cycle)
        for (one, failure), some in sorted(causes.items(), key=lambda item: item[0])
        if cause_key(one, failure, cycle) not in known
    ]


def cause_key(transformation: int, failure: FailureClass, cycle: int) -> str:
    """Return what is kept of a report that was sent, so that it is sent once."""
    return f"{transformation}/{failure.value}/{cycle}"


def _report(
    transformation: int, failure: FailureClass, cases: Sequence[Case], left: Standing, cycle: int
) -> Report:
    family, meaning = WORDS[failure]
    done = [one for case in cases for one in case.decisions if not one.dry_run]
    said = [one for case in cases for one in case.decisions if one.dry_run]
    jobs = {case.job for case in cases}
    return Report(
        transformation=transformation,
        name=left.name,
        cycle=cycle,
        failure=failure,
        family=family.value,
        meaning=meaning,
        attempts=len(cases),
        jobs=len(jobs),
        examples=tuple(sorted(jobs, reverse=True)[:SHOWN_MAX]),
        sites=_most(case.evidence.site or "-" for case in cases),
        hosts=_most(case.evidence.host or "-" for case in cases),
        words=_most(filter(None, (likeness(case.evidence.detail) for case in cases))),
        done=_most((_done(one) for one in done), most=len(done)),
        only_said=_most((_done(one) for one in said), most=len(said)),
        saved=sum(_is_saved(case) for case in cases),
        for_people=sum(
            any(one.do is Do.GIVE_UP and not one.dry_run for one in case.decisions)
            for case in cases
        ),
        left=left,
    )


def _is_saved(case: Case) -> bool:
    return any(one.do not in _NOT_SAVED and not one.dry_run for one in case.decisions)


def _done(one: Decision) -> str:
    return f"{_PAST.get(one.do, one.do.value)} (rule: {one.rule or 'none'})"


def _most(words: Iterable[str], most: int = SHOWN_MAX) -> tuple[Line, ...]:
    """Return the most frequent first, equal ones in order of the word."""
    counts = sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))
    return tuple(Line(what=what, count=count) for what, count in counts[:most])


# -- as people read it --------------------------------------------------------------------------


def title(report: Report) -> str:
    """Return one line, as for the subject of a mail."""
    where = report.name or f"transformation {report.transformation}"
    return f"{where}: {_counted(report.attempts, 'failure')} of class {report.failure.value}"


def as_text(report: Report) -> str:
    """Return a report as plain text; lines end at 100 characters where words allow it."""
    left = report.left
    lines = [
        title(report),
        "",
        f"What    {_counted(report.attempts, 'attempt')} of {_counted(report.jobs, 'job')}"
        f", such as {', '.join(map(str, report.examples))}",
        f"Why     {report.meaning} (family: {report.family})",
        *(f"        {line.count} x {line.what}" for line in report.words),
        f"Where   {_listed(report.sites)}",
        f"        {_listed(report.hosts)}",
    ]
    lines += _block("Done", report.done) or ["Done    nothing"]
    lines += _block("Tried", report.only_said)
    lines += [
        f"Left    {_counted(left.tasks_open, 'task')} open, "
        f"{_counted(left.inputs_unused, 'input')} unused, {left.inputs_problematic} Problematic, "
        f"{left.inputs_given_up} MaxReset" + (f"; it is {left.state}" if left.state else ""),
        f"Saved   {_counted(report.saved, 'intervention')}; "
        f"{report.for_people or 'none'} wait{'s' if report.for_people == 1 else ''} for a person",
    ]
    return "\n".join(lines) + "\n"


def as_json(report: Report) -> bytes:
    """Return a report as one JSON object."""
    return msgspec.json.encode(report)


def _block(head: str, lines: Sequence[Line]) -> list[str]:
    heads = [head, *[""] * (len(lines) - 1)]
    return [f"{one:<8}{line.count} x {line.what}" for one, line in zip(heads, lines, strict=False)]


def _listed(lines: Sequence[Line]) -> str:
    return ", ".join(f"{line.what} {line.count}" for line in lines) or "-"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
