"""The process that `warm` keeps: it has imported what commands need, and forks for each of them.

It ends with the process of pytest that has started it.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import resource
import runpy
import selectors
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, Final

from setproctitle import setproctitle

IMPORTED: Final = (
    *("pilotage.central.operate.serve", "pilotage.central.operate.serve_api"),
    # What commands and centrals import only when they need it: each would import it again.
    *("pilotage.central.bus.embedded", "pilotage.central.client", "pilotage.central.client.client"),
    "pilotage.central.store.postgresql",
)
# The same of other packages, whose versions may call it otherwise.
FOREIGN: Final = (
    *("anyio.streams.tls", "anyio.to_thread", "cryptography.hazmat.backends.openssl", "httpx"),
    *("cyclopts.config", "cyclopts.help.formatters", "docstring_parser", "encodings.idna"),
    *("httpcore", "idna", "rich.markdown", "rich.panel", "uvicorn.lifespan.off"),
)
COMMANDS: Final = "pilotage.central.cli"
FILES: Final = 4  # that come with a request: where to say the end, and the standard ones
ENOUGH: Final = 1 << 20
PR_SET_PDEATHSIG: Final = 1


class _Forked(Exception):
    """This process is a fork, and has taken what it was given."""


class Nursery:
    """Forks for each request that comes, and says how each fork ended."""

    def __init__(self, asked: socket.socket, door: socket.socket) -> None:
        """The process of pytest sends requests to `asked`; each visitor of `door` sends one."""
        self._asked, self._door = asked, door
        self._ended, wake = socket.socketpair()
        for one in (self._ended, wake):
            one.setblocking(False)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.set_wakeup_fd(wake.fileno())
        self._wake = wake
        self._watched = selectors.DefaultSelector()
        for one in (asked, door, self._ended):
            self._watched.register(one, selectors.EVENT_READ)
        self._forks: dict[int, socket.socket] = {}
        self._visitors: dict[socket.socket, int] = {}  # with their fork, 0: none yet

    def run(self) -> None:
        """Return when the process of pytest is gone. Raises _Forked in each fork."""
        while True:
            for key, _ in self._watched.select():
                one = key.fileobj
                if one is self._ended:
                    self._ended.recv(ENOUGH)
                    self._tell()
                elif one is self._door:
                    visitor = self._door.accept()[0]
                    self._visitors[visitor] = 0
                    self._watched.register(visitor, selectors.EVENT_READ)
                elif isinstance(one, socket.socket) and one in self._visitors:
                    self._visited(one)
                elif one is self._asked and not self._fork(self._asked):
                    return  # a visitor that has left in the meantime is none of these

    def _visited(self, visitor: socket.socket) -> None:
        """Fork for a visitor, or end the fork of one that has left."""
        pid = self._visitors[visitor] or self._fork(visitor, visitor)
        if not pid or self._visitors[visitor]:
            self._watched.unregister(visitor)
            del self._visitors[visitor]
            if pid in self._forks:
                os.kill(pid, signal.SIGKILL)
        else:
            self._visitors[visitor] = pid

    def _fork(self, asked: socket.socket, told: socket.socket | None = None) -> int:
        """Return the fork that does what is asked for, 0: nothing is, for nobody is there."""
        said, files, *_rest = socket.recv_fds(asked, ENOUGH, FILES)
        if not said:
            return 0
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            self._watched.close()
            ours = (self._asked, self._door, self._ended, self._wake, *self._visitors)
            for one in (*ours, *self._forks.values()):
                one.close()
            raise _Forked(json.loads(said), files)
        if told is None:
            told = socket.socket(fileno=files.pop(0))
            told.send(str(pid).encode())
        self._forks[pid] = told
        for file in files:
            os.close(file)
        return pid

    def _tell(self) -> None:
        """Say what has ended."""
        while self._forks:
            pid, status, used = os.wait4(-1, os.WNOHANG)
            if not pid:
                return
            said = [os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime]
            with self._forks.pop(pid) as where, suppress(OSError):
                if where in self._visitors:
                    self._watched.unregister(where)
                    del self._visitors[where]
                where.send(json.dumps(said).encode())


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Be woken by the file descriptor."""


def _commands() -> list[str]:
    package = importlib.import_module(COMMANDS)
    names = [one.name for one in pkgutil.iter_modules(package.__path__, f"{COMMANDS}.")]
    return [one for one in names if not one.endswith("__main__")]


def _settle(request: dict[str, Any], files: Sequence[int]) -> None:
    """Take what a new process would have been given."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if request["tied"]:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if request["session"]:
        os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    resource.setrlimit(resource.RLIMIT_NOFILE, request["open_files"])
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1 if os.isatty(1) else -1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    setproctitle(" ".join(request["words"]))


class _Leaving:
    """Ends a fork without taking apart the modules that it shares, which takes 0.1 s of CPU."""

    def __init__(self) -> None:
        self._code: int | None = None  # None: Python has to say why it ends
        atexit.register(self._leave)  # the first that is registered is called last

    def run(self, module: str) -> None:
        """Run a module as a program. Raises what it raises."""
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            if end.code is None or isinstance(end.code, int):
                self._code = (end.code or 0) & 0xFF
            raise
        self._code = 0

    def _leave(self) -> None:
        if self._code is None:
            return
        with suppress(OSError, ValueError):  # Python tells of what cannot be written
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self._code)


def _imported() -> None:
    setproctitle(f"nursery of {os.getppid()}")  # it must find its memory before any fork settles
    for name in (*IMPORTED, *_commands()):
        importlib.import_module(name)
    for name in FOREIGN:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _imported()
    asked, door = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    folder = os.path.dirname(door.getsockname())
    try:
        Nursery(asked, door).run()
    except _Forked as fork:
        told, given = fork.args
        _settle(told, given[-3:])
        for file in given[:-3]:
            os.close(file)
        sys.argv = told["words"][2:]
        del fork
    else:
        shutil.rmtree(folder, ignore_errors=True)  # pytest may have been killed
        sys.exit()
    _Leaving().run("pilotage.central.cli")
