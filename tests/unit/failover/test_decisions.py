"""What the default rules say, as stories, and what holds whatever the rules are."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pilotage.central.failover.decisions import (
    Decision,
    OddTaskState,
    TaskHistory,
    TransformationFacts,
    charged,
    decide,
    decide_cycle,
    decide_recovery,
)
from pilotage.central.failover.rules import (
    OutputPresence,
    ParentState,
    RuleVerb,
    default_rules,
    read_rules,
)
from pilotage.proto.failures import Evidence, FailureClass
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import How
from pilotage.proto.transformation_states import InputState, TransformationState

RULES = default_rules()
ENDS = {
    "lost": Evidence(how=None),
    "software": Evidence(how=How.SOFTWARE),
    "input": Evidence(how=How.INPUT, detail="a:b: disk: time-out"),
    "missing": Evidence(how=How.NO_START, detail="a:b: it is Lost"),
    "memory": Evidence(how=How.MEMORY, memory_mb=2_000),
    "wall": Evidence(how=How.WALL, wall_limit_s=3_600),
    "stalled": Evidence(how=How.STALLED, wall_limit_s=3_600),
    "exit": Evidence(how=How.EXITED, exit_code=1),
    "output": Evidence(how=How.OUTPUT),
    "storage": Evidence(how=How.STORAGE),
    "command": Evidence(how=How.EXITED, exit_code=127),
    "stale": Evidence(how=How.STALE),
    "other": Evidence(how=How.OTHER),
}
# A task that fails so each time: what is done, time after time.
STORIES = {
    "lost": "retry retry retry give_up",
    "software": "retry*8 give_up",
    "input": "retry*8 give_up",
    "missing": "missing missing",
    "memory": "grow_memory grow_memory grow_memory give_up",
    "wall": "grow_time grow_time give_up",
    "stalled": "retry grow_time grow_time give_up",
    "exit": "retry retry give_up",
    "output": "retry retry give_up",
    "storage": "retry*8 give_up",
    "command": "retry retry give_up",
    "stale": "ignore ignore",
    "other": "retry retry give_up",
}


def played(end: Evidence, times: int, **values: Any) -> list[str]:
    """Return what is done when a task fails so time after time, and grows as it is told."""
    spent: dict[str, int] = {}
    done: list[str] = []
    for seen in range(1, times + 1):
        failure = decide(RULES, end, TaskHistory())[0].failure
        assert failure is not None
        counters = TaskHistory(seen={failure: seen}, spent=spent, **values)
        made = decide(RULES, end, counters)
        spent = charged(spent, made)
        done.append("+".join(one.do.value for one in made))
    return done


def spelled(story: str) -> list[str]:
    words: list[str] = []
    for word in story.split():
        what, _, times = word.partition("*")
        words += [what] * int(times or 1)
    return words


@pytest.mark.parametrize("end", STORIES)
def test_a_task_without_inputs_that_fails_alike_each_time(end: str) -> None:
    expected = spelled(STORIES[end])

    if end == "lost":  # the first two cost nothing, then it is taken for the payload's
        expected = ["retry", "retry", "retry", "retry", "give_up"]
    assert played(ENDS[end], len(expected)) == expected


def test_memory_climbs_its_ladder_up_to_what_a_site_gives() -> None:
    given_mb, steps, spent = 1_500, list[int](), dict[str, int]()
    made: list[Decision] = []
    for _ in range(5):
        made = decide(
            RULES,
            Evidence(how=How.MEMORY, memory_mb=given_mb),
            TaskHistory(spent=spent, memory_max_mb=5_000, inputs=4),
        )
        spent = charged(spent, made)
        given_mb = made[0].memory_mb or given_mb
        steps.append(made[0].memory_mb)

    assert steps == [3_000, 5_000, 0, 0, 0]
    assert made[0].do is RuleVerb.SPLIT, "no site gives more: half of the inputs may need less"


def test_memory_that_was_not_asked_for_does_not_grow() -> None:
    made = decide(RULES, Evidence(how=How.MEMORY), TaskHistory())

    assert [one.do for one in made] == [RuleVerb.GIVE_UP]


def test_a_bad_input_is_found_by_halves_and_then_it_alone_is_problematic() -> None:
    on_two = {"same_on_hosts": 2}

    assert played(ENDS["exit"], 1, inputs=8) == ["retry"], "one host alone may be the reason"
    assert played(ENDS["exit"], 1, inputs=8, **on_two) == ["bisect"]
    assert played(ENDS["exit"], 1, inputs=1, **on_two) == ["problematic"]
    assert played(ENDS["exit"], 1, inputs=0, **on_two) == ["give_up"]
    assert played(ENDS["exit"], 3, inputs=8) == ["retry", "retry", "bisect"]
    assert played(ENDS["exit"], 3, inputs=1) == ["retry", "retry", "give_up"], "it is not the input"
    assert played(ENDS["exit"], 1, inputs=8, same_times=3) == ["bisect"], "there is one host only"
    assert played(ENDS["exit"], 1, inputs=1, same_times=3) == ["problematic"]
    assert played(ENDS["other"], 3, inputs=8) == ["retry", "retry", "bisect"]


def test_a_wrong_command_pauses_its_step_and_one_for_one_input_does_not() -> None:
    for end in (ENDS["command"], Evidence(how=How.NO_START, detail="x cannot be started: no x")):
        assert played(end, 2, inputs=3, none_done=True) == ["retry", "pause"]
        assert played(end, 4, inputs=3) == ["retry", "retry", "bisect", "bisect"]
        assert played(end, 4, inputs=1) == ["retry", "retry", "give_up", "give_up"]


def test_a_host_that_fails_everybody_is_suspended() -> None:
    end = Evidence(how=How.SOFTWARE, host="n1", host_failed=2)

    made = decide(RULES, end, TaskHistory())

    assert [(one.do, one.host_s) for one in made] == [
        (RuleVerb.SUSPEND_HOST, 3_600),
        (RuleVerb.RETRY, 3_600),
    ]
    assert charged({}, made) == {"infra": 1}, "a rule draws once, however many steps it has"


def test_a_rule_fits_only_where_all_of_its_steps_can_be() -> None:
    own = """failures:
