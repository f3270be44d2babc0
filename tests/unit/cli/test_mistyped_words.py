"""Unknown commands, unknown options and surplus words: each gets the right word or none."""

import pytest

from pilotage.central.cli.main import run
from pilotage.central.cli.mistyped_words import NEIGHBOURS, mistakes, nearest

LINES = {
    "cancel 12": "unknown command 'cancel': did you mean 'kill'?",
    "rm 12": "unknown command 'rm': did you mean 'kill'?",
    "retry 12": "unknown command 'retry': did you mean 'reschedule'?",
    "queue": "unknown command 'queue': did you mean 'status'?",
    "run x": "unknown command 'run': did you mean 'submit'?",
    "stat": "unknown command 'stat': did you mean 'status'?",
    "pilot cancel p1": "unknown command 'pilot cancel': did you mean 'pilot kill'?",
    "prod run x": "unknown command 'prod run': did you mean 'prod submit'?",
    "resch 12": "unknown command 'resch': did you mean 'reschedule'?",
    "xyz": "unknown command 'xyz': `pilotage --help` lists the commands",
    "data ccancel": "unknown command 'data ccancel': `pilotage data --help` lists the commands",
    "submit --after 3 -- a": "unknown option '--after': `pilotage submit --help` lists the options",
    "submit --mail-user x -- a": "unknown option '--mail-user': `pilotage submit --help` lists",
    "status --sort x": "unknown option '--sort': `pilotage status --help` lists the options",
    "wait --since 3": "unknown option '--since': `pilotage wait --help` lists the options",
    "submit --coers 3 -- a": "unknown option '--coers': did you mean '--cores'?",
    "submit --memory=3 -- a": "unknown option '--memory': did you mean '--memory-mb'?",
    "submit a x": "unexpected argument 'x' after 'submit a': a command comes after `--`",
    "show 1 2 3": "unexpected argument '2' after 'show 1'",
    "show 2 2": "unexpected argument '2' after 'show 2'",
}


@pytest.mark.parametrize("line", LINES)
def test_a_mistyped_word_gets_the_right_one_or_the_help(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 2
    said = capsys.readouterr().err

    assert said.startswith(f"pilotage: {LINES[line]}")
    assert said.count("\n") == 1


@pytest.mark.parametrize("word", ["ps", "list", "top", "jobs"])
def test_words_of_other_systems_lead_to_status(word: str) -> None:
    assert NEIGHBOURS[word] == "status"


def test_a_word_that_is_not_near_is_not_suggested() -> None:
    assert nearest("--since", ["--site", "--patience-s"]) == ""
    assert nearest("--mem", ["--memory-mb", "--module"]) == "--memory-mb"
    assert nearest("kil", ["kill"]) == "kill"
    assert nearest("x", ["ls"]) == ""
    assert [mistakes("stauts", "status"), mistakes("kll", "kill"), mistakes("", "ab")] == [1, 1, 2]
