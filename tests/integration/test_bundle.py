"""`pilot.pyz` imports on the oldest Python that a worker node may have, with nothing installed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotage.central.operate.bundle import pilot_bundle

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import aiomqtt, pilotage.pilot, pilotage.proto
for package in (pilotage.pilot, pilotage.proto):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
strangers = {name.split(".")[0] for name, module in sys.modules.items()
             if "site-packages" in (getattr(module, "__file__", None) or "")}
print(*strangers)
"""


def interpreters() -> Iterator[str]:
    """Yield this Python, and a 3.9 where the machine has one that answers."""
    yield sys.executable
    kept_by_pyenv = sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python"))
    for name in (shutil.which("python3.9"), *map(str, kept_by_pyenv)):
        if name and subprocess.run([name, "-c", ""], capture_output=True).returncode == 0:
            yield name
            return


@pytest.mark.parametrize("python", [*interpreters()])
def test_every_module_of_the_bundle_is_imported(python: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [python, "-I", "-S", "-c", IMPORT_EVERYTHING, pilot_bundle()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_a_checkout_builds_the_bundle_once_and_again_after_a_change() -> None:
    first = pilot_bundle()
    built = first.stat().st_mtime_ns
    pilot_bundle()
    assert first.stat().st_mtime_ns == built

    os.utime(first, ns=(0, 0))  # as if every source were newer

    assert pilot_bundle().stat().st_mtime_ns >= built
