"""`pilotage pilot start`: pilots on this machine, for tests or without a batch system."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from .distribution.extra_drivers import additions, complete
from .distribution.pilot_bundle import pilot_bundle
from .process import tied


@dataclass(frozen=True)
class PilotPlan:
    """The plan of a pilot to start: its offer and its users.

    For values in `told` that are empty, zero or missing, the pilot uses its own detection.
    """

    central: str = ""
    secret: str = field(default="", repr=False)
    state: Path = Path()
    remove_state: bool = False  # by the pilot itself, after a successful end
    python: str = field(default_factory=lambda: sys.executable)
    # with the names of pilot/settings.py
    told: Mapping[str, object] = field(default_factory=dict[str, object])


def argv(plan: PilotPlan, secret_file: Path) -> list[str]:
    """Return the command line. The secret is in a file, because command lines are public.

    Raises NoBundle.
    """
    words = [plan.python, "-I", "-S", str(_bundle(plan.state)), "run"]
    words += ["--secret-file", str(secret_file), "--state-dir", str(plan.state)]
    for name, value in {"central": plan.central, **plan.told}.items():
        if value:
            option = f"--{name.replace('_', '-')}"
            words.append(option if value is True else f"{option}={_text(value)}")
    return [*words, "--remove-state"] if plan.remove_state else words


def _bundle(state: Path) -> Path:
    """Return the file to start from: a private bundle if other packages add drivers."""
    bundle = pilot_bundle()
    if not additions().drivers:
        return bundle
    own = state / "pilot.pyz"
    own.write_bytes(complete(bundle.read_bytes()))
    return own


def _text(value: object) -> str:
    return ",".join(cast(tuple[str, ...], value)) if isinstance(value, tuple) else str(value)


def start(plan: PilotPlan, *, is_tied: bool = False) -> subprocess.Popen[bytes]:
    """Start a pilot in its own session; its events are written to `<state>/pilot.log`.

    With `is_tied` it ends when this process does.
    """
    plan.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret_file = write_secret(plan.state, plan.secret)
    with (plan.state / "pilot.log").open("ab") as log:
        return subprocess.Popen(
            [*(tied() if is_tied else ()), *argv(plan, secret_file)],
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
    """Write the bootstrap secret with mode 0600."""
    handle, name = tempfile.mkstemp(prefix="secret-", dir=folder)
    with os.fdopen(handle, "w") as file:
        file.write(secret)
    return Path(name)


def new_state_folder() -> Path:
    """Return a new folder for a pilot's state, below the folder of this user's pilots."""
    parent = Path(tempfile.gettempdir(), f"pilotage-{os.geteuid()}")
    parent.mkdir(mode=0o700, exist_ok=True)
    found = parent.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(f"{parent} belongs to another user; remove it, or set TMPDIR")
    return Path(tempfile.mkdtemp(prefix="pilot-", dir=parent))


def start_all(plans: Sequence[PilotPlan]) -> list[subprocess.Popen[bytes]]:
    """Start several pilots."""
    return [start(plan) for plan in plans]
