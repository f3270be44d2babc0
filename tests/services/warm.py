"""Commands of pilotage as forks of a process that has imported everything: it saves a second each.

A central imports a thousand modules when it starts, and tests start hundreds of centrals and
commands. So each process of pytest keeps a nursery, which has imported them all and forks for every
`python -m pilotage.central.cli …`. Such a fork is a process like any other, with a session, files,
an environment and signals of its own. A command starts cold, as a new interpreter, if it needs
other variables of Python, another user or a program before it. With `PILOTAGE_COLD=1` all start
cold.

`Forked` overrides private methods of `subprocess.Popen`. `tests/integration/test_warm.py` notices
if these change.
"""

import inspect
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

COMMAND: Final = (sys.executable, "-m", "pilotage.central.cli")
ROOT: Final = str(Path(__file__).resolve().parents[2])
FRESH: Final = (
    "PYTHON",
    "LC_",
    "LANG",
    "LD_",
    "COVERAGE",
    "PILOTAGE_MATCHER",
)  # read when an interpreter starts
ENOUGH: Final = 1 << 20  # bytes of a request

# The command `pilotage` for a shell. What runs for long starts cold: it has its own process.
SHIM: Final = """#!{python} -IS
import json, os, resource, socket, sys

if set(sys.argv[1:3]) & {{"serve", "demo", "start", "watch", "bench"}}:
    os.execv({real!r}, [{real!r}, *sys.argv[1:]])
door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
try:
    door.connect({door!r})
except OSError:  # another user, or another view of the files
    os.execv({real!r}, [{real!r}, *sys.argv[1:]])
said = {{
    "words": ["python", "-m", {real!r}, *sys.argv[1:]],
    "tied": False,
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "session": False,
    "open_files": resource.getrlimit(resource.RLIMIT_NOFILE),
}}
socket.send_fds(door, [json.dumps(said).encode()], [0, 1, 2])
code, _ = json.loads(door.recv(64))
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


class Forked(subprocess.Popen[Any]):
    """A `Popen` that forks where it may."""

    used_s = 0.0  # seconds of CPU of all forks that have ended
    _said: socket.socket | None = None  # where the nursery says how it ended
    _one_waits: threading.Lock

    def _execute_child(self, *given: Any) -> None:
        cold: Callable[..., None] = getattr(super(), "_execute_child")  # noqa: B009
        call = inspect.signature(cold).bind(*given).arguments
        request = _request(call)
        if request is None:
            cold(*given)
            return
        wanted = (call["p2cread"], call["c2pwrite"], call["errwrite"])
        files = [number if one < 0 else one for number, one in enumerate(wanted)]
        self._one_waits = threading.Lock()
        self.pid, self._said = _nursery().fork(request, files)
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        getattr(self, "_close_pipe_fds")(*(call[one] for one in pipes))  # noqa: B009

    def poll(self) -> int | None:
        """Return what it ended with, if it has."""
        return super().poll() if self._said is None else self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Return what it ended with. Raises TimeoutExpired."""
        if self._said is None:
            return super().wait(timeout)
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def _ended(self, within_s: float | None) -> int | None:
        with self._one_waits:
            if self.returncode is None and self._said is not None:
                self._said.settimeout(None if within_s is None else max(0.0, within_s))
                try:
                    said = self._said.recv(ENOUGH)
                except (BlockingIOError, TimeoutError):
                    return None
                self._said.close()
                if not said:  # the nursery is gone, so nobody knows how it ended
                    with suppress(ProcessLookupError):
                        os.kill(self.pid, signal.SIGKILL)
                    said = json.dumps([-signal.SIGKILL, 0.0]).encode()
                self.returncode, used_s = json.loads(said)
                Forked.used_s += used_s
            return self.returncode


def _request(call: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the nursery has to know, None for what has to start cold."""
    words = [os.fspath(one) for one in call["args"]] if isinstance(call["args"], list) else []
    tied = words[1:4] == ["--pdeathsig", "TERM", "--"]
    words = words[4:] if tied else words
    environment = dict(os.environ if call["env"] is None else call["env"])
    plain = (call["preexec_fn"], call["pass_fds"], call["executable"], call["shell"]) == (
        *(None, (), None, False),
    )
    ours = all(call[one] is None for one in ("gid", "gids", "uid")) and call["umask"] == -1
    if not (plain and ours and tuple(words[:3]) == COMMAND and _as_here(environment)):
        return None
    return {
        "words": words,
        "tied": tied,
        "folder": os.fspath(call["cwd"] or os.getcwd()),
        "environment": environment,
        "session": bool(call["start_new_session"]),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE),
    }


def _as_here(environment: Mapping[str, str]) -> bool:
    """Return whether an interpreter would start with this environment as with ours."""
    if os.environ.get("PILOTAGE_COLD"):
        return False
    given = {key: value for key, value in environment.items() if key.startswith(FRESH)}
    path = given.pop("PYTHONPATH", ROOT)
    mine = {key: value for key, value in os.environ.items() if key.startswith(FRESH)}
    mine.pop("PYTHONPATH", None)
    return path == ROOT and given == mine


class _Nursery:
    """The process that forks."""

    def __init__(self) -> None:
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._folder = folder = Path(tempfile.mkdtemp(prefix="pilotage-nursery-", dir="/tmp"))
        folder.chmod(0o711)
        self.shim = folder / "bin"
        self.shim.mkdir()
        door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        door.bind(str(folder / "door"))
        door.listen()
        command = self.shim / "pilotage"
        real = Path(sys.executable).parent / "pilotage"
        python = Path(sys.executable).resolve()
        command.write_text(SHIM.format(python=python, door=str(folder / "door"), real=str(real)))
        command.chmod(0o755)
        with its, door:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.services.nursery", *map(str, _numbers(its, door))],
                pass_fds=_numbers(its, door),
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": ROOT},
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for pytest, which still has to end its forks
            )

    def end(self) -> None:
        """Fork no more."""
        self._socket.close()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def fork(self, request: Mapping[str, Any], files: Sequence[int]) -> tuple[int, socket.socket]:
        """Return the id of a new process, and where it is said how it ended."""
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            said = json.dumps(request).encode()
            socket.send_fds(self._socket, [said], [its.fileno(), *files])
        return int(mine.recv(ENOUGH)), mine


def _numbers(*sockets: socket.socket) -> list[int]:
    return [one.fileno() for one in sockets]


def command_folder() -> Path | None:
    """Return the folder of a command `pilotage` that forks; None: it starts cold."""
    return None if os.environ.get("PILOTAGE_COLD") else _nursery().shim


_FIRST: Final = threading.Lock()  # some cases start commands from threads


def _nursery() -> _Nursery:
    with _FIRST:
        return _only_nursery()


_only_nursery: Final = cache(_Nursery)


def end() -> None:
    """Leave nothing behind when all cases are over."""
    if _only_nursery.cache_info().currsize:
        _only_nursery().end()
