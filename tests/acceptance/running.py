"""A central and pilots as real processes, which a story may kill, freeze and start again.

Everything lies in the story's own folder, and everything that was started is gone at the end: that
is checked, so a payload that outlives its pilot fails the story.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pilotage.central.client import Client
from pilotage.central.operate.datadir import CentralProcess
from pilotage.central.operate.demo.local_central import (
    LocalCentral,
    LocalPilot,
    end,
    local_central,
    start_pilot,
    wait_for_pilots,
)
from pilotage.central.operate.local_pilots import PilotPlan

ROOT = Path(__file__).resolve().parents[2]
SOON_S = 60.0  # for what takes a moment on a quiet machine: this one may be busy
STARTS_S = 300.0  # a process, where a machine has much else to do
LOG_SHOWN = 6_000  # last bytes of each log when a story fails
T = TypeVar("T")


def eventually(look: Callable[[], T], *, what: str = "it", within_s: float = SOON_S) -> T:
    """Return the first true thing that `look` returns, or fail."""
    until = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < until, f"{what} did not happen within {within_s:.0f} s"
        time.sleep(0.03)


@dataclass(frozen=True)
class RunningPilot:
    """A pilot process, its guard, and what they say."""

    id: str
    site: str
    process: subprocess.Popen[bytes]
    state: Path
    guard_pid: int
    host: str = ""  # what its node was called for it

    def kill9(self) -> None:
        self.process.kill()
        self.process.wait()

    def kill9_guard(self) -> None:
        os.kill(self.guard_pid, signal.SIGKILL)

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    @property
    def log(self) -> str:
        return (self.state / "pilot.log").read_text(errors="replace")

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return what it has logged, one event a line: all, or those of these names."""
        lines = self.log.splitlines(keepends=True)
        whole = (line for line in lines if line.startswith("{") and line.endswith("\n"))
        found = [json.loads(line) for line in whole]
        return [one for one in found if not names or one["event"] in names]


