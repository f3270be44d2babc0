"""Applies the rules to a failure, to a transformation, or to an inconsistent task. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from pilotage.proto.failures import Evidence, FailureClass
from pilotage.proto.job_states import JobState
from pilotage.proto.transformation_states import InputState, TransformationState

from ..jobs.failure_class import classify, signal_of
from .rules import (
    LEASE_OVER,
    FailureRule,
    OutputPresence,
    ParentState,
    RuleSet,
    RuleStep,
    RuleVerb,
    WhenFailed,
    WhenOdd,
    WhenTransformation,
)

WALL_STEP_S: Final = 60
ENDS_A_WAIT: Final = frozenset({RuleVerb.FLUSH, RuleVerb.COMPLETE})


class _Values(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Decision(_Values, frozen=True):
    """One action, and the rule that asks for it."""

    rule: str
    do: RuleVerb
    failure: FailureClass | None = None
    counts_against: str = ""
    memory_mb: int = 0  # to ask for; 0: as before
    wall_s: int = 0
    wait_s: float = 0.0  # before it runs again
    elsewhere: bool = False  # not on the host that failed
    host_s: float = 0.0  # seconds for which the host is avoided or suspended
    dry_run: bool = False  # reported, not done
    why: str = ""


# -- failures -----------------------------------------------------------------------------------


class TaskHistory(_Values, frozen=True):
    """The history of a task, and the limits of its growth. The caller keeps it."""

    seen: Mapping[FailureClass, int] = {}  # failures so far, with this one
    spent: Mapping[str, int] = {}  # by budget
    same_on_hosts: int = 1  # hosts on which it failed in the same way, with this one
    same_times: int = 1  # how often it failed in the same way, with this failure
    none_done: bool = False  # no task of the transformation has succeeded
    inputs: int = 0  # that the task has
    can_be_split: bool = True  # a part of the inputs means the same as all of them
    memory_max_mb: int = 0  # that a site gives to one job; 0: not known
    wall_max_s: int = 0
    step: str = ""  # of a workflow, which the task belongs to


def decide(rules: RuleSet, evidence: Evidence, counters: TaskHistory) -> list[Decision]:
    """Return the decisions about an attempt; none if it did not fail.

    Dry-run rules come first, marked. Then come the steps of the first rule that fits, whose budget
    is not spent, and whose steps are all possible. If no rule is left, the decision is to give up.
    """
    found = classify(evidence)
    if found is None:
        return []
    made: list[Decision] = []
    for rule in rules.failures:
        if not _fits(rule.when, found, evidence, counters):
            continue
        budget = rule.counts_against
        if budget and counters.spent.get(budget, 0) >= rules.budgets[budget]:
            continue
        decisions = [_carried(rule, step, found, evidence, counters) for step in rule.then]
        possible = [one for one in decisions if one is not None]
        if len(possible) < len(decisions):
            continue
        made += possible
        if not rule.dry_run:
            return made
    return [
        *made,
        Decision(rule="", do=RuleVerb.GIVE_UP, failure=found, why="no rule fits this failure"),
    ]


def charged(spent: Mapping[str, int], decisions: Iterable[Decision]) -> dict[str, int]:
    """Return the spent budgets after `decisions`: each rule draws on its budget once."""
    new = dict(spent)
    drawn = {(one.rule, one.counts_against) for one in decisions if not one.dry_run}
    for _, budget in drawn:
        if budget:
            new[budget] = new.get(budget, 0) + 1
    return new


def _fits(when: WhenFailed, found: FailureClass, one: Evidence, counters: TaskHistory) -> bool:
    seen = counters.seen.get(found, 1)
    return (
        (not when.classes or found in when.classes)
        and (not when.how or (LEASE_OVER if one.how is None else one.how.value) in when.how)
        and (not when.signals or signal_of(one) in when.signals)
        and (not when.exit_codes or one.exit_code in when.exit_codes)
        and (not when.says or any(said.lower() in one.detail.lower() for said in when.says))
        and _within(seen, when.seen_from, when.seen_to)
        and counters.same_on_hosts >= when.same_on_hosts
        and counters.same_times >= when.same_times
        and one.host_failed >= when.host_failed
        and _is(when.none_done, counters.none_done)
        and _within(counters.inputs, when.inputs_from, when.inputs_to)
        and (not when.steps or counters.step in when.steps)
    )


def _within(value: int, least: int, most: int | None) -> bool:
    return value >= least and (most is None or value <= most)


def _carried(
    rule: FailureRule, step: RuleStep, found: FailureClass, one: Evidence, counters: TaskHistory
) -> Decision | None:
    """Return a step as a decision; None: it is impossible here."""
    memory_mb = wall_s = 0
    if step.do is RuleVerb.GROW_MEMORY:
        memory_mb = more_memory(one.memory_mb, step, counters.memory_max_mb)
        if memory_mb <= one.memory_mb:
            return None
    if step.do is RuleVerb.GROW_TIME:
        wall_s = _more_time(one.wall_limit_s, step, counters.wall_max_s)
        if wall_s <= one.wall_limit_s:
            return None
    if step.do in (RuleVerb.SPLIT, RuleVerb.BISECT) and not (
        counters.can_be_split and counters.inputs > 1
    ):
        return None
    if step.do is RuleVerb.PROBLEMATIC and counters.inputs != 1:
        return None
    return Decision(
        rule=rule.name,
        do=step.do,
        failure=found,
        counts_against=rule.counts_against,
        memory_mb=memory_mb,
        wall_s=wall_s,
        wait_s=step.wait_s * max(1, counters.seen.get(found, 1)) ** 2,
        elsewhere=step.elsewhere,
        host_s=step.host_s,
        dry_run=rule.dry_run,
        why=rule.why,
    )


def more_memory(memory_mb: int, step: RuleStep, most_mb: int) -> int:
    """Return the next rung at or above the grown memory, at most the largest grant of a site.

    The result may be no more than before: then memory cannot grow.
    """
    if memory_mb <= 0 or step.factor is None:
        return 0
    grown = math.ceil(memory_mb * step.factor)
    rung = next((rung for rung in step.ladder_mb if rung >= grown), grown)
    return min(rung, most_mb) if most_mb else rung


def _more_time(wall_s: float, step: RuleStep, most_s: int) -> int:
    if wall_s <= 0 or step.factor is None:
        return 0
    grown = math.ceil(wall_s * step.factor / WALL_STEP_S) * WALL_STEP_S
    return min(grown, most_s) if most_s else grown


# -- transformations ----------------------------------------------------------------------------


class TransformationFacts(_Values, frozen=True):
    """The facts about a transformation that rules use."""

    type: str = ""  # of its jobs
    state: TransformationState = TransformationState.ACTIVE
    parent: ParentState = ParentState.NONE
    parent_type: str = ""
    inputs: int = 0
    processed: int = 0
    unused: int = 0
    group_size: int = 1
    tasks: int = 0
    tasks_open: int = 0
    failed_inputs: int = 0  # Assigned to tasks whose jobs cannot continue
    quiet: bool = True  # no input has come or come back since the last cycle
    waits: bool = False  # for room, or for missing inputs: then it is neither flushed nor completed
    may_flush: bool = True  # a task may take a group that is not full
    parent_busy: bool = False  # the transformation that makes its inputs has tasks to do
    flushes: int = 0
    reassigns: int = 0  # how often the failed inputs were reassigned: the lowest number
    new_failures: int = 0  # since the last cycle
    first: Sequence[FailureClass | None] = ()  # of its first tasks that ended; None: it succeeded
    last: Sequence[FailureClass | None] = ()  # of its last ones, the newest last
    step: str = ""  # of a workflow, which it carries out


def decide_cycle(rules: RuleSet, facts: TransformationFacts) -> list[Decision]:
    """Return the decisions about a transformation in this cycle."""
    made: list[Decision] = []
    fitted: set[str] = set()
    for rule in rules.transformations:
        failure = _worst(rule.when, facts)
        if not _holds(rule.when, facts, failure, fitted):
            continue
        if facts.waits and not ENDS_A_WAIT.isdisjoint(rule.then):
            continue
        made += [
            Decision(rule=rule.name, do=do, failure=failure, dry_run=rule.dry_run, why=rule.why)
            for do in rule.then
            if do is not RuleVerb.NOTHING
        ]
        if rule.dry_run:
            continue
        fitted.add(rule.name)
        if not rule.go_on:
            break
    return made


def _worst(when: WhenTransformation, facts: TransformationFacts) -> FailureClass | None:
    """Return the class with too many failures; None: no class, or the rule names no limit."""
    if when.above is None:
        return None
    if when.of_first:
        ends, of = facts.first[: when.of_first], when.of_first
    else:
        ends = facts.last[-when.of_last :]
        of = len(ends)
    if len(ends) < when.least:
        return None
    counts = {one: ends.count(one) for one in FailureClass if not when.failed or one in when.failed}
    worst = max(counts, key=counts.__getitem__)
    return worst if counts[worst] > when.above * of else None


def _holds(
    when: WhenTransformation,
    facts: TransformationFacts,
    failure: FailureClass | None,
    fitted: set[str],
) -> bool:
    return (
        (when.above is None or failure is not None)
        and (not when.types or facts.type in when.types)
        and facts.type not in when.not_types
        and (not when.states or facts.state in when.states)
        and (not when.parent or facts.parent in when.parent)
        and (not when.parent_types or facts.parent_type in when.parent_types)
        and _is(when.has_inputs, facts.inputs > 0)
        and _is(when.all_processed, facts.processed == facts.inputs)
        and _is(when.unused, facts.unused > 0)
        and _is(when.less_than_a_group, facts.unused < facts.group_size)
        and _is(when.tasks_over, facts.tasks > 0 and facts.tasks_open == 0)
        and _is(when.failed_inputs, facts.failed_inputs > 0)
        and _is(when.quiet, facts.quiet)
        and _is(when.may_flush, facts.may_flush)
        and _is(when.parent_busy, facts.parent_busy)
        and (when.flushes_below is None or facts.flushes < when.flushes_below)
        and (when.reassigns_below is None or facts.reassigns < when.reassigns_below)
        and _is(when.new_failures, facts.new_failures > 0)
        and not fitted.intersection(when.not_after)
        and (not when.steps or facts.step in when.steps)
    )


def _is(wanted: bool | None, found: bool) -> bool:
    return wanted is None or wanted is found


# -- tasks whose job, outputs and inputs do not agree ---------------------------------------------


class OddTaskState(_Values, frozen=True):
    """A task whose job is over, with the state of its outputs and inputs."""

    job: JobState
    outputs: OutputPresence
    inputs: Sequence[InputState] = ()
    inputs_there: bool = True  # all are in the catalogue
    other_task: bool = False  # another task has had the same inputs
    other_task_did: bool = False  # and all of its outputs exist
    errors_left: bool = True
    lost: bool = False  # all of its missing outputs are Lost, none Removed
    read: bool = False  # another task or job has read one of its outputs, or is reading it
    anew: int = 0  # how often its inputs were processed again: the highest number


def decide_recovery(rules: RuleSet, odd: OddTaskState) -> list[Decision]:
    """Return the actions that make job, outputs and inputs agree; none if they agree."""
    made: list[Decision] = []
    for rule in rules.recovery:
        if not _is_odd(rule.when, odd):
            continue
        made += [
            Decision(rule=rule.name, do=do, dry_run=rule.dry_run, why=rule.why)
            for do in rule.then
            if do is not RuleVerb.NOTHING
        ]
        if not rule.dry_run:
            break
    return made


def _is_odd(when: WhenOdd, odd: OddTaskState) -> bool:
    return (
        (not when.job or odd.job in when.job)
        and (not when.outputs or odd.outputs in when.outputs)
        and _is(when.has_inputs, bool(odd.inputs))
        and (not when.inputs or all(one in when.inputs for one in odd.inputs))
        and (not when.not_inputs or not all(one in when.not_inputs for one in odd.inputs))
        and _is(when.inputs_there, odd.inputs_there)
        and _is(when.other_task, odd.other_task)
        and _is(when.other_task_did, odd.other_task_did)
        and _is(when.errors_left, odd.errors_left)
        and _is(when.lost, odd.lost)
        and _is(when.read, odd.read)
        and (when.anew_below is None or odd.anew < when.anew_below)
    )
