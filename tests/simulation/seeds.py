"""The worlds of a gate run: others for each commit, and the same for each run of one commit."""

import subprocess
from functools import cache
from typing import Final

from tests.tidy.tree import ROOT

A_CASE: Final = 5  # worlds that one case runs
_SPAN: Final = 1_000_000_000  # above the worlds that are known by their numbers


@cache
def first() -> int:
    """Return the first seed of this commit. Outside of a repository it is always the same."""
    try:
        said = subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "HEAD"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        said = "0"
    return _SPAN + int(said[:8], 16) % _SPAN


def starts(worlds: int) -> range:
    """Return where each case of the gate begins, counted from the first seed."""
    return range(0, worlds, A_CASE)
