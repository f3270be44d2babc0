"""A central and pilots as processes of this machine, for the demo and the benches."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.pilot_states import PilotState

from ...client import Client
from ..datadir import CentralProcess
from ..local_pilots import PilotPlan, start
from ..process import tied

START_S = 30.0
STOP_S = 20.0


class NotRunning(Exception):
    """A process did not start or ended early; the message has the end of its log."""


@dataclass(frozen=True)
class LocalCentral:
    """A central in a child process."""

    data: Path
    running: CentralProcess
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return self.running.url


@contextmanager
def local_central(
    data: Path,
    options: Mapping[str, str],
    *,
    port: int = 0,
    keep: bool = False,
    within_s: float = START_S,
) -> Generator[LocalCentral]:
    """Start `pilotage serve` on a free port or on `port`; end it after the block unless `keep`.

    A central that is not kept also ends when this process is killed. `options` are settings as
    `section.key`. Raises NotRunning.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = data / "central.log"
    words = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    with log.open("ab") as out:
        process = subprocess.Popen(
            [
                *(() if keep else tied()),
                *(sys.executable, "-m", "pilotage.central.cli", "serve"),
                *("--data", str(data), "--port", str(port), *words),
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield LocalCentral(data, _running(data, process, log, within_s), process)
    finally:
        if not keep:
            end(process)


def _running(
    data: Path, process: subprocess.Popen[bytes], log: Path, within_s: float
) -> CentralProcess:
    file = data / "central.json"
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if process.poll() is not None:
            raise NotRunning(f"the central ended:\n{log.read_text(errors='replace')[-2_000:]}")
        if file.is_file():
            found = msgspec.json.decode(file.read_bytes(), type=CentralProcess)
            if found.pid == process.pid:
                return found
        time.sleep(0.02)
    raise NotRunning(f"the central did not start within {within_s:.0f} s; its log is {log}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a child process by SIGTERM, or its session by SIGKILL if it does not end."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclass(frozen=True)
class LocalPilot:
    """A pilot in a child process."""

    id: str
    process: subprocess.Popen[bytes]
    state: Path


def start_pilot(
    client: Client,
    central: LocalCentral,
    site: str,
    element: str,
    plan: PilotPlan,
    *,
    is_tied: bool = False,
) -> LocalPilot:
    """Start one pilot; `plan` has its size, this function adds secret and places.

    With `is_tied` it ends when this process does.
    """
    made = client.secrets(SecretRequest(site=site, element=element)).secrets[0]
    state = central.data / "pilots" / made.pilot
    filled = replace(plan, central=central.url, secret=made.secret, state=state)
    return LocalPilot(made.pilot, start(filled, is_tied=is_tied), state)


def wait_for_pilots(client: Client, pilots: Sequence[LocalPilot]) -> None:
    """Return when all have registered. Raises NotRunning."""
    wanted = {pilot.id for pilot in pilots}
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if wanted <= {pilot.id for pilot in client.pilots(states=[PilotState.RUNNING])}:
            return
        for pilot in pilots:
            if pilot.process.poll() is not None:
                log = (pilot.state / "pilot.log").read_text(errors="replace")
                raise NotRunning(f"pilot {pilot.id} ended:\n{log[-2_000:]}")
        time.sleep(0.05)
    raise NotRunning(f"pilots did not register within {START_S:.0f} s")
