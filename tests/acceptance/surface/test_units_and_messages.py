"""Sizes and times with a unit, and what commands say, against a real central and a real pilot."""

import io
import sys
from pathlib import Path

import pytest

from pilotage.central.cli import unknown_places
from pilotage.central.client.errors import Refused
from pilotage.proto.documents.job import Job, Need

from ..faces.conftest import Site
from ..faces.test_command_line import Shell


@pytest.fixture
def shell(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("PILOTAGE_DATA", str(site.data))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return Shell()


def test_sizes_and_times_reach_the_pilot_as_numbers(shell: Shell, site: Site) -> None:
    told = "echo $PILOTAGE_MEMORY_MB $PILOTAGE_WALL_S"
    words = ("--memory", "1GiB", "--wall", "1d12h", "--stall", "90m")

    said = shell.type("submit", "--wait", *words, "--", "sh", "-c", told)

    head, printed, end = said.splitlines()
    assert (printed, end) == ("1074 129600", "1 Done")
    job = int(head.split()[-1])
    sent = site.client.detail(job).job
    assert sent is not None
    assert (sent.needs[0].memory_mb, sent.needs[0].wall_s) == (1_074, 129_600)
    assert sent.limits.stall_s == 5_400


def test_a_job_file_has_units(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("command: [sh, -c, 'echo $PILOTAGE_MEMORY_MB']\nneeds: {memory: 500M}\n")

    assert shell.type("submit", "--wait", "job.yaml").splitlines()[1:] == ["500", "1 Done"]

    file.write_text(file.read_text().replace("500M", "4 gigs"))
    shell.type("submit", "job.yaml", code=2)
    assert shell.said == (
        "pilotage: job.yaml:2: needs[0].memory: found '4 gigs', expected a size such as 4GB;"
        " 4GB is 4000 MB\n"
    )


def test_requests_of_programs_keep_plain_numbers(site: Site) -> None:
    need = Need(memory_mb="4GB")  # type: ignore[arg-type]

    with pytest.raises(Refused, match="expected a whole number of MB, such as 2000; got '4GB'"):
        site.client.submit(Job(command=("true",), needs=(need,)))


def test_jobs_that_cannot_run_now_are_submitted_with_a_warning(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unknown_places, "watched", lambda: True)

    said = shell.type("submit", "--cores", "100", "--", "true")
    assert "no live pilot fits: without the clause cores (100 wanted), 1 offer" in shell.said
    job = said.split()[-1]
    shell.type("logs", job)
    assert f"job {job} waits and has not run yet: `pilotage explain {job}` says why" in shell.said
    shell.type("kill", job)

    shell.type("submit", "--site", "pic", "--", "true")
    assert "site 'pic' is not known yet (did you mean 'PIC'?)" in shell.said
    shell.type("submit", "--cores", "2", "--", "true")
    assert shell.said == ""


def test_a_file_that_is_too_large_to_travel_is_named_before_anything_is_sent(
    shell: Shell, site: Site, tmp_path: Path
) -> None:
    (tmp_path / "small.txt").write_text("never sent, as the other file is too large\n")
    large = tmp_path / "large.dat"
    with large.open("wb") as file:
        file.truncate((1 << 30) + 1)
    before = _blobs(site)
    words = ("--input", "small.txt", "--input", "large.dat")
    assert shell.type("submit", *words, "--", "true", code=3) == ""

    assert "large.dat: the file has 1073741825 bytes" in shell.said
    assert "store it with `pilotage data put`, and name it with --data-input" in shell.said
    assert _blobs(site) == before, "nothing was sent"
    shell.type("submit", "--wait", "--input", "small.txt", "--", "true")
    assert len(_blobs(site) - before) >= 1, "a file that is sent shows there"


def _blobs(site: Site) -> set[Path]:
    return {one for one in (site.data / "blobs").rglob("*") if one.is_file()}
