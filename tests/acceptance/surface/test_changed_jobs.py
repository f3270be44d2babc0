"""Waiting, held and failed jobs are changed, at the command line and in Python."""

import io
import sys
from pathlib import Path

import pytest

from pilotage.proto.job_states import JobState

from ..faces.conftest import Site
from ..faces.test_command_line import Shell


@pytest.fixture
def shell(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("PILOTAGE_DATA", str(site.data))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return Shell()


def test_jobs_that_ask_for_too_much_are_changed_and_run(shell: Shell, site: Site) -> None:
    told = "echo $PILOTAGE_MEMORY_MB {index}"
    words = ("--array", "3", "--memory", "64GB", "--", "sh", "-c", told)
    (submitted,) = shell.ask("submit", *words)
    first, number = submitted["ids"][0]["first"], str(submitted["submission"])
    some = f"{first}-{first + 3}"

    shell.type("set", some, "memory=300MB", "wall=10m", code=2)
    assert "1 job refused: there is no such job (1)" in shell.said
    assert f"Set memory=300MB wall=10m for 3 jobs (ids {some})?" in shell.said
    shell.type("set", some, "memory=8000", code=2)
    assert "memory: found 8000, expected a size such as 4GB; 8000 MB is 8GB" in shell.said
    shell.type("set", some, "memroy=8GB", code=2)
    assert "did you mean 'memory" in shell.said

    shell.type("set", str(first), "memory=32GB", "priority=7")
    assert shell.ask("set", "--submission", number, "memory=200GB", "--yes")[0]["done"] == 3
    assert shell.ask("set", "--submission", number, "memory=x0.0015", "--yes")[0]["done"] == 3
    (shown,) = shell.ask("show", str(first))
    assert (shown["job"]["needs"][0]["memory_mb"], shown["view"]["priority"]) == (300, 7)
    shell.type("wait", "--submission", number)
    assert shell.type("logs", str(first + 2)) == "300 3\n"


def test_failed_jobs_run_again_with_more(shell: Shell, site: Site) -> None:
    enough = 'test "$PILOTAGE_MEMORY_MB" -ge 400'
    words = ("--array", "2", "--memory", "200MB", "--wait", "--", "sh", "-c", enough + " # {index}")
    submitted = shell.ask("submit", *words, code=1)[0]
    number = str(submitted["submission"])

    shell.type("retry", "--submission", number, "--memory", "x2", code=2)
    assert "Retry memory=x2 for 2 jobs (" in shell.said
    assert shell.ask("retry", "--submission", number, "--memory", "x2", "-y")[0]["done"] == 2
    assert shell.ask("wait", "--submission", number) == [{"states": {"Done": 2}}]


def test_more_than_one_job_is_changed_only_after_a_question(shell: Shell) -> None:
    (submitted,) = shell.ask("submit", "--array", "2", "--cores", "64", "--", "true")
    first = submitted["ids"][0]["first"]
    both = f"{first}-{first + 1}"

    for command in ("hold", "kill"):
        shell.type(command, both, code=2)
        assert f"{command.capitalize()} 2 jobs ({both})?" in shell.said
        assert "confirm with --yes" in shell.said
    assert shell.ask("kill", both, "--yes")[0]["done"] == 2


def test_python_changes_jobs(site: Site) -> None:
    from pilotage import Job, Need

    handle = site.client.submit(Job(command=("true",), needs=(Need(memory_mb=64_000),)))
    assert handle.set({"memory": "x0.001", "sites": ["PIC", "CNAF"]}, priority=8).done == 1
    (job,) = handle.handles()
    found = job.detail()
    assert found.job is not None
    assert (found.job.needs[0].memory_mb, found.job.needs[0].sites) == (64, ("CNAF", "PIC"))
    assert found.view.priority == 8
    assert handle.wait(60.0) == {JobState.DONE: 1}
    assert handle.retry({"wall": "2h"}).refused[0].code == "illegal_state"
