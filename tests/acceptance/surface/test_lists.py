"""Lists of jobs with chosen columns, in a chosen order, and of the jobs that have ended."""

import io
import sys
from pathlib import Path

import pytest

from ..faces.conftest import SITE, Site
from ..faces.test_command_line import Shell


@pytest.fixture
def shell(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("PILOTAGE_DATA", str(site.data))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return Shell()


def test_ended_jobs_are_listed_with_what_they_used(shell: Shell) -> None:
    busy = "import time\nwhile time.process_time() < {index} / 3: pass"
    words = ("--array", "1-2", "--wait", "--", sys.executable, "-c", busy)
    submitted = shell.ask("submit", *words)[0]
    first, number = submitted["ids"][0]["first"], str(submitted["submission"])
    shell.type("submit", "--cores", "64", "--", "true")

    ended = shell.ask("history", "--submission", number, "--sort=-cpu")
    assert [one["id"] for one in ended] == [first + 1, first]
    assert ended[0]["cpu_s"] > ended[1]["cpu_s"] > 0.2
    assert ended[0]["run_s"] >= 0.6 and ended[0]["memory_peak_mb"] > 1
    assert (ended[0]["site"], ended[0]["cores"]) == (SITE, 1) and ended[0]["host"]
    printed = shell.type("history", "--columns", "id,state,cpu,efficiency,host", "--limit", "1")
    assert printed.splitlines()[0].split() == ["id", "state", "cpu", "efficiency", "host"]
    assert len(printed.splitlines()) == 2
    assert "there are more jobs: show them with --after" in shell.said
    assert "matched" in shell.type("history", str(first)), "the events of one job, as before"


def test_a_list_since_a_time_has_unfinished_and_ended_jobs(shell: Shell) -> None:
    (submitted,) = shell.ask("submit", "--array", "2", "--cores", "64", "--", "true")
    first, number = submitted["ids"][0]["first"], str(submitted["submission"])
    shell.type("kill", str(first))

    def since(text: str) -> list[int]:
        return [one["id"] for one in shell.ask("status", "--submission", number, "--since", text)]

    assert since("1h") == [first, first + 1]
    assert since("2999-01-01T00:00Z") == [first + 1], "it has not ended"
    assert shell.ask("history", "--submission", number, "--since", "2999-01-01") == []
    shell.type("status", "--sort", "colour", code=2)
    assert "--sort: unknown column 'colour'" in shell.said
