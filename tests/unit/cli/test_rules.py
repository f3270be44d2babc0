"""`pilotage failures rules`: what reads, and what rules would say of a failure."""

from pathlib import Path

import pytest

from pilotage.central.cli.main import run


def written(folder: Path, text: str, name: str = "rules.yaml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


OWN = (
    "failures:\n"
    "- {name: mine, when: {exit_codes: [77], steps: [dl1]}, then: [{do: retry, wait_s: 30}]}\n"
    "- {name: more time, when: {class: [limit.time]}, then: [{do: give_up}], dry_run: true}\n"
)


def test_check_says_which_rules_are_new_and_which_default_ones_are_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, OWN)

    assert run(["failures", "rules", "check", file]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "failures: mine: before the default rules",
        "failures: more time: replaces the default rule, as a dry run",
        f"{file}: no mistakes",
    ]


def test_check_names_the_line_of_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, "failures:\n- name: a\n  then:\n  - do: retyr\n")

    assert run(["failures", "rules", "check", file]) == 1
    assert f"{file}:4: failures[0].then[0].do" in capsys.readouterr().err
    assert run(["failures", "rules", "check", str(tmp_path / "none")]) == 2


def test_a_bare_list_is_the_rules_about_failures_as_in_a_workflow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, "- name: a\n  then:\n  - do: retry\n")
    assert run(["failures", "rules", "check", file]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "failures: a: before the default rules"

    wrong = written(tmp_path, "- name: a\n  then:\n  - do: giveup\n")
    assert run(["failures", "rules", "check", wrong]) == 1
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith(
            f"{wrong}:3: failures[0].then[0].do: unknown word 'giveup': did you mean 'give_up'?"
        )
    )


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        ('{"how": "exited", "exitcode": 3}', "unknown key 'exitcode': did you mean 'exit_code'?"),
        ('{"how": "exited", "exit_code": "3"}', "exit_code: expected a whole number"),
        ('{"how": "exit"}', "how: unknown word 'exit': did you mean 'exited'?"),
        ("[]", "expected a mapping"),
        ("{", "one.json: "),
    ],
)
def test_evidence_that_does_not_read_is_refused_with_the_nearest_word(
    evidence: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, one = written(tmp_path, OWN), written(tmp_path, evidence, "one.json")

    assert run(["failures", "rules", "test", rules, "--evidence", one]) == 2
    assert said in capsys.readouterr().err


TOLD = {
    '{"how": "exited", "exit_code": 77}': "payload: retry (after 30 s): mine",
    '{"how": "memory", "memory_mb": 2000}': "limit.memory: grow_memory (3000 MB): more memory",
    '{"how": "exited", "exit_code": 127}': "config: retry (at another host): cannot run here",
    '{"how": "exited", "exit_code": 0, "succeeded": true}': "not a failure",
}


@pytest.mark.parametrize("evidence", TOLD)
def test_a_failure_is_told_with_what_would_be_decided(
    evidence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, one = written(tmp_path, OWN), written(tmp_path, evidence, "one.json")

    assert run(["failures", "rules", "test", rules, "--evidence", one, "--step", "dl1"]) == 0
    assert capsys.readouterr().out.splitlines() == [TOLD[evidence]]


def test_what_a_rule_only_tries_stands_before_what_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = written(tmp_path, OWN)
    one = written(tmp_path, '{"how": "wall", "wall_limit_s": 600}', "one.json")

    assert run(["failures", "rules", "test", rules, "--evidence", one]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "limit.time: would have: give_up: more time"
    assert second.startswith("limit.time: split"), second
