"""What tests start as a fork is a process like one that starts anew."""

import inspect
import os
import signal
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.running import eventually
from tests.services.warm import COMMAND, Forked

# The parameters that `Forked` reads, in all versions of Python on which tests run.
READ: Final = (
    *("args", "executable", "preexec_fn", "pass_fds", "cwd", "env", "shell", "p2cread", "p2cwrite"),
    *("c2pread", "c2pwrite", "errread", "errwrite", "gid", "gids", "uid", "umask"),
    "start_new_session",
)


def test_the_library_still_starts_processes_as_the_forks_expect() -> None:
    (popen,) = Forked.__mro__[1:2]
    parameters = inspect.signature(popen._execute_child).parameters  # type: ignore[attr-defined]
    assert set(READ) <= set(parameters)
    assert len(inspect.signature(popen._close_pipe_fds).parameters) == 7  # type: ignore[attr-defined]


@pytest.mark.parametrize("cold", ["", "1"])
def test_a_command_says_and_ends_with_the_same(
    cold: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILOTAGE_COLD", cold)
    monkeypatch.setenv("PILOTAGE_URL", "http://127.0.0.1:1")
    done = subprocess.run([*COMMAND, "whoami"], cwd=tmp_path, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (4, "")
    assert "http://127.0.0.1:1" in done.stderr


def test_it_has_a_session_a_folder_and_a_command_line_of_its_own(tmp_path: Path) -> None:
    data = tmp_path / "data"
    words = [*COMMAND, "serve", "--data", str(data), "--port", "0"]
    with subprocess.Popen(words, cwd=tmp_path, start_new_session=True) as process:
        try:
            eventually(lambda: (data / "central.json").exists(), what="a central")
            assert os.getsid(process.pid) == process.pid
            assert os.readlink(f"/proc/{process.pid}/cwd") == str(tmp_path)
            assert os.fsencode(data) in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        finally:
            process.send_signal(signal.SIGKILL)
        assert process.wait(20) == -signal.SIGKILL
