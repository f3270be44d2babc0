"""Rules as data: what reads, what is refused in which words, how a production puts in its own."""

import pytest

from pilotage.central.failover.rules import (
    OF_FAILURES,
    OF_RECOVERY,
    OF_TRANSFORMATIONS,
    BadRules,
    RuleVerb,
    default_rules,
    read_rules,
)
from pilotage.proto.failures import FailureClass
from pilotage.proto.transformation_states import InputState

WRONG = {
    "an unknown key": (
        "failures:\n  - name: a\n    wen: {}\n    then: [{do: retry}]\n",
        "r.yaml:3: failures[0].wen: there is no field 'wen'; did you mean 'when'?",
    ),
    "an unknown class": (
        "failures:\n  - name: a\n    when:\n      class: [payloads]\n    then: [{do: retry}]\n",
        "r.yaml:4: failures[0].when.class[0]: unknown word 'payloads'",
    ),
    "a step that belongs elsewhere": (
        "failures:\n- name: a\n  then:\n  - do: retry\n  - do: flush\n",
        "r.yaml:5: failures[0].then[1].do: unknown step here 'flush': known are",
    ),
    "a budget that is none": (
        "budgets: {infra: 8}\nfailures:\n- name: a\n  then: [{do: retry}]\n"
        "  counts_against: infrra\n",
        "r.yaml:5: failures[0].counts_against: unknown budget 'infrra': did you mean 'infra'?",
    ),
    "growth by nothing": (
        "failures:\n- name: a\n  then:\n  - do: grow_memory\n",
        "r.yaml:4: failures[0].then[0].do: grow_memory needs `factor`",
    ),
    "a ladder that goes down": (
        "failures:\n- name: a\n  then:\n  - {do: grow_memory, factor: 2, ladder_mb: [2, 1]}\n",
        "the rungs must ascend",
    ),
    "a part without a whole": (
        "transformations:\n- name: a\n  when: {above: 0.5}\n  then: [pause]\n",
        "give it together with of_first or of_last",
    ),
    "two of a name": (
        "recovery:\n- {name: a, then: [job_done]}\n- {name: a, then: [job_failed]}\n",
        "r.yaml:3: recovery[1].name: two rules have the name 'a'",
    ),
    "a name of several lines": (
        'failures:\n- {name: "a\\r\\nb\\e[2J", then: [{do: retry}]}\n',
        "failures[0].name: found 'a\\r\\nb\\x1b[2J', expected printable characters",
    ),
    "a reason that moves the cursor": (
        'recovery:\n- {name: a, why: "so\\e[2J", then: [job_done]}\n',
        "recovery[0].why: found 'so\\x1b[2J', expected printable characters",
    ),
    "an end that is none": (
        "failures:\n- name: a\n  when: {how: [wal]}\n  then: [{do: retry}]\n",
        "r.yaml:3: failures[0].when.how[0]: unknown end 'wal': did you mean 'wall'?",
    ),
    "after a rule that is not there": (
        "transformations:\n- {name: a, when: {not_after: [b]}, then: [flush]}\n",
        "no earlier rule has the name 'b'",
    ),
    "no mapping": ("a\n", "r.yaml:1: expected a mapping"),
    "no YAML": ("a: [", "r.yaml:"),
    "an anchor": ("a: &x [*x]", "anchors and aliases are not read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_its_line(case: str) -> None:
    text, said = WRONG[case]

    with pytest.raises(BadRules) as refused:
        read_rules(text, "r.yaml")
    assert said in str(refused.value)


def test_the_default_rules_read_and_leave_no_class_without_a_rule() -> None:
    rules = default_rules()

    named = {one for rule in rules.failures for one in rule.when.classes}
    assert named == set(FailureClass)
    assert not rules.failures[-1].when.classes, "the last one is for all"
    assert not any(rule.dry_run for rule in rules.failures)
    assert not any(rule.dry_run for rule in rules.transformations)
    assert set(OF_FAILURES) | set(OF_TRANSFORMATIONS) | set(OF_RECOVERY) == set(RuleVerb)


def test_a_production_replaces_rules_by_name_and_puts_new_ones_before_all() -> None:
    base = default_rules()
    own = (
        "budgets: {infra: 3, mine: 1}\n"
        "failures:\n"
        "- {name: more time, then: [{do: give_up}], dry_run: true}\n"
        "- {name: new, when: {exit_codes: [77]}, then: [{do: retry}], counts_against: mine}\n"
    )

    rules = read_rules(own, "p.yaml", base=base)

    assert rules.budgets == {**base.budgets, "infra": 3, "mine": 1}
    names = [rule.name for rule in rules.failures]
    assert names == ["new", *(rule.name for rule in base.failures)]
    assert next(rule for rule in rules.failures if rule.name == "more time").dry_run
    assert read_rules("", "p.yaml", base=base) == base


def test_what_is_wrong_is_told_apart_for_rules_that_stand_in_another_text() -> None:
    for text, place in (
        ("failures: [{name: a, then: [{do: flush}]}]", ("failures", 0, "then", 0, "do")),
        ("failures: [{name: a, thn: []}]", ("failures", 0, "thn")),
    ):
        with pytest.raises(BadRules) as found:
            read_rules(text, "r.yaml")

        assert found.value.place == place
        assert str(found.value).endswith(found.value.why)


def test_words_of_release_0_1_in_rules_files_keep_their_meaning() -> None:
    text = """
failures:
- {name: a person has to look, then: [{do: retry}]}
transformations:
- {name: flush what is stuck, then: [flush]}
- {name: later, when: {not_after: [flush what is stuck]}, then: [report]}
recovery:
- {name: odd, when: {inputs: [MaxReset]}, then: [inputs_max_reset]}
"""

    read = read_rules(text.replace("later", "report"), "r.yaml", base=default_rules())

    names = [rule.name for rule in default_rules().failures]
    assert [rule.name for rule in read.failures] == names
    assert read.failures[-1].then[0].do is RuleVerb.RETRY
    (flush,) = [rule for rule in read.transformations if rule.name == "flush a larger rest"]
    assert flush.then == (RuleVerb.FLUSH,) and flush.when.states == ()
    assert read.transformations[-1].when.not_after == ("flush a larger rest",)
    assert read.recovery[0].when.inputs == (InputState.STUCK,)
    assert read.recovery[0].then == (RuleVerb.INPUTS_STUCK,)
