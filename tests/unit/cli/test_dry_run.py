"""`submit --dry-run` shows the first and the last job, and submits nothing."""

import json
from pathlib import Path

import pytest

from pilotage.central.cli.main import run

FILE = "template: {command: [fit, '{a}'], inputs: [x]}\nparameters: {a: [1, 2, 3]}\n"


def shown(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, list[list[str]]]:
    assert run(["submit", "--dry-run", "--json", *words]) == 0
    told = json.loads(capsys.readouterr().out)
    return told["count"], [one["command"] for one in told["jobs"]]


def test_a_command_an_array_and_a_file_show_their_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_text(FILE)
    Path("x").touch()
    Path("f.ndjson").write_text('{"command": ["a"]}\n\n{"command": ["b"]}\n')

    assert shown(["--", "echo", "x"], capsys) == (1, [["echo", "x"]])
    assert shown(["--array", "2-8:3", "--", "echo", "{index}"], capsys) == (
        3,
        [["echo", "2"], ["echo", "8"]],
    )
    assert shown(["f.yaml"], capsys) == (3, [["fit", "1"], ["fit", "3"]])
    assert shown(["f.ndjson"], capsys) == (2, [["a"], ["b"]])


def test_words_are_a_job_file_with_its_local_inputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_text(FILE)
    Path("x").touch()

    assert run(["submit", "f.yaml", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith(
        "# 3 jobs, the first one\ncommand:\n- fit\n- '1'\ninputs:\n- path: x\n# 3 jobs"
    )


def test_two_limits_of_running_jobs_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--array", "1-4%2", "--running-max", "1", "--", "true"]
    assert run(["submit", "--dry-run", *words]) == 2
    assert "either %M in --array or --running-max" in capsys.readouterr().err
