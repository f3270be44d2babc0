"""The process that `warm` keeps: it has imported what commands need, and forks for each of them.

It ends with the process of pytest that has started it.
"""

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import resource
import runpy
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from setproctitle import setproctitle

IMPORTED: Final = ("pilotage.central.operate.serve", "pilotage.central.operate.serve_api")
COMMANDS: Final = "pilotage.central.cli"
FILES: Final = 4  # that come with a request: where to say the end, and the standard ones
ENOUGH: Final = 1 << 20
PR_SET_PDEATHSIG: Final = 1


def main(number: int) -> dict[str, Any] | None:
    """Fork for each request that comes, and say how each fork ended.

    A fork returns from it, with its request; the process that forks does when nobody is there.
    """
    setproctitle(f"nursery of {os.getppid()}")  # it must find its memory before any fork settles
    for name in (*IMPORTED, *_commands()):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    asked = socket.socket(fileno=number)
    ended, wake = socket.socketpair()
    for one in (ended, wake):
        one.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    watched = selectors.DefaultSelector()
    watched.register(asked, selectors.EVENT_READ)
    watched.register(ended, selectors.EVENT_READ)
    forks: dict[int, socket.socket] = {}
    while True:
        for key, _ in watched.select():
            if key.fileobj is ended:
                ended.recv(ENOUGH)
                _tell(forks)
                continue
            said, files, *_rest = socket.recv_fds(asked, ENOUGH, FILES)
            if not said:
                return None
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                watched.close()
                for one in (asked, ended, wake, *forks.values()):
                    one.close()
                request: dict[str, Any] = json.loads(said)
                os.close(files[0])
                _settle(request, files[1:])
                return request
            forks[pid] = socket.socket(fileno=files[0])
            forks[pid].send(str(pid).encode())
            for file in files[1:]:
                os.close(file)


def _commands() -> list[str]:
    package = importlib.import_module(COMMANDS)
    names = [one.name for one in pkgutil.iter_modules(package.__path__, f"{COMMANDS}.")]
    return [one for one in names if not one.endswith("__main__")]


def _tell(forks: dict[int, socket.socket]) -> None:
    """Say what has ended."""
    while forks:
        pid, status, used = os.wait4(-1, os.WNOHANG)
        if not pid:
            return
        said = [os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime]
        with forks.pop(pid) as where:
            where.send(json.dumps(said).encode())


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


if __name__ == "__main__":
    found = main(int(sys.argv[1]))
    if found is not None:
        sys.argv = found["words"][2:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
