"""Starts daemons, and ends them and all that they have started, however the process of pytest ends.

Daemons leave their parents and their session, so no signal to a group reaches them, and a pytest
that is killed ends nothing. So a process of its own starts them. It adopts what they leave behind
(PR_SET_CHILD_SUBREAPER, prctl(2)), and kills all of that when its input ends: `close` ends it, and
so does the death of pytest.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pilotage.pilot.guard import processes

ROOT: Final = str(Path(__file__).resolve().parents[2])
LOOK_S: Final = 0.02
END_S: Final = 20.0  # until all is killed
PR_SET_CHILD_SUBREAPER: Final = 36


class Done(NamedTuple):
    """What a command that has ended returned and printed."""

    code: int
    out: str
    err: str


class Keeper:
    """The process that starts the daemons of one service."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.services.keeper"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": ROOT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for pytest, which still has to end the service
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout

    def run(self, argv: Sequence[str], environment: Mapping[str, str], *, within_s: float) -> Done:
        """Run a command that ends when its daemon is there; what is late has the code -1."""
        return Done(*self._ask(argv=argv, environment=environment, within_s=within_s))

    def begin(self, argv: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        """Start a program that stays. What it prints is appended to `log`."""
        self._ask(argv=argv, environment=environment, log=str(log))

    def close(self) -> None:
        """Kill all of it."""
        self._in.close()
        self._process.wait(END_S + 5.0)
        self._out.close()

    def _ask(self, **asked: object) -> Any:
        self._in.write(json.dumps(asked) + "\n")
        self._in.flush()
        return json.loads(self._out.readline())


def _serve() -> None:
    """Do what each line of the input asks for, and return at its end."""
    asked = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115
    while True:
        _reap()
        if not select.select([0], [], [], LOOK_S)[0]:
            continue
        line = asked.readline()
        if not line:
            return
        print(json.dumps(_answer(**json.loads(line))), flush=True)


def _reap() -> bool:
    """Forget the adopted processes that have ended. Return whether others live."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _answer(
    argv: list[str], environment: dict[str, str], within_s: float = 0.0, log: str = ""
) -> Any:
    with (
        open(log, "ab") if log else tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        child = subprocess.Popen(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out if log else err,
            start_new_session=True,
        )
        if log:
            return None
        until = time.monotonic() + within_s
        while child.poll() is None and time.monotonic() < until and not _is_over(LOOK_S):
            pass
        texts: list[str] = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return [-1 if child.returncode is None else child.returncode, *texts]


def _is_over(within_s: float) -> bool:
    """Wait until nobody can write to the input any more. False: the time is over before."""
    poll = select.poll()
    poll.register(0, 0)  # POLLHUP alone
    return bool(poll.poll(within_s * 1_000))


def _end() -> None:
    """Kill all descendants; some may start others at the same time."""
    until = time.monotonic() + END_S
    while time.monotonic() < until:
        for pid in processes.descendants(processes.every(), [os.getpid()]):
            if pid != os.getpid():
                processes.send(pid, signal.SIGKILL)
        if not _reap():
            return
        time.sleep(LOOK_S)


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        _serve()
    except BrokenPipeError:
        pass  # nobody waits for the answer any more
    finally:
        _end()
