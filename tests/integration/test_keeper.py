"""Nothing outlives the keeper of a service, and no keeper outlives pytest."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.pilot.guard import processes
from tests.acceptance.running import eventually
from tests.services import slurm as services
from tests.services.keeper import ROOT, Keeper
from tests.services.slurm import Slurm

# A daemon that has left its parent and its session, with a child of its own.
DAEMON = "setsid sh -c 'sleep 300 & echo $! >>{file}; echo $$ >>{file}; wait' >/dev/null 2>&1 &"
STARTER = """
import sys, time
from tests.services.keeper import Keeper
Keeper().run(["sh", "-c", sys.argv[1]], {}, within_s=9.0)
time.sleep(300)
"""

LONG_CASE = """
import pathlib, time, pytest

@pytest.fixture
def service():
    yield
    pathlib.Path({ended!r}).touch()

def test_long(service):
    pathlib.Path({begun!r}).touch()
    time.sleep(300)
"""


def daemons(file: Path) -> list[int]:
    """Return the living processes of DAEMON."""
    found = [int(word) for word in file.read_text().split()] if file.exists() else []
    return [pid for pid in found if (one := processes.find(pid)) is not None and one.alive]


def both(file: Path) -> Callable[[], bool]:
    return lambda: len(daemons(file)) == 2


def test_a_daemon_ends_with_its_keeper(tmp_path: Path) -> None:
    file, keeper = tmp_path / "pids", Keeper()
    done = keeper.run(["sh", "-c", DAEMON.format(file=file)], {}, within_s=9.0)
    wrong = keeper.run(["sh", "-c", "echo out; echo err >&2; exit 3"], {}, within_s=9.0)
    late = keeper.run(["sleep", "300"], {}, within_s=0.1)
    keeper.begin(["sh", "-c", "echo begun"], {}, tmp_path / "log")
    eventually(both(file), what="the daemon")
    eventually(lambda: (tmp_path / "log").read_text() == "begun\n", what="the program that stays")
    keeper.close()

    assert (done.code, wrong, late.code) == (0, (3, "out\n", "err\n"), -1)
    assert daemons(file) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_daemon_ends_with_the_process_that_wanted_it(tmp_path: Path, number: int) -> None:
    file = tmp_path / "pids"
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, DAEMON.format(file=file)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ROOT},
        stderr=subprocess.DEVNULL,
    )
    eventually(both(file), what="the daemon")
    starter.send_signal(number)
    starter.wait(9)
    eventually(lambda: not daemons(file), what="its end")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_pytest_that_is_stopped_ends_its_fixtures(tmp_path: Path, number: int) -> None:
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    (tmp_path / "test_long.py").write_text(LONG_CASE.format(begun=str(begun), ended=str(ended)))
    hook = "from tests.conftest import pytest_configure as pytest_configure\n"
    (tmp_path / "conftest.py").write_text(hook)
    # What the gate tells its own pytest is not meant for this one.
    env = {name: value for name, value in os.environ.items() if not name.startswith("P")}
    stopped = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(tmp_path), "."],
        cwd=tmp_path,
        env={**env, "PATH": os.environ["PATH"], "PYTHONPATH": ROOT},
        stdout=subprocess.DEVNULL,
    )
    eventually(begun.exists, what="the case")
    stopped.send_signal(number)

    assert stopped.wait(20) == pytest.ExitCode.INTERRUPTED
    assert ended.exists()


@pytest.mark.skipif(bool(services.missing()), reason=services.missing() or "Slurm is there")
def test_a_cluster_that_does_not_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []

    def interrupted(self: Slurm) -> None:
        def numbers() -> list[int]:
            files = [*self.folder.glob("*.pid"), *self.folder.glob("munge/*.pid")]
            return [int(word) for one in files for word in one.read_text().split()]

        eventually(lambda: len(numbers()) == 3, what="munged, slurmctld and slurmd")
        pids.extend(numbers())
        raise KeyboardInterrupt

    monkeypatch.setattr(Slurm, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Slurm(tmp_path / "slurm").start()

    assert pids and [pid for pid in pids if processes.find(pid) is not None] == []
