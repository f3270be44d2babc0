"""Stories told at the command line, against a real central and a real pilot."""

import io
import json
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.cli.main import run

from ..beacons import outside_tmp
from .conftest import SITE, Site


class Shell:
    """Types commands and keeps what they said. They run in this process: it saves their start."""

    said = ""  # on standard error, by the last command

    def type(self, *words: str, code: int = 0) -> str:
        """Run `pilotage WORDS`, expect the exit code, return the standard output."""
        raw, err = io.BytesIO(), io.StringIO()
        out = io.TextIOWrapper(raw, encoding="utf-8")
        with redirect_stdout(out), redirect_stderr(err):
            found = run(words)
        out.flush()
        printed = raw.getvalue().decode()
        self.said = err.getvalue()
        assert found == code, f"{words}: {found}, {printed}{self.said}"
        return printed

    def ask(self, *words: str, code: int = 0) -> list[Any]:
        """The same with --json before anything else: one document for each line."""
        text = self.type(words[0], "--json", *words[1:], code=code)
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def shell(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("PILOTAGE_DATA", str(site.data))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return Shell()


def test_a_command_runs_and_its_output_and_files_come_back(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("from here\n")
    program = "cat in.txt; cat in.txt in.txt > out.txt"
    words = ("--input", "in.txt", "--output", "out.txt", "--name", "copy", "--env", "A=b")
    submitted, ended = shell.ask("submit", "--wait", *words, "--", "sh", "-c", program)
    job = str(submitted["ids"][0]["first"])

    assert ended == {"states": {"Done": 1}}
    assert shell.type("logs", job) == "from here\n"
    assert [one["name"] for one in shell.ask("output", job)[0]] == ["out.txt"]
    shell.type("output", job, "--to", "results")
    assert (tmp_path / "results" / "out.txt").read_text() == "from here\n" * 2
    (view,) = shell.ask("status", job)
    assert (view["name"], view["state"], view["site"]) == ("copy", "Done", SITE)


def test_a_job_that_fails_says_so_in_the_exit_code(shell: Shell) -> None:
    submitted, ended = shell.ask("submit", "--wait", "--", "sh", "-c", "exit 7", code=1)

    assert ended == {"states": {"Failed": 1}}
    (view,) = shell.ask("status", str(submitted["ids"][0]["first"]))
    assert view["exit_code"] == 7


def test_waiting_for_nothing_is_told_and_for_a_submission_that_is_not_there_refused(
    shell: Shell,
) -> None:
    assert shell.ask("wait", "--filter", "name=nosuch") == [{"states": {}}]
    assert "no jobs match name=nosuch, any state: nothing to wait for" in shell.said
    shell.type("wait", "--submission", "9999", code=3)
    assert "there is no submission 9999" in shell.said
    shell.type("pilot", "logs", "nosuch", code=3)


def test_following_a_job_ends_when_the_time_is_over(shell: Shell) -> None:
    words = ("--follow", "--timeout-s", "1", "--cores", "50", "--", "true")  # no pilot has so many

    shell.type("submit", *words, code=5)
    assert "wait: 1 not finished after 1 s" in shell.said
    shell.type("submit", "--wait", "--timeout-s", "nan", "--", "true", code=2)
    assert "expected seconds, 0 or more, found nan" in shell.said


def test_outputs_of_one_name_are_fetched_into_a_folder_for_each_job(
    shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "twins.yaml").write_text(
        "template:\n"
        "  command: [sh, -c, 'echo {n} > twin.txt']\n"
        "  outputs: [twin.txt]\n"
        "parameters:\n  - n: 1\n  - n: 2\n"
    )
    shell.type("submit", "twins.yaml", "--wait")
    last = max(one["id"] for one in shell.ask("status", "--filter", "state=Done", "--limit", "0"))
    both = f"{last - 1}-{last}"

    shell.type("output", both, "--to", "each")
    found = [tmp_path / "each" / str(job) / "twin.txt" for job in (last - 1, last)]
    assert [path.read_text() for path in found] == ["1\n", "2\n"]
    shell.type("output", str(last), "--to", f"each/{last - 1}", code=2)
    assert found[0].read_text() == "1\n"
    shell.type("output", str(last), "--to", f"each/{last - 1}", "--force")
    assert found[0].read_text() == "2\n"


def test_the_output_can_be_followed_while_it_is_written(shell: Shell) -> None:
    said = shell.type("submit", "--follow", "--", "sh", "-c", "echo one; sleep 0.5; echo two")

    assert said.splitlines()[1:] == ["one", "two", "1 Done"]


def test_an_array_is_a_job_for_each_number(shell: Shell) -> None:
    (submitted, ended) = shell.ask("submit", "--wait", "--array", "3-6", "--", "echo", "n={index}")
    first = submitted["ids"][0]["first"]

    assert ended == {"states": {"Done": 4}}
    assert [shell.type("logs", str(first + i)) for i in range(4)] == [
        f"n={n}\n" for n in (3, 4, 5, 6)
    ]


def test_a_job_file_with_a_template(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "add.sh").write_text("echo $(($1 + 1)) > sum-$1.txt\n")
    (tmp_path / "job.yaml").write_text(
        "name: sums\n"
        "template:\n"
        "  command: [sh, code/add.sh, '{n}']\n"
        "  inputs: [code]\n"
        "  outputs: ['sum-{n}.txt']\n"
        "parameters: [{n: 1}, {n: 41}]\n"
    )
    submitted, ended = shell.ask("submit", "--wait", "job.yaml")
    last = submitted["ids"][0]["first"] + 1
    shell.type("output", str(last), "sum-41.txt", "--to", "answer")

    assert ended == {"states": {"Done": 2}}
    assert (tmp_path / "answer").read_text() == "42\n"


def test_the_same_key_gives_the_same_jobs(shell: Shell) -> None:
    first = shell.ask("submit", "--key", "once", "--", "true")[0]
    second = shell.ask("submit", "--key", "once", "--", "true")[0]
    shell.type("submit", "--key", "once", "--", "false", code=3)

    assert (second["ids"], second["repeated"]) == (first["ids"], True)
    assert "key" in shell.said


def test_a_job_that_fits_nowhere_is_explained_and_killed(shell: Shell) -> None:
    job = str(shell.ask("submit", "--cores", "64", "--", "true")[0]["ids"][0]["first"])
    (found,) = shell.ask("explain", job)
    words = shell.type("explain", job)

    assert found["fitting"] == 0
    assert [one["clause"] for one in found["obstacles"]] == ["cores"]
    assert "64 wanted" in words
    shell.type("wait", job, "--timeout-s", "0.5", code=5)
    assert shell.ask("kill", job)[0]["done"] == 1
    assert shell.ask("wait", job, code=1) == [{"states": {"Killed": 1}}]
    assert shell.ask("explain", "--site", "NOWHERE", "--", "true")[0]["fitting"] == 0


def test_all_that_match_are_held_released_and_killed(shell: Shell) -> None:
    words = ("--array", "30", "--type", "Bulk", "--cores", "50", "--", "true")
    number = shell.ask("submit", *words)[0]["submission"]
    where = ("--filter", f"type=Bulk,owner=me,submission={number}", "--all")
    shell.type("hold", *where, code=2)

    assert "Hold 30 matching jobs (" in shell.said
    assert shell.ask("hold", *where, "--yes")[0]["done"] == 30
    assert shell.ask("release", *where, "--yes")[0]["done"] == 30
    assert shell.ask("kill", *where, "--yes")[0]["done"] == 30
    assert shell.ask("delete", *where, "--yes")[0]["done"] == 30
    assert shell.ask("status", "--submission", str(number), "--state", "Killed") == []


def test_waiting_for_a_job_that_is_held_ends_and_says_why(shell: Shell) -> None:
    (submitted,) = shell.ask("submit", "--site", "CSCS", "--array", "2", "--", "true")
    first = submitted["ids"][0]["first"]
    shell.type("hold", str(first), "--reason", "wrong seed")
    shell.type("kill", str(first + 1))
    (states,) = shell.ask("wait", "--submission", str(submitted["submission"]), code=6)

    assert states == {"states": {"Held": 1, "Killed": 1}}
    assert f"job {first} is Held" in shell.said and "wrong seed" in shell.said
    shell.type("logs", "--follow", str(first), code=6)
    shell.type("wait", "--through-held", "--timeout-s", "0.5", str(first), code=5)
    shell.type("kill", str(first))


@pytest.mark.parametrize(
    "many", [pytest.param(10_000, id="gate"), pytest.param(100_000, marks=pytest.mark.long)]
)
def test_very_many_jobs_in_one_call(shell: Shell, many: int) -> None:
    words = ("--array", f"1-{many}", "--cores", "50", "--type", "Many", "--", "echo", "{index}")
    submitted = shell.ask("submit", *words)[0]
    rows = shell.ask("summary", "--by", "type")[0]["rows"]
    counts = next(row["counts"] for row in rows if row["key"] == "Many")

    assert submitted["count"] == many
    assert counts["Waiting"] == many
    assert len(shell.ask("status", "--filter", "type=Many", "--limit", "1500")) == 1_500
    number = str(submitted["submission"])
    assert shell.ask("kill", "--submission", number, "--all", "--yes")[0]["done"] == many


def test_watching_a_submission_ends_with_it(shell: Shell) -> None:
    number = shell.ask("submit", "--array", "4", "--", "sleep", "0.2")[0]["submission"]
    looks = shell.ask("watch", str(number))

    assert looks[-1]["rows"] == [{"key": SITE, "counts": {"Done": 4}}]


def test_pilots_sites_and_tokens_are_shown(shell: Shell, site: Site, tmp_path: Path) -> None:
    assert site.pilot in shell.type("pilot", "list")
    assert site.pilot in shell.type("pilot", "show", site.pilot)
    assert SITE in shell.type("site", "list")
    saved = tmp_path / "bob.json"
    shell.type("token", "issue", "bob", "--save", str(saved))

    assert saved.stat().st_mode & 0o777 == 0o600
    assert json.loads(saved.read_text())["url"] == site.central.url
    assert "bob" in shell.type("token", "list")
    assert shell.ask("whoami")[0]["subject"] == "admin"


def test_a_secret_that_nobody_has_used_is_listed_as_that_and_drain_does_not_wait_for_it(
    shell: Shell,
) -> None:
    shell.type("pilot", "secret", "--site", "ELSEWHERE", "--save", "secrets")
    listed = shell.type("pilot", "list", "--site", "ELSEWHERE").splitlines()

    assert len(listed) == 2
    assert listed[1].split()[3:9] == ["Submitted", "secret", "not", "used", "yet", "-"]
    assert shell.type("pilot", "drain", "--site", "ELSEWHERE", "--wait") == ""
    assert "0 pilots will end" in shell.said


YAML_PLACE = """name: places
template:
  command: [echo, '{seed}']
  needs: {tags: 'gpu &'}
parameters:
  - seed: 1
  - sed: 2
"""


def test_what_the_central_refuses_is_told_by_its_place(shell: Shell, tmp_path: Path) -> None:
    def said(*words: str, code: int = 3) -> str:
        shell.type("submit", *words, code=code)
        return shell.said

    (tmp_path / "a.yaml").write_text(YAML_PLACE)
    assert "pilotage: a.yaml:4: template.needs[0].tags: " in said("a.yaml")
    (tmp_path / "b.yaml").write_text(YAML_PLACE.replace("gpu &", "gpu"))
    assert (
        "pilotage: b.yaml:7: parameters[1]: the template also uses seed; this entry has sed: "
        "is `seed` a misspelling of `sed`?" in said("b.yaml")
    )
    (tmp_path / "c.yaml").write_text("command: ['true']\ngroup: others\n")
    assert "pilotage: c.yaml:2: group: you may not submit for 'others'" in said("c.yaml")
    line = '{"command":["true"]}\n\n'
    (tmp_path / "d.ndjson").write_text(line + '{"command":["true"],"needs":[{"tags":"a &"}]}\n')
    assert "pilotage: d.ndjson:3: needs[0].tags: " in said("d.ndjson")
    (tmp_path / "e.ndjson").write_text(line + '{"comand":["true"]}\n')
    assert "e.ndjson:3: comand: there is no field 'comand'; did you mean 'command'?" in said(
        "e.ndjson", code=2
    )
    assert "pilotage: --tags: " in said("--tags", "a &", "--", "true")
    assert "pilotage: --group: you may not submit" in said("--group", "x", "--", "true")
    assert "{seed} in the command: an array has only the parameter {index}" in said(
        "--array", "2", "--", "echo", "{seed}", code=2
    )
    before = shell.ask("summary")
    assert "--follow takes one job, and these are 2: use `pilotage watch`" in said(
        "--follow", "--array", "2", "--", "true", code=2
    )
    assert "these are 2: use `pilotage watch`" in said("--follow", "d.ndjson", code=2)
    assert shell.ask("summary") == before  # nothing was submitted


def test_a_job_that_kept_nothing_says_so(shell: Shell) -> None:
    job = str(shell.ask("submit", "--wait", "--", "true")[0]["ids"][0]["first"])

    assert shell.type("output", job) == ""
    assert shell.said == f"pilotage: job {job} kept no files\n"
    assert shell.ask("output", job) == [[]]


def test_a_job_can_be_looked_at_while_it_runs_and_its_curve_is_kept(
    shell: Shell, tmp_path: Path
) -> None:
    stop = outside_tmp(tmp_path / "stop")
    program = (
        "echo begun; echo careful >&2; head -c 5000000 /dev/zero > big; "
        f"until [ -e {stop} ]; do sleep 0.05; done; echo ended"
    )
    job = str(shell.ask("submit", "--", "sh", "-c", program)[0]["ids"][0]["first"])
    while shell.ask("status", job)[0]["state"] != "Running":
        time.sleep(0.05)
    peeks = [shell.ask("peek", job)[0] for _ in range(2)]
    said = shell.type("peek", job)
    while len((live := shell.ask("curve", job)[0])["points"]) < 3:
        time.sleep(0.2)
    stop.touch()
    shell.type("wait", job)
    (kept,) = shell.ask("curve", job)
    followed = [one["at_s"] for one in shell.ask("curve", job, "--follow")]
    table = shell.type("curve", job).splitlines()
    (late,) = shell.ask("peek", job, "--bytes", "6")
    shown = shell.type("show", job)

    for peek in peeks:
        assert (peek["live"], peek["complete"], peek["epoch"]) == (True, True, 1)
        assert (peek["stdout"], peek["stderr"]) == ("begun\n", "careful\n")
    assert "--- stdout: 6 bytes\nbegun\n--- stderr: 8 bytes\ncareful\n" in said
    assert (live["live"], live["epoch"], live["cores"]) == (True, 1, 1)
    assert kept["live"] is False
    assert kept["points"][: len(live["points"])] == live["points"], "what was seen stays true"
    assert max(one["scratch_mb"] for one in kept["points"]) >= 5.0
    assert followed == [one["at_s"] for one in kept["points"]]
    assert table[0].split() == ["at_s", "cpu_s", "cores", "memory_mb", "scratch_mb", "processes"]
    assert len(table) == 1 + len(kept["points"])
    assert (late["live"], late["stdout"], late["stdout_bytes"]) == (False, "ended\n", 12)
    assert "used.scratch_peak_mb" in shown
    assert shown.splitlines()[-1].split()[:4] == ["1", SITE, "exited", "0"]
