"""The failover rules as data: for failures, for transformations, and for inconsistent tasks.

Rules are ordered, and the first that fits wins. A set of rules is a YAML file. The default rules
ship with the package; a production may put its own rules before them.
"""

import enum
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Annotated, Any, Final, TypeVar, cast

import msgspec
from msgspec import Meta, structs

from pilotage.proto.decoding.complaints import as_json, complaint, steps
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.decoding.patterns import whole
from pilotage.proto.decoding.strict_yaml import NotYaml, YamlPath, line_of, load_strictly
from pilotage.proto.decoding.typed_quantities import convert
from pilotage.proto.failures import FailureClass
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import How
from pilotage.proto.transformation_states import InputState, TransformationState

PACKAGE: Final = "pilotage.central.failover"
DEFAULT_FILE: Final = "default_rules.yaml"
TEXT_MAX: Final = 1_000_000
RULES_MAX: Final = 1_000
LEASE_OVER: Final = "lease_over"
# The names of default rules in release 0.1: rules files that replace or name them keep working.
RENAMED: Final = {
    "a person has to look": "no rule is left",
    "flush what is stuck": "flush a larger rest",
}
# An unknown end from a pilot counts as `other`; an unknown end in a rule is a mistake.
HOWS: Final = frozenset({LEASE_OVER, *(how.value for how in How)})

_Count = Annotated[int, Meta(ge=0, le=1_000_000)]
_Seconds = Annotated[float, Meta(ge=0, le=31_536_000)]
_Part = Annotated[float, Meta(ge=0, le=1)]
_Name = Annotated[str, Meta(min_length=1, max_length=160)]
_BudgetName = Annotated[str, Meta(pattern=whole("[a-z][a-z_]*"), max_length=32)]


class RuleVerb(str, enum.Enum):
    """The actions of rules."""

    # about a failure
    RETRY = "retry"  # run it again unchanged
    GROW_MEMORY = "grow_memory"  # run it again with more memory
    GROW_TIME = "grow_time"
    SPLIT = "split"  # two tasks of half the inputs each
    BISECT = "bisect"  # the same, to find the bad input
    PROBLEMATIC = "problematic"  # its only input is bad: no task takes it any more
    MISSING = "missing"  # the input has no good copy; the other inputs make new groups
    RETRY_UPLOAD = "retry_upload"  # upload its outputs again without running it again
    SUSPEND_HOST = "suspend_host"  # the host gets no jobs for a time
    IGNORE = "ignore"
    GIVE_UP = "give_up"  # its inputs are stuck
    PAUSE = "pause"  # the transformation pauses, its inputs wait without an error; also below
    # about a transformation
    COMPLETE = "complete"
    FLUSH = "flush"
    REASSIGN = "reassign"
    REPORT = "report"
    NOTHING = "nothing"  # do not check the rules below
    # about a task whose job, outputs and inputs do not agree
    JOB_DONE = "job_done"
    JOB_FAILED = "job_failed"
    CLEAN_OUTPUTS = "clean_outputs"
    INPUTS_PROCESSED = "inputs_processed"
    INPUTS_UNUSED = "inputs_unused"
    INPUTS_STUCK = "inputs_stuck"
    INPUTS_REMOVED = "inputs_removed"
    TELL = "tell"  # report it once

    @classmethod
    def _missing_(cls, value: object) -> "RuleVerb | None":
        """Accept the name that `inputs_stuck` had up to release 0.1: rules files may have it."""
        return cls.INPUTS_STUCK if value == "inputs_max_reset" else None


OF_FAILURES: Final = (
    *(
        RuleVerb.RETRY,
        RuleVerb.GROW_MEMORY,
        RuleVerb.GROW_TIME,
        RuleVerb.SPLIT,
        RuleVerb.BISECT,
        RuleVerb.PROBLEMATIC,
        RuleVerb.MISSING,
    ),
    *(RuleVerb.RETRY_UPLOAD, RuleVerb.SUSPEND_HOST, RuleVerb.IGNORE, RuleVerb.GIVE_UP),
    RuleVerb.PAUSE,
)
OF_TRANSFORMATIONS: Final = (
    *(
        RuleVerb.PAUSE,
        RuleVerb.COMPLETE,
        RuleVerb.FLUSH,
        RuleVerb.REASSIGN,
        RuleVerb.REPORT,
        RuleVerb.NOTHING,
    ),
)
OF_RECOVERY: Final = (
    *(
        RuleVerb.JOB_DONE,
        RuleVerb.JOB_FAILED,
        RuleVerb.CLEAN_OUTPUTS,
        RuleVerb.INPUTS_PROCESSED,
        RuleVerb.INPUTS_UNUSED,
    ),
    *(RuleVerb.INPUTS_STUCK, RuleVerb.INPUTS_REMOVED, RuleVerb.TELL, RuleVerb.NOTHING),
)


