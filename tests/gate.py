"""`python -m tests.gate [FOLDER …]`: the checks, and all cases but the long ones.

The checks give way to all cases. The story of four sites waits for most of its time, so it runs
first, beside them. Most other cases wait for something, too, so several run at a time. Cases that
measure run one after another at the end. A few cases that failed beside others run once more before
them: what passes then is named, because its failure still has a cause. The run writes how long
everything took to `build/gate`, and `docs/testing.md` is made of that.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from random import randrange
from types import FrameType
from typing import Final

from tests.durations import FOLDER, read
from tests.side_by_side import ALONE, SITES

WORKERS: Final = "4"  # on two cores
PYTEST: Final = (sys.executable, "-m", "pytest", "-q", "--ignore=tests/tidy")
TOGETHER: Final = ("-n", WORKERS, "--dist", "loadgroup", "--no-loadscope-reorder")
FIRST: Final = f"tests/{SITES}"
ALL_ALONE: Final = [f"tests/{place}" for place in ALONE if place != SITES]
NO_CASES: Final = 5  # what pytest ends with where a folder has none
TERMINATED: Final = 128 + signal.SIGTERM
FAILED: Final = 1  # and where cases failed
AGAIN_MAX: Final = 20  # more failures than these are not due to a busy machine


def main(folders: list[str]) -> int:
    """Run everything; return 0 if all of it passes."""
    signal.signal(signal.SIGTERM, _end)
    FOLDER.mkdir(parents=True, exist_ok=True)
    chosen = folders or ["tests"]
    sites = 0
    with (
        tempfile.TemporaryFile() as said,
        _started(["make", "--no-print-directory", "check"], said.fileno()) as checks,
    ):
        # It leaves the bytecode of all cases, which each worker would compile otherwise.
        with _started([*PYTEST, "--collect-only", *chosen], subprocess.DEVNULL) as collected:
            if not folders:
                began = time.monotonic()
                sites = _cases("sites", "-m", "alone and not long", FIRST)
                _tell("four sites", began, sites)
                if sites == FAILED:
                    sites = _once_more("sites")
            collected.wait()
        began = time.monotonic()
        together = _cases("together", *TOGETHER, "-m", "not long and not alone", *chosen)
        _tell("cases side by side", began, together)
        checked = checks.wait()
        said.seek(0)
        print(said.read().decode(errors="replace"))
        print(f"checks: {'failed' if checked else 'all passed'}", flush=True)
    if together == FAILED:
        together = _once_more("together")
    began = time.monotonic()
    alone = _cases("alone", "-m", "alone and not long", *(folders or ALL_ALONE))
    _tell("cases one after another", began, alone)
    if folders and NO_CASES in (together, alone):  # they have cases of one kind only
        together, alone = (0 if code == NO_CASES else code for code in (together, alone))
    return checked or sites or together or alone


@contextmanager
def _started(words: list[str], output: int) -> Generator[subprocess.Popen[bytes]]:
    """Run a command that yields to all others, and end what is left of it."""
    started = subprocess.Popen(
        ["nice", "-n", "19", *words],
        stdout=output,
        stderr=subprocess.STDOUT,
        env=_environment(),
        start_new_session=True,
    )
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)


def _end(_number: int, _frame: FrameType | None) -> None:
    """Leave by an exception, so that the checks end with the gate."""
    sys.exit(TERMINATED)


def _once_more(name: str) -> int:
    """Run the cases that failed beside others, without these; return 0 if they pass now."""
    failed = read(FOLDER / f"{name}.json").failed
    if not failed or len(failed) > AGAIN_MAX:
        return FAILED
    code = _cases("again", *failed)
    if not code:
        print("These failed beside others and passed alone. Find out why:", *failed, sep="\n  ")
    return code


def _cases(name: str, *words: str) -> int:
    """Run cases; return what pytest ends with."""
    left = FOLDER / f"{name}.json"
    left.unlink(missing_ok=True)
    environment = {**_environment(), "PILOTAGE_DURATIONS": str(left)}
    return subprocess.run([*PYTEST, "--durations=15", *words], env=environment).returncode


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONSAFEPATH": "1",
        # Some cases are named after sets: all workers must name them alike, each run anew.
        "PYTHONHASHSEED": str(randrange(2**32)),
    }


def _tell(what: str, began: float, code: int) -> None:
    minutes = (time.monotonic() - began) / 60
    print(f"{what}: {minutes:.1f} min, {'failed' if code else 'all passed'}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
