"""`pilotage bench matcher`: the figures of the matcher, each row in a process of its own."""

import subprocess
import sys

import msgspec

from pilotage.central.operate.process import tied

from ..figures import Figure
from .rows import ROWS

ROW_S_MAX = 600
WORK = (
    "The matcher alone on one core, in a steady state: each match is confirmed and ended, and a "
    "new job is submitted for it. Times are CPU times."
)


def run() -> tuple[str, list[Figure]]:
    """Measure all rows but the long one."""
    return WORK, [one for name in ROWS for one in row(name)]


def row(name: str, *jobs: int) -> list[Figure]:
    """Measure one row, with so many jobs if it takes a number."""
    words = [*tied(), sys.executable, "-m", __name__, name, *map(str, jobs)]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=ROW_S_MAX)
    return msgspec.json.decode(done.stdout, type=list[Figure])
