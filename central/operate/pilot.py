"""`pilotage pilot start`: pilots on this machine, to try out or where there is no batch system."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .bundle import pilot_bundle


@dataclass(frozen=True)
class PilotPlan:
    """How a pilot is started. Empty fields are left to the pilot's own detection."""

    central: str = ""
    secret: str = field(default="", repr=False)
    state: Path = Path()
    cores: int = 0
    memory_mb: int = 0
    tags: tuple[str, ...] = ()
    wall_s: int = 0
    idle_s: int = 0
    isolation: str = "auto"
    os: str = ""
    architecture: str = ""
    ca: str = ""
    remove_state: bool = False  # by the pilot itself, when it has ended well
    python: str = field(default_factory=lambda: sys.executable)


def argv(plan: PilotPlan, secret_file: Path) -> list[str]:
    """Return the command line. The secret goes by a file: command lines are public."""
    words = [plan.python, "-I", "-S", str(pilot_bundle()), "run"]
    options: dict[str, str] = {
        "--central": plan.central,
        "--secret-file": str(secret_file),
        "--state-dir": str(plan.state),
        "--cores": str(plan.cores or ""),
        "--memory-mb": str(plan.memory_mb or ""),
        "--tags": ",".join(plan.tags),
        "--wall-s": str(plan.wall_s or ""),
        "--idle-s": str(plan.idle_s or ""),
        "--isolation": plan.isolation,
        "--os": plan.os,
        "--architecture": plan.architecture,
        "--ca": plan.ca,
    }
    for name, value in options.items():
        if value:
            words += [name, value]
    return [*words, "--remove-state"] if plan.remove_state else words


def start(plan: PilotPlan) -> subprocess.Popen[bytes]:
    """Start a pilot in a session of its own; its events go to `<state>/pilot.log`."""
    plan.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret_file = write_secret(plan.state, plan.secret)
    with (plan.state / "pilot.log").open("ab") as log:
        return subprocess.Popen(
            argv(plan, secret_file),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=plan.state,
        )


def run(plan: PilotPlan) -> int:
    """Run a pilot in the foreground; return its exit code."""
    plan.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return subprocess.call(argv(plan, write_secret(plan.state, plan.secret)))


def write_secret(folder: Path, secret: str) -> Path:
    """Write the bootstrap secret where only we can read it."""
    handle, name = tempfile.mkstemp(prefix="secret-", dir=folder)
    with os.fdopen(handle, "w") as file:
        file.write(secret)
    return Path(name)


def new_state_folder() -> Path:
    """Return a fresh folder for a pilot's state."""
    return Path(tempfile.mkdtemp(prefix="pilotage-pilot-"))


def start_all(plans: Sequence[PilotPlan]) -> list[subprocess.Popen[bytes]]:
    """Start several."""
    return [start(plan) for plan in plans]
