"""A download is killed, or its central is: the same command goes on, and no file is half."""

import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.load.kept_outputs import keep_outputs
from tests.bench.load.stage import Act, play, stage

JOBS = 500
SIZE = 50_000
KILLS = 2
MOSTLY_S = 30.0


@contextmanager
def fetching(act: Act, submission: int, to: Path) -> Generator[subprocess.Popen[bytes]]:
    words = ("output", "--submission", str(submission), "--to", str(to))
    command = [sys.executable, "-m", "pilotage.central.cli", *words, "--url", act.url]
    token = {"PILOTAGE_TOKEN_FILE": str(act.central.data / "admin.token")}
    with subprocess.Popen(command, env=token, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def whole_files(to: Path) -> dict[Path, int]:
    """Return the files that have their names, and when each came."""
    found = {path: path.stat() for path in to.glob("*/fit.dat")}
    assert {one.st_size for one in found.values()} <= {SIZE}
    return {path: one.st_mtime_ns for path, one in found.items()}


def until_more_than(count: int, to: Path) -> None:
    until = time.monotonic() + MOSTLY_S
    while len(list(to.glob("*/fit.dat"))) <= count:
        assert time.monotonic() < until, "no file comes"
        time.sleep(0.002)


def test_a_killed_download_goes_on_and_so_does_one_whose_central_is_killed(tmp_path: Path) -> None:
    to = tmp_path / "to"
    with stage() as on, on.act() as act:
        submission = play(keep_outputs(act, JOBS, SIZE))
        before: dict[Path, int] = {}
        for _ in range(KILLS):
            with fetching(act, submission, to):
                until_more_than(len(before), to)
            after = whole_files(to)
            assert before.items() <= after.items()  # what was here stays untouched
            before = after
        assert len(before) < JOBS, "the command was killed too late"
        with fetching(act, submission, to) as command:
            until_more_than(len(before), to)
            act.central.process.kill()
            act.central.process.wait()
            with on.act(url=act.url):
                assert command.wait(timeout=MOSTLY_S) == 0

    found = whole_files(to)
    assert len(found) == JOBS and before.items() <= found.items()
    assert not list(to.rglob(".*"))
