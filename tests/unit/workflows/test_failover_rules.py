"""Rules of failover that a workflow says, of all of its steps or of one."""

from pathlib import Path
from typing import Any

import pytest

from pilotage.central.errors import Refused
from pilotage.central.failover.decisions import TaskHistory, decide
from pilotage.central.failover.production_rules import rules_for
from pilotage.central.failover.rules import RuleVerb
from pilotage.central.failover.workflow_rules import faults_of_rules, rules_of
from pilotage.central.workflows.errors import BadWorkflow
from pilotage.central.workflows.failover_rules import rules_text
from pilotage.central.workflows.workflow_files import read_workflow
from pilotage.proto.failures import Evidence
from pilotage.proto.messages import How

FLOW = """
workflow: w
failure_rules:
  budgets: {mine: 1}
  failures:
  - {name: of all, when: {exit_codes: [3]}, then: [{do: ignore}], counts_against: mine}
steps:
  a:
    job: {command: [x]}
    failure_rules:
    - {name: of all, when: {exit_codes: [4]}, then: [{do: problematic}]}
  b-{n}:
    for: {n: [1, 2]}
    job: {command: [x]}
    failure_rules: rules.yaml
"""
BESIDE = """
failures:
- {name: again, when: {exit_codes: [4]}, then: [{do: retry}]}
transformations:
- {name: tell, then: [report]}
"""


def written(folder: Path, text: str = FLOW, beside: str = BESIDE) -> Any:
    (folder / "w.yaml").write_text(text)
    (folder / "rules.yaml").write_text(beside)
    return read_workflow(folder / "w.yaml")


def test_rules_hold_for_their_step_before_those_of_all_and_the_default_ones(
    tmp_path: Path,
) -> None:
    workflow = written(tmp_path).workflow
    rules = rules_of(workflow)

    def done(step: str, code: int) -> list[RuleVerb]:
        end = Evidence(how=How.EXITED, exit_code=code)
        return [one.do for one in decide(rules, end, TaskHistory(step=step, inputs=1))]

    assert faults_of_rules(workflow) == []
    assert [done("a", code)[0] for code in (3, 4)] == [RuleVerb.IGNORE, RuleVerb.PROBLEMATIC]
    assert [done(step, 4)[0] for step in ("b-1", "b-2")] == [RuleVerb.RETRY, RuleVerb.RETRY]
    assert done("other", 4)[0] is not RuleVerb.PROBLEMATIC
    assert [one.name for one in rules.transformations[:2]] == ["b-1: tell", "b-2: tell"]


def test_a_workflow_without_rules_has_the_default_ones(tmp_path: Path) -> None:
    workflow = written(tmp_path, "workflow: w\nsteps: {a: {job: {command: [x]}}}").workflow

    assert rules_text(workflow) == ""
    assert rules_of(workflow).failures


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("failures:\n  -", "failure:\n  -", "w.yaml:5: unknown key 'failure'"),
        ("rules.yaml", "rule.yaml", "w.yaml:15: step b-1: failure_rules: "),
        ("    - {name: of all, when", "    - [name: of all, when", ""),
        ("failure_rules: rules.yaml", "failure_rules: 3", "w.yaml:15: step b-1: failure_rules: ex"),
        ("failure_rules: rules.yaml", "failure_rules: [3]", "w.yaml:15: step b-1: failure_rules.f"),
    ],
)
def test_what_are_no_rules_is_told_with_its_line(
    old: str, new: str, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(BadWorkflow) as found:
        written(tmp_path, FLOW.replace(old, new))

    assert expected in found.value.lines[0], found.value.lines


def test_what_is_wrong_with_a_rule_is_told_with_its_line(tmp_path: Path) -> None:
    wrong = written(tmp_path, FLOW.replace("do: problematic", "do: problematc"))
    no_budget = written(tmp_path, FLOW.replace("mine: 1", "thine: 1"))

    for found, line, word in ((wrong, 11, "problematic"), (no_budget, 6, "'mine'")):
        (said,) = found.told(faults_of_rules(found.workflow)).lines
        assert said.startswith(f"{tmp_path}/w.yaml:{line}: ") and word in said, said


BESIDE_AS_LIST = """
- {name: tell, then: [{do: report}]}
- name: again
  then:
  - {do: giveup}
"""


@pytest.mark.parametrize(
    ("beside", "line", "field"),
    [
        (BESIDE.replace("do: retry", "do: giveup"), 3, "failures[0].then[0].do"),
        (BESIDE_AS_LIST.replace("report", "retry"), 5, "failures[1].then[0].do"),
    ],
)
def test_what_is_wrong_in_a_file_beside_is_told_with_the_line_of_that_file(
    beside: str, line: int, field: str, tmp_path: Path
) -> None:
    found = written(tmp_path, beside=beside)

    assert found.told(faults_of_rules(found.workflow)).lines == [
        f"{tmp_path}/rules.yaml:{line}: step b-1: failure_rules.{field}: "
        "unknown word 'giveup': did you mean 'give_up'?"
    ]

    of_all = FLOW.partition("failure_rules:")[0] + "failure_rules: rules.yaml\n"
    found = written(tmp_path, of_all + "steps: {a: {job: {command: [x]}}}\n", beside)
    (told,) = found.told(faults_of_rules(found.workflow)).lines
    assert told.startswith(f"{tmp_path}/rules.yaml:{line}: failure_rules.{field}: ")


@pytest.mark.parametrize(
    ("rule", "line", "said"),
    [
        ("when: {exit_codes: [3], steps: [b-3]}", 6, "unknown step 'b-3': did you mean 'b-"),
        ("when: {exit_codes: [4], steps: [b-1]}", 11, "unknown step 'b-1': known are a"),
    ],
)
def test_a_rule_for_a_step_that_there_is_not_is_told_with_the_nearest_one(
    rule: str, line: int, said: str, tmp_path: Path
) -> None:
    found = written(tmp_path, FLOW.replace(rule.partition(", steps")[0] + "}", rule))

    (told,) = found.told(faults_of_rules(found.workflow)).lines
    assert told.startswith(f"{tmp_path}/w.yaml:{line}: ") and said in told, told


def test_rules_that_are_handed_in_are_for_steps_of_the_workflow(tmp_path: Path) -> None:
    workflow = written(tmp_path, "workflow: w\nsteps: {use: {job: {command: [x]}}}").workflow
    rules = (
        "failures:\n- name: again\n  when: {steps: [use]}\n  then: [{do: retry}]\n"
        "  counts_against: infra\n"
    )

    assert rules_for(workflow, rules) == rules
    with pytest.raises(Refused, match=r"^rules:3: .*unknown step 'usse': did you mean 'use'"):
        rules_for(workflow, rules.replace("[use]", "[usse]"))