- {name: halves of more, when: {how: [memory]}, then: [{do: grow_memory, factor: 2}, {do: split}]}
"""
    rules = read_rules(own, "p.yaml", base=RULES)

    halves = decide(rules, ENDS["memory"], TaskHistory(inputs=2))
    alone = decide(rules, ENDS["memory"], TaskHistory(inputs=1))

    assert [one.do for one in halves] == [RuleVerb.GROW_MEMORY, RuleVerb.SPLIT]
    assert {one.rule for one in halves} == {"halves of more"}
    assert "halves of more" not in {one.rule for one in alone}


def test_waits_grow_with_the_square_of_the_tries() -> None:
    waits = [
        decide(RULES, ENDS["input"], TaskHistory(seen={FailureClass.DATA: seen}))[0].wait_s
        for seen in (1, 2, 3)
    ]

    assert waits == [60, 240, 540]


def test_a_rule_that_only_tries_says_so_and_the_next_one_decides() -> None:
    own = "failures:\n- {name: try it, when: {how: [wall]}, then: [{do: give_up}], dry_run: true}\n"
    rules = read_rules(own, "p.yaml", base=RULES)

    made = decide(rules, ENDS["wall"], TaskHistory())

    assert [(one.rule, one.dry_run) for one in made] == [("try it", True), ("more time", False)]
    assert charged({}, made) == {"time": 1}


def test_a_rule_may_ask_for_what_the_pilot_says() -> None:
    own = "failures:\n- {name: quota, when: {says: [Disk quota]}, then: [{do: ignore}]}\n"
    rules = read_rules(own, "p.yaml", base=RULES)

    for detail, rule in (("eos: disk QUOTA is used up", "quota"), ("full", "outputs not stored")):
        made = decide(rules, Evidence(how=How.STORAGE, detail=detail), TaskHistory())
        assert made[0].rule == rule


@given(
    st.sampled_from([None, *How]),
    st.dictionaries(st.sampled_from(sorted(RULES.budgets)), st.integers(0, 9)),
    st.integers(0, 9),
    st.integers(0, 40),
    st.integers(1, 3),
    st.integers(0, 20_000),
)
def test_each_failure_has_one_rule_within_its_budget_and_nothing_goes_on_for_ever(
    how: How | None, spent: Mapping[str, int], seen: int, inputs: int, hosts: int, memory: int
) -> None:
    end = Evidence(how=how, costs=True, memory_mb=memory, wall_limit_s=60)
    everything = dict.fromkeys(FailureClass, seen)
    counters = TaskHistory(
        seen=everything, spent=spent, inputs=inputs, same_on_hosts=hosts, memory_max_mb=8_000
    )

    made = decide(RULES, end, counters)

    assert made and len({one.rule for one in made}) == 1
    assert made == decide(RULES, end, counters)
    for one in made:
        if one.counts_against:
            assert spent.get(one.counts_against, 0) < RULES.budgets[one.counts_against]
        if one.do is RuleVerb.GROW_MEMORY:
            assert memory < one.memory_mb <= 8_000
        if one.do is RuleVerb.RETRY and not one.counts_against:
            assert one.failure is FailureClass.PREEMPTED and seen <= 2


# -- the agent of CTADIRAC: complete, flush, reassign, report -------------------------------------

S = TransformationState
DONE_ALL = TransformationFacts(inputs=10, processed=10, tasks=5)
REST = TransformationFacts(inputs=10, processed=7, unused=3, group_size=5, tasks=2)
AGENT: dict[str, tuple[TransformationFacts, dict[str, Any], str]] = {
    "all is processed, no parent": (DONE_ALL, {}, "complete"),
    "all is processed, the parent is done": (DONE_ALL, {"parent": ParentState.DONE}, "complete"),
    "the parent is at work": (DONE_ALL, {"parent": ParentState.OPEN}, ""),
    "the parent is a simulation": (
        DONE_ALL,
        {"parent": ParentState.OPEN, "parent_type": "MCSimulation"},
        "complete",
    ),
    "a simulation is never completed": (DONE_ALL, {"type": "MCSimulation"}, ""),
    "all is processed, after failures that nobody was told of": (
        DONE_ALL,
        {"parent": ParentState.OPEN, "new_failures": 3},
        "report",
    ),
    "it is completed, after failures that nobody was told of": (
        DONE_ALL,
        {"parent": ParentState.DONE, "parent_type": "MCSimulation", "new_failures": 1},
        "complete report",
    ),
    "a rest smaller than a group": (REST, {}, "flush report"),
    "a rest while the parent is at work": (REST, {"parent": ParentState.OPEN}, ""),
    "a rest that was flushed twice": (REST, {"flushes": 2}, ""),
    "more than a group, and tasks run": (REST, {"unused": 6, "tasks_open": 1}, ""),
    "more than a group, and all tasks are over": (REST, {"unused": 6}, "flush report"),
    "more than a group, and there never was a task": (REST, {"unused": 6, "tasks": 0}, ""),
    "failed inputs": (REST, {"unused": 0, "failed_inputs": 2}, "reassign report"),
    "failed inputs, and failures": (
        REST,
        {"unused": 0, "failed_inputs": 2, "new_failures": 1},
        "reassign report report",
    ),
    "failed inputs when it flushes": (REST, {"failed_inputs": 2}, "flush report"),
    "failed inputs for the third time": (
        REST,
        {"unused": 0, "failed_inputs": 2, "reassigns": 2},
        "",
    ),
    "one that is paused": (REST, {"state": S.PAUSED}, ""),
    "all is processed, and files still come": (DONE_ALL, {"quiet": False}, ""),
    "a rest, and files still come": (REST, {"quiet": False}, ""),
    "all is processed, and it waits for missing inputs": (DONE_ALL, {"waits": True}, ""),
    "a rest, and it waits for missing inputs": (REST, {"waits": True}, ""),
    "more than a group, and it waits for room": (REST, {"unused": 6, "waits": True}, ""),
    "failed inputs, and it waits for room": (
        REST,
        {"failed_inputs": 2, "waits": True},
        "reassign report",
    ),
    "a rest that is no group": (REST, {"may_flush": False}, ""),
    "the parent is a simulation that still makes files": (
        DONE_ALL,
        {"parent": ParentState.OPEN, "parent_type": "MCSimulation", "parent_busy": True},
        "",
    ),
}


def changed(facts: TransformationFacts, values: Mapping[str, Any]) -> TransformationFacts:
    fields = {name: getattr(facts, name) for name in facts.__struct_fields__}
    return TransformationFacts(**{**fields, **values})


@pytest.mark.parametrize("case", AGENT)
def test_complete_flush_reassign_report(case: str) -> None:
    facts, values, expected = AGENT[case]

    made = decide_cycle(RULES, changed(facts, values))

    assert [one.do.value for one in made] == expected.split()


def test_a_wrong_description_pauses_once_half_of_the_first_ten_would_fail() -> None:
    bad, good = FailureClass.CONFIG, None

    five = TransformationFacts(inputs=99, tasks=9, first=(bad, bad, good, bad, bad, bad))
    six = TransformationFacts(inputs=99, tasks=9, first=(bad, bad, good, bad, bad, bad, bad))
    late = TransformationFacts(inputs=99, tasks=99, first=(good,) * 10, last=(bad,) * 30)
    assert decide_cycle(RULES, five) == []
    assert [one.do for one in decide_cycle(RULES, six)] == [RuleVerb.PAUSE, RuleVerb.REPORT]
    assert decide_cycle(RULES, six)[0].failure is bad
    assert decide_cycle(RULES, late) == []


def test_too_many_failures_of_one_class_pause_and_those_of_sites_do_not() -> None:
    def of_last(failure: FailureClass, count: int, of: int) -> list[RuleVerb]:
        ends = (failure,) * count + (None,) * (of - count)
        return [
            one.do
            for one in decide_cycle(RULES, TransformationFacts(inputs=999, tasks=of, last=ends))
        ]

    assert of_last(FailureClass.PAYLOAD, 31, 100) == [RuleVerb.PAUSE, RuleVerb.REPORT]
    assert of_last(FailureClass.PAYLOAD, 30, 100) == []
    assert of_last(FailureClass.PAYLOAD, 15, 19) == [], "too few to judge"
    assert of_last(FailureClass.PREEMPTED, 90, 100) == []
    assert of_last(FailureClass.NODE, 90, 100) == []


# -- job, outputs and inputs of a task ----------------------------------------------------------

# there: in the catalogue; other, did: another task has had the same inputs, has brought all of its
# outputs. Flags: what is gone is Lost, was Read; the inputs may Fail no more; were done Anew twice.
U, A, P, M = InputState.UNUSED, InputState.ASSIGNED, InputState.PROCESSED, InputState.STUCK
#    job     outputs inputs there other did flags what is done
RECOVERY = """
    Failed  all     -      yes   no    no  -     job_done
    Done    none    -      yes   no    no  L     job_failed tell
    Done    none    -      yes   no    no  -     tell
    Done    some    -      yes   no    no  L     tell
    Done    all     -      yes   no    no  -     .
    Failed  none    -      yes   no    no  -     .
    Failed  all     A      yes   no    no  -     job_done inputs_processed
    Failed  all     U      yes   no    no  -     job_done inputs_processed
    Failed  all     M      yes   no    no  -     job_done inputs_processed
    Failed  all     P      yes   no    no  -     job_done
    Done    all     A      yes   no    no  -     inputs_processed
    Done    all     P      yes   no    no  -     .
    Done    all     PA     yes   no    no  -     inputs_processed
    Failed  none    A      yes   no    no  -     inputs_unused
    Failed  none    A      yes   no    no  F     inputs_stuck
    Failed  none    A      no    no    no  -     inputs_unused
    Failed  none    U      yes   no    no  -     .
    Done    none    A      yes   no    no  -     inputs_unused job_failed
    Failed  some    A      yes   no    no  -     clean_outputs inputs_unused
    Failed  some    U      yes   no    no  -     clean_outputs
    Failed  some    U      yes   no    no  R     .
    Done    some    A      yes   no    no  -     clean_outputs inputs_unused job_failed
    Done    some    P      yes   no    no  L     clean_outputs inputs_unused job_failed
    Done    none    P      yes   no    no  L     clean_outputs inputs_unused job_failed
    Done    some    P      yes   no    no  -     tell
    Done    none    P      yes   no    no  -     tell
    Done    some    P      yes   no    no  LR    tell
    Done    some    P      yes   no    no  LA    tell
    Done    some    P      no    no    no  L     tell
    Failed  all     A      yes   yes   no  -     job_done inputs_processed
    Done    none    P      yes   yes   yes -     job_failed
    Failed  none    P      yes   yes   yes -     .
    Failed  some    P      yes   yes   yes -     clean_outputs
    Failed  all     P      yes   yes   yes -     clean_outputs
    Failed  all     P      yes   yes   yes R     tell
    Done    some    P      yes   yes   yes L     clean_outputs job_failed
    Done    some    P      yes   yes   yes -     .
    Done    all     P      yes   yes   yes -     .
