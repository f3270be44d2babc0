"""`python -m tests.gate [FOLDER …]`: the checks, and all cases but the long ones.

Most cases wait for something, so several run at a time, and the checks beside them. What measures
runs alone at the end.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import randrange
from typing import Final

WORKERS: Final = "4"  # on two cores
PYTEST: Final = (sys.executable, "-m", "pytest", "-q", "--ignore=tests/tidy")
TOGETHER: Final = (*("-n", WORKERS, "--dist", "loadgroup", "--no-loadscope-reorder"),)


def main(folders: list[str]) -> int:
    """Run everything; return 0 if all of it passes."""
    with tempfile.TemporaryFile() as said:
        began = time.monotonic()
        checks = subprocess.Popen(
            ["make", "--no-print-directory", "check"],
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            together = _cases(folders, *TOGETHER, "-m", "not long and not alone")
            checked = checks.wait()
        finally:
            if checks.poll() is None:
                os.killpg(checks.pid, signal.SIGKILL)
        said.seek(0)
        sys.stdout.write(said.read().decode(errors="replace"))
    _tell("checks and cases side by side", began, checked or together)
    began = time.monotonic()
    alone = _cases(folders, "-m", "alone and not long")
    _tell("cases alone", began, alone)
    return checked or together or alone


def _cases(folders: list[str], *words: str) -> int:
    Path("build").mkdir(exist_ok=True)
    # Some cases are named after sets: all workers must name them alike. Each run has other names.
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": str(randrange(2**32))}
    words = (*words, "--durations=25", *(folders or ["tests"]))
    code = subprocess.run([*PYTEST, *words], env=environment).returncode
    return 0 if code == 5 and folders else code  # 5: the folders have no such cases


def _tell(what: str, began: float, code: int) -> None:
    minutes = (time.monotonic() - began) / 60
    print(f"{what}: {minutes:.1f} min, {'failed' if code else 'all passed'}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