@dataclass
class RunningCentral:
    """A central in a folder, its pilots, and the client of its administrator."""

    folder: Path
    options: Mapping[str, str]
    stack: ExitStack
    pilots: list[RunningPilot] = field(default_factory=list[RunningPilot])

    def __post_init__(self) -> None:
        self.process = self._start(0)
        self.port = urlsplit(self.url).port or 0
        self.client = self.stack.enter_context(self.client_of(None))

    @property
    def data(self) -> Path:
        return self.folder / "central"

    @property
    def url(self) -> str:
        return self._local.url

    def client_of(self, token: str | None) -> Client:
        """Return a client with this token, which survives a restart of the central."""
        if token is None:
            token = (self.data / "admin.token").read_text().strip()
        return Client(self.url, token)

    # -- life and death -------------------------------------------------------------------------

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        context = local_central(self.data, self.options, port=port, within_s=STARTS_S)
        self._local: LocalCentral = self.stack.enter_context(context)
        return self._local.process

    def kill9(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start again on the same data and the same port, whether it was killed or runs."""
        end(self.process)
        self.process = self._start(self.port)

    # -- pilots ---------------------------------------------------------------------------------

    def pilot(
        self,
        site: str = "PIC",
        *,
        cores: int = 2,
        isolation: str = "auto",
        element: str = "local",
        memory_mb: int = 4_000,
        scratch_mb: int = 0,
        gpus: int = 0,
        tags: tuple[str, ...] = (),
        amounts: tuple[str, ...] = (),
        image_tools: tuple[str, ...] = (),
        registries: tuple[str, ...] = (),
        url: str = "",
        host: str = "",
        overcommit: bool = True,
    ) -> RunningPilot:
        """Start a pilot and return once it has registered.

        All of a story share this machine, so that a pilot may have more cores than that.

        `url` is where it shall find us, `host` what its node is called (needs root).
        """
        plan = PilotPlan(
            python=self._python_of(host) if host else sys.executable,
            told={
                "cores": cores,
                "overcommit": overcommit,
                "memory_mb": memory_mb,
                "scratch_mb": scratch_mb,
                "gpus": gpus,
                "tags": tags,
                "amounts": amounts,
                "isolation": isolation,
                "image_tools": image_tools,
                "registries": registries,
                "image_cache": str(self.folder / "images") if registries else "",
            },
        )
        local = self._local
        if url:
            local = replace(local, running=CentralProcess(url=url, pid=local.running.pid))
        started = start_pilot(self.client, local, site, element, plan)
        self.stack.callback(_bury, started)
        try:
            wait_for_pilots(self.client, [started])
            guard = eventually(lambda: guard_of(started.process.pid), what="a guard")
        except BaseException:
            print(_tail(started.state / "pilot.log"))
            raise
        pilot = RunningPilot(started.id, site, started.process, started.state, guard, host)
        self.pilots.append(pilot)
        return pilot

    def _python_of(self, host: str) -> str:
        """Return an interpreter on a node of this name."""
        program = self.folder / f"python-{host}"
        called = f'hostname {host} && exec {sys.executable} "$@"'
        program.write_text(f"#!/bin/sh\nexec unshare --uts sh -c '{called}' sh \"$@\"\n")
        program.chmod(0o755)
        return str(program)

    # -- people ---------------------------------------------------------------------------------

    def type(self, *words: str, code: int = 0, token_file: Path | None = None) -> str:
        """Run `pilotage WORDS` as a process, expect the exit code, return its standard output."""
        environment = {**os.environ, "PILOTAGE_DATA": str(self.data), "PYTHONPATH": str(ROOT)}
        if token_file is not None:
            environment["PILOTAGE_TOKEN_FILE"] = str(token_file)
        done = subprocess.run(
            [sys.executable, "-m", "pilotage.central.cli", *words],
            capture_output=True,
            text=True,
            env=environment,
            cwd=self.folder,
            timeout=SOON_S,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, f"{words}: {done.returncode}, {done.stdout}{done.stderr}"
        return done.stdout if not code else done.stdout + done.stderr

    @property
    def log(self) -> str:
        return (self.data / "central.log").read_text(errors="replace")

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return what the central has logged, one event a line: all, or those of these names."""
        found = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [one for one in found if not names or one["event"] in names]

    def show_logs(self) -> None:
        """Print the end of every log; pytest shows it beside the failure."""
        files = [self.data / "central.log", *(one.state / "pilot.log" for one in self.pilots)]
        for file in files:
            print(f"---- {file.relative_to(self.folder)}\n{_tail(file)}")


@contextmanager
def running_central(
    folder: Path, options: Mapping[str, str] | None = None
) -> Generator[RunningCentral]:
    """Run a central in `folder` for a story; at the end nothing of it or of its pilots is left.

    `options` are settings as `section.key`. Logs are printed when the story fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        central = RunningCentral(folder, options or {}, stack)
        told = False
        try:
            yield central
            told = True
        finally:
            if not told:
                central.show_logs()
    eventually(lambda: not processes_of(folder), what=f"the end of {processes_of(folder)}")


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of all living processes that have to do with this folder."""
    needle = os.fsencode(folder)
    found: list[str] = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        said = _read(process / "cmdline") + _read(process / "environ")
        if needle in said:
            line = _read(process / "cmdline").replace(b"\0", b" ").decode(errors="replace")
            found.append(f"{process.name}: {line[:300]}")
    return found


def _bury(pilot: LocalPilot) -> None:
    """End a pilot at once; its guard kills what still runs."""
    guard = guard_of(pilot.process.pid)
    if pilot.process.poll() is None:
        pilot.process.kill()
    pilot.process.wait()
    if guard:  # a zombie, which has no command line, is only waiting for whoever adopted it
        eventually(lambda: not _read(Path(f"/proc/{guard}/cmdline")), what="the guard's end")


def guard_of(pilot: int) -> int:
    """Return the process id of a pilot's guard, 0 where it has none."""
    for task in Path(f"/proc/{pilot}/task").glob("*/children"):
        for child in _read(task).split():
            if b"pilotage.pilot.guard.guard" in _read(Path(f"/proc/{child.decode()}/cmdline")):
                return int(child)
    return 0


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""


def _tail(file: Path) -> str:
    return _read(file)[-LOG_SHOWN:].decode(errors="replace")
