"""Reports about failures: one for each cause and cycle, none if nothing happened. Pure.

A cause is a class of failures in one transformation, or an action on the whole transformation.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from pilotage.proto.failures import WORDS, Evidence, FailureClass, likeness

from .decisions import Decision
from .rules import OF_RECOVERY, RuleVerb

NOTHING: Final[Mapping[int, Sequence[Decision]]] = {}
_CLASSES: Final = frozenset(one.value for one in FailureClass)
LINE_MAX: Final = 200  # characters of standard error
NO_WORDS: Final[Mapping[int, str]] = {}
SHOWN_MAX: Final = 5  # of sites, hosts, jobs and messages each
_NOT_SAVED: Final = (
    *(RuleVerb.GIVE_UP, RuleVerb.IGNORE, RuleVerb.REPORT, RuleVerb.PAUSE, RuleVerb.TELL),
    *(
        RuleVerb.JOB_FAILED,
        RuleVerb.JOB_DONE,
        RuleVerb.CLEAN_OUTPUTS,
    ),  # the actions on the inputs count
)
_FOR_PEOPLE: Final = (RuleVerb.GIVE_UP, RuleVerb.PAUSE, RuleVerb.TELL)
RECOVERY: Final = "recovery"  # cause of reports about tasks that did not agree with their files
_PAST: Final[Mapping[RuleVerb, str]] = {
    RuleVerb.RETRY: "run again",
    RuleVerb.GROW_MEMORY: "run again with more memory",
    RuleVerb.GROW_TIME: "run again with more time",
    RuleVerb.SPLIT: "split into halves",
    RuleVerb.BISECT: "split to find a bad input",
    RuleVerb.PROBLEMATIC: "its input set Problematic",
    RuleVerb.MISSING: "its input set Missing",
    RuleVerb.RETRY_UPLOAD: "uploaded again",
    RuleVerb.SUSPEND_HOST: "host suspended",
    RuleVerb.IGNORE: "ignored",
    RuleVerb.GIVE_UP: "inputs stuck",
    RuleVerb.PAUSE: "transformation paused",
    RuleVerb.COMPLETE: "transformation completed",
    RuleVerb.FLUSH: "flushed",
    RuleVerb.REASSIGN: "inputs reassigned",
    RuleVerb.REPORT: "reported",
    RuleVerb.JOB_DONE: "task set Done: its outputs exist",
    RuleVerb.JOB_FAILED: "task set Failed: its outputs are missing",
    RuleVerb.CLEAN_OUTPUTS: "remaining outputs of a task removed",
    RuleVerb.TELL: "task that does not agree with its outputs reported only",
    RuleVerb.INPUTS_PROCESSED: "inputs set Processed",
    RuleVerb.INPUTS_UNUSED: "inputs set Unused",
    RuleVerb.INPUTS_STUCK: "inputs set Stuck",
    RuleVerb.INPUTS_REMOVED: "inputs set Missing",
}


class _Values(msgspec.Struct, frozen=True, kw_only=True):
    pass


class FailureCase(_Values, frozen=True):
    """One failed attempt, and the decisions about it."""

    transformation: int
    job: int
    failure: FailureClass
    evidence: Evidence
    decisions: tuple[Decision, ...] = ()


class RemainingWork(_Values, frozen=True):
    """The remaining work of a transformation."""

    name: str = ""
    state: str = ""
    tasks_open: int = 0
    inputs_unused: int = 0
    inputs_problematic: int = 0
    inputs_given_up: int = 0  # Stuck; stored reports have this name


class CountedLine(_Values, frozen=True):
    """A text, and how often it occurred."""

    what: str
    count: int


class FailoverReport(_Values, frozen=True):
    """The failures of one cause in one cycle, or the actions on a transformation."""

    transformation: int
    name: str
    cycle: int
    cause: str  # a class of failures, or an action in `RuleVerb`
    failure: FailureClass | None
    family: str
    meaning: str
    attempts: int
    jobs: int
    examples: tuple[int, ...]  # ids of jobs, newest first
    sites: tuple[CountedLine, ...]
    hosts: tuple[CountedLine, ...]
    words: tuple[CountedLine, ...]  # messages of pilots, similar ones together
    done: tuple[CountedLine, ...]
    only_said: tuple[CountedLine, ...]  # by dry-run rules
    saved: int  # failures that a rule handled, of jobs that are not stuck
    for_people: int  # stuck failures; stored reports have this name
    left: RemainingWork
    stderr: str = ""  # the last line of standard error of the first example


def reports(
    cases: Iterable[FailureCase],
    left: Mapping[int, RemainingWork],
    *,
    cycle: int,
    acted: Mapping[int, Sequence[Decision]] = NOTHING,
    stderr: Mapping[int, str] = NO_WORDS,
) -> list[FailoverReport]:
    """Return a report for each cause; no reports without failures and actions.

    `acted` has the actions on transformations, dry runs included. `stderr` has the last line of
    standard error by job, if it was read.
    """
    causes: defaultdict[tuple[int, str], list[FailureCase]] = defaultdict(list)
    for case in cases:
        causes[case.transformation, case.failure.value].append(case)
    of_all: defaultdict[tuple[int, str], list[Decision]] = defaultdict(list)
    for transformation, decisions in acted.items():
        for made in decisions:
            if made.do is not RuleVerb.REPORT:
                of_all[transformation, _cause(made)].append(made)
    stuck = {case.job for of in causes.values() for case in of if _waits(case.decisions)}
    return [
        _report(
            one,
            cause,
            causes[one, cause],
            of_all[one, cause],
            left.get(one, RemainingWork()),
            cycle,
            stuck=stuck,
            stderr=stderr,
        )  # fmt: skip
        for one, cause in sorted({*causes, *of_all})
    ]


def _cause(made: Decision) -> str:
    """Return the cause that an action on a transformation or task is reported under."""
    if made.do in OF_RECOVERY:
        return RECOVERY
    return made.do.value if made.failure is None else made.failure.value


def _report(
    transformation: int,
    cause: str,
    cases: Sequence[FailureCase],
    acted: Sequence[Decision],
    left: RemainingWork,
    cycle: int,
    *,
    stuck: Collection[int],
    stderr: Mapping[int, str],
) -> FailoverReport:
    failure = FailureClass(cause) if cause in _CLASSES else None
    decided = [*acted, *(one for case in cases for one in case.decisions)]
    done = [one for one in decided if not one.dry_run]
    said = [one for one in decided if one.dry_run]
    jobs = {case.job for case in cases}
    return FailoverReport(
        transformation=transformation,
        name=left.name,
        cycle=cycle,
        cause=cause,
        failure=failure,
        family=WORDS[failure].family.value if failure is not None else "",
        meaning=WORDS[failure].meaning if failure is not None else acted[0].why,
        attempts=len(cases),
        jobs=len(jobs),
        examples=tuple(sorted(jobs, reverse=True)[:SHOWN_MAX]),
        sites=_most(case.evidence.site or "-" for case in cases),
        hosts=_most(case.evidence.host or "-" for case in cases),
        words=_most(filter(None, (likeness(case.evidence.detail) for case in cases))),
        done=_most((_done(one) for one in done), most=len(done)),
        only_said=_most((_done(one) for one in said), most=len(said)),
        saved=sum(
            _is_saved(some)
            for some in _each([case for case in cases if case.job not in stuck], acted)
        ),
        for_people=sum(_waits(some) for some in _each(cases, acted)),
        left=left,
        stderr=stderr.get(max(jobs), "") if jobs else "",
    )


def _each(cases: Iterable[FailureCase], acted: Iterable[Decision]) -> list[Sequence[Decision]]:
    """Return the decisions about each failure, then each action by itself."""
    return [*(case.decisions for case in cases), *([one] for one in acted)]


def _is_saved(decisions: Sequence[Decision]) -> bool:
    return any(one.do not in _NOT_SAVED and not one.dry_run for one in decisions)


def _waits(decisions: Sequence[Decision]) -> bool:
    return any(one.do in _FOR_PEOPLE and not one.dry_run for one in decisions)


def _done(one: Decision) -> str:
    would = "would have: " if one.dry_run else ""
    return f"{would}{_PAST.get(one.do, one.do.value)} (rule: {one.rule or 'none'})"


def _most(words: Iterable[str], most: int = SHOWN_MAX) -> tuple[CountedLine, ...]:
    """Return the most frequent first, equally frequent ones in alphabetical order."""
    counts = sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))
    return tuple(CountedLine(what=what, count=count) for what, count in counts[:most])


def last_line(stderr: bytes) -> str:
    """Return the last line that is not blank, in printable characters for terminals and mails."""
    for line in reversed(stderr.decode(errors="replace").splitlines()):
        if said := " ".join("".join(c if c.isprintable() else " " for c in line).split()):
            return said[:LINE_MAX]
    return ""


# -- for readers --------------------------------------------------------------------------------


def title(report: FailoverReport) -> str:
    """Return one line, such as the subject of a mail."""
    where = report.name or f"transformation {report.transformation}"
    if report.attempts:
        return f"{where}: {_counted(report.attempts, 'failure')} of class {report.cause}"
    lines = report.done or report.only_said
    return f"{where}: {lines[0].what}" if lines else f"{where}: {report.cause}"


def as_text(report: FailoverReport) -> str:
    """Return a report as plain text."""
    left = report.left
    lines = [title(report), ""]
    if report.attempts:
        lines += [
            f"What    {_counted(report.attempts, 'attempt')} of {_counted(report.jobs, 'job')}"
            f", such as {', '.join(map(str, report.examples))}",
            f"Why     {report.meaning} (family: {report.family})",
            *(f"        {line.count} x {line.what}" for line in report.words),
            f"Where   {_listed(report.sites)}",
            f"        {_listed(report.hosts)}",
            f"Look    pilotage logs {report.examples[0]} --stream stderr",
            *([f"        {report.stderr}"] if report.stderr else []),
        ]
    elif report.meaning:
        lines.append(f"Why     {report.meaning}")
    lines += _block("Done", report.done) or ["Done    nothing"]
    lines += _block("Tried", report.only_said)
    lines += [
        f"Left    {_counted(left.tasks_open, 'task')} open, "
        f"{_counted(left.inputs_unused, 'input')} unused, {left.inputs_problematic} Problematic, "
        f"{left.inputs_given_up} Stuck" + (f"; it is {left.state}" if left.state else ""),
        f"Saved   {_counted(report.saved, 'intervention')}; {report.for_people or 'none'} stuck",
    ]
    return "\n".join(lines) + "\n"


def as_json(report: FailoverReport) -> bytes:
    """Return a report as one JSON object."""
    return msgspec.json.encode(report)


def _block(head: str, lines: Sequence[CountedLine]) -> list[str]:
    heads = [head, *[""] * (len(lines) - 1)]
    return [f"{one:<8}{line.count} x {line.what}" for one, line in zip(heads, lines, strict=False)]


def _listed(lines: Sequence[CountedLine]) -> str:
    return ", ".join(f"{line.what} {line.count}" for line in lines) or "-"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
