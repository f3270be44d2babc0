"""Unknown commands, unknown options and surplus words: each gets the right word or none."""

import pytest

from pilotage.central.cli.main import build, run
from pilotage.central.cli.mistyped_words import (
    NEIGHBOURS,
    ONLY_SUBMIT,
    OPTIONS,
    mistakes,
    nearest,
)

LINES = {
    "cancel 12": "unknown command 'cancel': did you mean 'kill'?",
    "rm 12": "unknown command 'rm': did you mean 'kill'?",
    "scontrol 12": "unknown command 'scontrol': did you mean 'set'?",
    "queue": "unknown command 'queue': did you mean 'status'?",
    "run x": "unknown command 'run': did you mean 'submit'?",
    "ps": "unknown command 'ps': did you mean 'status'?",
    "list": "unknown command 'list': did you mean 'status'?",
    "top": "unknown command 'top': did you mean 'status'?",
    "sbatch job.sh": "unknown command 'sbatch': did you mean 'submit'?",
    "squeue -u me": "unknown command 'squeue': did you mean 'status'?",
    "scancel 12": "unknown command 'scancel': did you mean 'kill'?",
    "sacct": "unknown command 'sacct': did you mean 'history'?",
    "condor_q": "unknown command 'condor_q': did you mean 'status'?",
    "stat": "unknown command 'stat': did you mean 'status'?",
    "pilot cancel p1": "unknown command 'pilot cancel': did you mean 'pilot kill'?",
    "prod run x": "unknown command 'prod run': did you mean 'prod submit'?",
    "resch 12": "unknown command 'resch': did you mean 'reschedule'?",
    "xyz": "unknown command 'xyz': `pilotage --help` lists the commands",
    "data ccancel": "unknown command 'data ccancel': `pilotage data --help` lists the commands",
    "submit --dependency 3 -- a": "unknown option '--dependency': did you mean '--after'?",
    "submit --mail-user x -- a": "unknown option '--mail-user': `pilotage submit --help` lists",
    "status --sort x": "--sort: unknown column 'x': known are ",
    "wait --since 3": "unknown option '--since': `pilotage wait --help` lists the options",
    "submit --coers 3 -- a": "unknown option '--coers': did you mean '--cores'?",
    "submit --mem=3 -- a": "unknown option '--mem': did you mean '--memory'?",
    "submit a x": "unexpected argument 'x' after 'submit a': a command comes after `--`",
    "show 1 2 3": "unexpected argument '2' after 'show 1': show takes one job",
    "show 2 2": "unexpected argument '2' after 'show 2': show takes one job",
    "logs nine": "'nine' is not a job id: give numbers or ranges, as in 12 20-29",
    "peek 9-11": "JOB: found '9-11', expected the id of one job, as in 12",
    "peek --submission 9": "unknown option '--submission': peek takes one job, as in `pilotage",
    "explain 9-11": "explain takes one job, as in 12; found '9-11'",
    "explain --wait -- a": "unknown option '--wait': explain submits nothing, so leave it out",
    "submit --time 1:00:00 -- a": "unknown option '--time': did you mean '--wall'?",
    "submit --timeouts 9 -- a": "unknown option '--timeouts': did you mean '--timeout'?",
    "status --owner ada": "unknown option '--owner': write --filter owner=…",
    "status --time 3": "unknown option '--time': `pilotage status --help` lists the options",
    "watch 1-2": "SUBMISSION: found '1-2', expected a whole number",
}


@pytest.mark.parametrize("line", LINES)
def test_a_mistyped_word_gets_the_right_one_or_the_help(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 2
    said = capsys.readouterr().err

    assert said.startswith(f"pilotage: {LINES[line]}")
    assert said.count("\n") == 1


def _options(name: str) -> set[str]:
    command = build()[name]
    names = {name for one in command.assemble_argument_collection() for name in one.names}
    return {name for name in names if not name.startswith("--no-")}


def test_options_of_other_systems_lead_to_options_of_a_job() -> None:
    assert set(OPTIONS.values()) <= _options("submit")
    assert not set(OPTIONS) & _options("submit")


def test_what_only_submit_takes_is_known() -> None:
    assert {*ONLY_SUBMIT} == _options("submit") - _options("explain") - {"FILES"}


@pytest.mark.parametrize("name", ["show", "peek", "curve", "explain"])
def test_a_command_of_one_job_takes_no_second_one(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name, "1", "2"]) == 2
    assert capsys.readouterr().err.endswith(f"after '{name} 1': {name} takes one job\n")


@pytest.mark.parametrize("word", ["ps", "list", "top", "jobs"])
def test_words_of_other_systems_lead_to_status(word: str) -> None:
    assert NEIGHBOURS[word] == "status"


def test_a_word_that_is_not_near_is_not_suggested() -> None:
    assert nearest("--since", ["--site", "--patience-s"]) == ""
    assert nearest("--mem", ["--memory-mb", "--module"]) == "--memory-mb"
    assert nearest("kil", ["kill"]) == "kill"
    assert nearest("x", ["ls"]) == ""
    assert [mistakes("stauts", "status"), mistakes("kll", "kill"), mistakes("", "ab")] == [1, 1, 2]