"""


@pytest.mark.parametrize("line", RECOVERY.strip().splitlines(), ids=str.strip)
def test_the_table_of_recovery(line: str) -> None:
    job, outputs, inputs, there, other, did, flags, *expected = line.split()
    letters = {"U": U, "A": A, "P": P, "M": M}
    odd = OddTaskState(
        job=JobState(job),
        outputs=OutputPresence(outputs),
        inputs=tuple(letters[one] for one in inputs.replace("-", "")),
        inputs_there=there == "yes",
        other_task=other == "yes",
        other_task_did=did == "yes",
        errors_left="F" not in flags,
        lost="L" in flags,
        read="R" in flags,
        anew=2 if "A" in flags else 0,
    )

    made = [one.do.value for one in decide_recovery(RULES, odd)]
    assert made == [word for word in expected if word != "."]


def test_a_rule_of_some_steps_fits_those_of_a_workflow_alone() -> None:
    text = """
        failures:
        - {name: of one, when: {steps: [merge]}, then: [{do: ignore}]}
        transformations:
        - {name: of one, when: {steps: [merge]}, then: [report]}
    """
    rules = read_rules(text, "r.yaml", base=RULES)

    def of_failure(step: str) -> str:
        return decide(rules, ENDS["exit"], TaskHistory(step=step))[0].rule

    assert (of_failure("merge"), of_failure("simulate") == "of one") == ("of one", False)
    for step, expected in (("merge", ["of one"]), ("simulate", [])):
        assert [one.rule for one in decide_cycle(rules, TransformationFacts(step=step))] == expected
