"""A sweep ends, and its owner collects what it wrote."""

import asyncio
import sys
import tarfile
from io import StringIO
from pathlib import Path

import pytest

from pilotage.central.client import AsyncClient

from ..faces.conftest import Site
from ..faces.test_command_line import Shell

SWEEP = """
template:
  command: [sh, -c, "echo at {mass}; test {mass} != bad && echo {mass} > fit.txt && date > log"]
  outputs: [{pattern: fit.txt, required: false}, {pattern: log, required: false}]
parameters: [{mass: 1}, {mass: 2.5}, {mass: bad}, {mass: 4}]
"""


@pytest.fixture
def shell(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("PILOTAGE_DATA", str(site.data))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", StringIO())
    return Shell()


def files_in(folder: Path) -> dict[str, str]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def test_the_results_of_a_sweep_are_collected(site: Site, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    submitted = shell.ask("submit", "sweep.yaml", "--wait", code=1)[0]
    first, number = submitted["ids"][0]["first"], str(submitted["submission"])
    waiting = shell.ask("submit", "--cores", "50", "--", "true")[0]["ids"][0]["first"]
    ids = f"{first}-{first + 3}"
    bad = first + 2

    # One folder for each job; what gives nothing is told and stops nothing.
    printed = shell.type("output", ids, str(waiting), "9999", "fit*", "--to", "results", code=1)
    fits = {f"{first}/fit.txt": "1\n", f"{first + 1}/fit.txt": "2.5\n"}
    fits[f"{first + 3}/fit.txt"] = "4\n"
    assert files_in(tmp_path / "results") == fits
    assert printed.splitlines() == [f"results/{place}" for place in fits]
    told = (
        f"job {waiting} has not ended",
        f"job {bad} kept no such files",
        "job 9999 does not exist",
    )
    assert shell.said == f"pilotage: {'; '.join(told)}\n"

    # A second run fetches only what lacks, and replaces nothing that differs.
    whole = tmp_path / f"results/{first}/fit.txt"
    before = whole.stat().st_mtime_ns
    (tmp_path / f"results/{first + 1}/fit.txt").unlink()
    shell.type("output", "--submission", number, "fit.txt", "--to", "results", code=1)
    assert files_in(tmp_path / "results") == fits and whole.stat().st_mtime_ns == before
    whole.write_text("my own\n")
    shell.type("output", "--submission", number, "--to", "results", code=2)
    assert "exists with other bytes" in shell.said
    assert files_in(tmp_path / "results") == {**fits, f"{first}/fit.txt": "my own\n"}

    # A template names the files; two of one name are refused before the first byte.
    shell.type("output", "--submission", number, "--name", "{name}", "--to", "flat", code=2)
    assert "clash" in shell.said and not (tmp_path / "flat").exists()
    done = ("--submission", number, "--state", "Done")
    shell.type("output", *done, "fit.txt", "--name", "{index}-{mass}.txt", "--to", "flat")
    assert files_in(tmp_path / "flat") == {"1-1.txt": "1\n", "2-2.5.txt": "2.5\n", "4-4.txt": "4\n"}

    # One archive, and what all jobs have printed, in order.
    shell.type("output", *done, "*.txt", "--tar", "all.tar.gz")
    with tarfile.open(tmp_path / "all.tar.gz") as archive:
        assert archive.getnames() == list(fits)
    logs = shell.type("logs", "--submission", number)
    masses = ("1", "2.5", "bad", "4")
    assert logs == "".join(
        f"==> job {job} <==\nat {mass}\n" for job, mass in enumerate(masses, first)
    )

    # The same in Python, blocking and asynchronous.
    handle = site.client.submission(int(number))
    found = handle.download(tmp_path / "python", ["fit.txt"], template="{mass}/{name}")
    assert [one.path.read_text() for one in found.files] == ["1\n", "2.5\n", "4\n"]
    assert (found.empty, found.unfinished, found.is_complete) == ([bad], [], False)

    async def again() -> None:
        async with AsyncClient(data=site.data) as client:
            one = await client.submission(int(number))
            await one.download(tmp_path / "async", ["fit.txt"], template="{mass}/{name}")

    asyncio.run(again())
    assert files_in(tmp_path / "async") == files_in(tmp_path / "python")
    shell.type("kill", str(waiting))