class _Entry(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    pass


class RuleStep(_Entry, frozen=True, kw_only=True):
    """One action of a rule about a failure."""

    do: RuleVerb
    elsewhere: bool = False  # not on the host that failed
    wait_s: _Seconds = 0.0  # before the retry, times the square of the number of failures
    host_s: _Seconds = 0.0  # seconds for which the host is avoided or suspended
    factor: Annotated[float, Meta(gt=1, le=100)] | None = None  # by which memory or time grows
    # then up to one of these
    ladder_mb: tuple[Annotated[int, Meta(ge=1, le=100_000_000)], ...] = ()


class WhenFailed(_Entry, frozen=True, kw_only=True):
    """The failures to which a rule applies. An omitted condition always holds."""

    classes: tuple[FailureClass, ...] = msgspec.field(name="class", default=())
    how: tuple[str, ...] = ()  # words of `How`, or lease_over
    signals: tuple[Annotated[int, Meta(ge=1, le=64)], ...] = ()
    exit_codes: tuple[Annotated[int, Meta(ge=0, le=255)], ...] = ()
    says: tuple[
        Annotated[str, Meta(min_length=1, max_length=200)], ...
    ] = ()  # the pilot, in any case
    seen_from: _Count = 0  # number of failures of this class in the task, with this one
    seen_to: _Count | None = None
    same_on_hosts: _Count = 0  # it failed in the same way on at least this many hosts
    same_times: _Count = 0  # it failed in the same way at least this often, with this failure
    host_failed: _Count = 0  # at least this many other jobs failed on the host recently
    none_done: bool | None = None  # no task of the transformation has succeeded
    inputs_from: _Count = 0  # number of inputs of the task
    inputs_to: _Count | None = None
    steps: tuple[str, ...] = ()  # of a workflow, which the tasks belong to


class FailureRule(_Entry, frozen=True, kw_only=True):
    """A rule about failures. It fits only while its budget lasts and its steps are possible."""

    name: _Name
    when: WhenFailed = WhenFailed()
    then: Annotated[tuple[RuleStep, ...], Meta(min_length=1, max_length=8)]
    counts_against: str = ""  # a budget; empty: nothing
    dry_run: bool = False  # report the action without doing it, and check the rules below
    why: str = ""  # for readers


class ParentState(str, enum.Enum):
    """The state of the transformation that makes the inputs."""

    NONE = "none"  # no such transformation
    OPEN = "open"
    DONE = "done"


class WhenTransformation(_Entry, frozen=True, kw_only=True):
    """The transformations to which a rule applies. An omitted condition always holds."""

    types: tuple[str, ...] = ()  # of their jobs
    not_types: tuple[str, ...] = ()
    states: tuple[TransformationState, ...] = ()
    parent: tuple[ParentState, ...] = ()
    parent_types: tuple[str, ...] = ()  # if it has a parent
    has_inputs: bool | None = None
    all_processed: bool | None = None
    unused: bool | None = None  # whether any input is Unused
    less_than_a_group: bool | None = None  # whether less than a group is Unused
    tasks_over: bool | None = None  # it has made tasks, and all have ended
    failed_inputs: bool | None = None  # inputs are Assigned to tasks whose jobs cannot continue
    quiet: bool | None = None  # no input has come or come back since the last cycle
    may_flush: bool | None = None  # a task may take a group that is not full
    parent_busy: bool | None = None  # the transformation that makes its inputs has tasks to do
    flushes_below: _Count | None = None
    reassigns_below: _Count | None = None
    new_failures: bool | None = None  # since the last cycle
    not_after: tuple[str, ...] = ()  # rules that have fitted in this cycle
    failed: tuple[FailureClass, ...] = ()  # failures that count; empty: all
    of_first: _Count = 0  # count among this many first tasks …
    of_last: _Count = 0  # … or the last
    least: _Count = 1  # if at least this many have ended
    above: _Part | None = None  # more than this part failed
    steps: tuple[str, ...] = ()  # of a workflow, which the transformations carry out


class TransformationRule(_Entry, frozen=True, kw_only=True):
    """A rule about transformations, applied in each cycle."""

    name: _Name
    when: WhenTransformation = WhenTransformation()
    then: Annotated[tuple[RuleVerb, ...], Meta(min_length=1, max_length=8)]
    go_on: bool = False  # check the rules below too
    dry_run: bool = False
    why: str = ""


class OutputPresence(str, enum.Enum):
    """The part of a task's outputs that exists."""

    ALL = "all"
    SOME = "some"
    NONE = "none"


class WhenOdd(_Entry, frozen=True, kw_only=True):
    """The tasks to which a rule applies. An omitted condition always holds."""

    job: tuple[JobState, ...] = ()
    outputs: tuple[OutputPresence, ...] = ()
    has_inputs: bool | None = None
    inputs: tuple[InputState, ...] = ()  # all are in one of these
    not_inputs: tuple[InputState, ...] = ()  # not all are in one of these
    inputs_there: bool | None = None  # all of them are in the catalogue
    other_task: bool | None = None  # another task has had the same inputs
    other_task_did: bool | None = None  # and all of its outputs exist
    errors_left: bool | None = None  # the inputs may fail again
    lost: bool | None = None  # all missing outputs are Lost, and none was removed on purpose
    read: bool | None = None  # another task or job has read one of its outputs, or is reading it
    anew_below: _Count | None = None  # each of its inputs was processed again less often


class RecoveryRule(_Entry, frozen=True, kw_only=True):
    """A rule that makes job, outputs and inputs of a task agree again."""

    name: _Name
    when: WhenOdd = WhenOdd()
    then: Annotated[tuple[RuleVerb, ...], Meta(min_length=1, max_length=8)]
    dry_run: bool = False
    why: str = ""


class RuleSet(_Entry, frozen=True, kw_only=True):
    """A set of rules, and how often one task may draw on each budget."""

    budgets: dict[_BudgetName, _Count] = {}
    failures: Annotated[tuple[FailureRule, ...], Meta(max_length=RULES_MAX)] = ()
    transformations: Annotated[tuple[TransformationRule, ...], Meta(max_length=RULES_MAX)] = ()
    recovery: Annotated[tuple[RecoveryRule, ...], Meta(max_length=RULES_MAX)] = ()


Rule = FailureRule | TransformationRule | RecoveryRule
R = TypeVar("R", bound=FailureRule | TransformationRule | RecoveryRule)


class BadRules(ValueError):
    """Unreadable rules. The message has the file, line, field, value and the right form.

    `place` and `why` are the field and its fault, for rules inside another document.
    """

    def __init__(self, message: str, place: YamlPath = (), why: str = "") -> None:
        super().__init__(message)
        self.place, self.why = place, why or message


def read_rules(
    text: str,
    where: str,
    *,
    base: RuleSet | None = None,
    workflow_steps: Collection[str] | None = None,
) -> RuleSet:
    """Return the rules in a text; `base` has the rules that follow them. Raises BadRules.

    A bare list has rules about failures. A rule with the name of a rule in `base` replaces it; the
    other rules come before all of `base`. If `workflow_steps` is given, rules may only name these
    steps.
    """
    if len(text) > TEXT_MAX:
        raise BadRules(f"{where}: the rules are longer than {TEXT_MAX} characters")
    try:
        read: Any = load_strictly(text)
    except NotYaml as why:
        raise BadRules(f"{_at(where, why.line)}: {why.why}") from None
    found = cast(Any, {"failures": read} if isinstance(read, list) else read)
    try:
        own = convert({} if found is None else found, RuleSet)
    except RecursionError:
        raise BadRules(f"{where}: an alias in the YAML contains itself") from None
    except msgspec.ValidationError as why:
        mistake = complaint(why, RuleSet, as_json(found))
        path = mistake.path.removeprefix("$").removeprefix(".")
        place = tuple(int(one) if one.isdigit() else one for one in steps(mistake.path))
        said = f"{path}: {mistake.message}" if path else mistake.message
        message = f"{_at(where, line_of(text, place))}: {said}"
        raise BadRules(message, place, mistake.message) from None
    own = own if base is None else _with_new_names(own)
    made = own if base is None else joined(own, base)
    for place, said in chain(_faults(own, made.budgets), _faults_of_steps(own, workflow_steps)):
        message = f"{_at(where, line_of(text, place))}: {_shown(place)}: {said}"
        raise BadRules(message, place, said)
    return made


@cache
def default_rules() -> RuleSet:
    """Return the rules that ship with the package; read them once."""
    text = files(PACKAGE).joinpath(DEFAULT_FILE).read_text(encoding="utf-8")
    return read_rules(text, DEFAULT_FILE)


def joined(own: RuleSet, base: RuleSet) -> RuleSet:
    """Return both sets: new rules of `own` first, others in place of their namesake in `base`."""
    return RuleSet(
        budgets={**base.budgets, **own.budgets},
        failures=_before(own.failures, base.failures),
        transformations=_before(own.transformations, base.transformations),
        recovery=_before(own.recovery, base.recovery),
    )


def _with_new_names(own: RuleSet) -> RuleSet:
    """Return rules with today's names of default rules."""
    failures = [structs.replace(one, name=RENAMED.get(one.name, one.name)) for one in own.failures]
    transformations = [
        structs.replace(
            one,
            name=RENAMED.get(one.name, one.name),
            when=structs.replace(
                one.when,
                not_after=tuple(RENAMED.get(name, name) for name in one.when.not_after),
            ),
        )
        for one in own.transformations
    ]
    return structs.replace(own, failures=tuple(failures), transformations=tuple(transformations))


def _before(own: Sequence[R], base: Sequence[R]) -> tuple[R, ...]:
    known = {rule.name for rule in base}
    mine = {rule.name: rule for rule in own}
    new = [rule for rule in own if rule.name not in known]
    return (*new, *(mine.get(rule.name, rule) for rule in base))


# -- checks beyond the types ---------------------------------------------------------------------


def _faults(own: RuleSet, budgets: Iterable[str]) -> Iterable[tuple[YamlPath, str]]:
    kinds: tuple[tuple[str, Sequence[Rule]], ...] = (
        ("failures", own.failures),
        ("transformations", own.transformations),
        ("recovery", own.recovery),
    )
    for kind, rules in kinds:
        seen: set[str] = set()
        for number, rule in enumerate(rules):
            if rule.name in seen:
                yield (kind, number, "name"), f"two rules have the name {rule.name!r}"
            if not rule.name.isprintable():  # mails and terminals show it in one line
                yield (kind, number, "name"), f"found {rule.name!r}, expected printable characters"
            if not rule.why.replace("\n", " ").isprintable():
                yield (kind, number, "why"), f"found {rule.why!r}, expected printable characters"
            seen.add(rule.name)
    for number, rule in enumerate(own.failures):
        yield from _faults_of_failure(rule, ("failures", number), set(budgets))
    yield from _strange("transformations", own.transformations, OF_TRANSFORMATIONS)
    yield from _strange("recovery", own.recovery, OF_RECOVERY)
    for number, one in enumerate(own.transformations):
        when, place = one.when, ("transformations", number, "when")
        if when.of_first and when.of_last:
            yield (*place, "of_last"), "found together with of_first; give only one of them"
        if (when.above is None) != (not when.of_first and not when.of_last):
            yield (*place, "above"), "give it together with of_first or of_last"
        for name in when.not_after:
            if name not in {rule.name for rule in own.transformations[:number]}:
                yield (*place, "not_after"), f"no earlier rule has the name {name!r}"


def _faults_of_steps(own: RuleSet, known: Collection[str] | None) -> Iterable[tuple[YamlPath, str]]:
    """Yield the steps that rules name and the workflow does not have: such a rule never fits."""
    kinds: tuple[tuple[str, Sequence[FailureRule | TransformationRule]], ...] = (
        ("failures", own.failures),
        ("transformations", own.transformations),
    )
    for kind, rules in kinds if known is not None else ():
        for number, rule in enumerate(rules):
            for nth, step in enumerate(rule.when.steps):
                if step not in (known or ()):
                    place = (kind, number, "when", "steps", nth)
                    yield place, unknown(step, known or (), what="step")


def _faults_of_failure(
    rule: FailureRule, at: YamlPath, budgets: set[str]
) -> Iterable[tuple[YamlPath, str]]:
    if rule.counts_against and rule.counts_against not in budgets:
        yield (*at, "counts_against"), unknown(rule.counts_against, budgets, what="budget")
    for number, how in enumerate(rule.when.how):
        if how not in HOWS:
            yield (*at, "when", "how", number), unknown(how, HOWS, what="end")
    for number, step in enumerate(rule.then):
        place = (*at, "then", number)
        if step.do not in OF_FAILURES:
            text = unknown(step.do.value, [do.value for do in OF_FAILURES], what="step here")
            yield (*place, "do"), text
        grows = step.do in (RuleVerb.GROW_MEMORY, RuleVerb.GROW_TIME)
        if grows and step.factor is None:
            yield (*place, "do"), f"{step.do.value} needs `factor`, the factor of the growth"
        if step.factor is not None and not grows:
            yield (*place, "factor"), f"{step.do.value} takes no factor"
        if step.ladder_mb and step.do is not RuleVerb.GROW_MEMORY:
            yield (*place, "ladder_mb"), "only grow_memory takes a ladder"
        if list(step.ladder_mb) != sorted(set(step.ladder_mb)):
            yield (*place, "ladder_mb"), "the rungs must ascend"
        if step.do is RuleVerb.SUSPEND_HOST and not step.host_s:
            yield (*place, "do"), "suspend_host needs `host_s`, the seconds of the suspension"


def _strange(
    kind: str, rules: Sequence[TransformationRule | RecoveryRule], known: Sequence[RuleVerb]
) -> Iterable[tuple[YamlPath, str]]:
    for number, rule in enumerate(rules):
        for step, do in enumerate(rule.then):
            if do not in known:
                text = unknown(do.value, [one.value for one in known], what="step here")
                yield (kind, number, "then", step), text


def _at(where: str, line: int | None) -> str:
    return where if line is None else f"{where}:{line}"


def _shown(place: YamlPath) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".")
