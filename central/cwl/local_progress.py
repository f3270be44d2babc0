"""The progress of a run on this machine: a record for `prod graph --run`, and words."""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from .tools import ToolJob

RECORD: Final = "steps.json"  # in the folder of the results
COUNTS: Final[tuple[str, ...]] = ("made", "done", "failed", "reused")


class LocalProgress:
    """Counts the tools of each step."""

    def __init__(self, steps: Iterable[str], folder: Path | None) -> None:
        """Begin; the folder, if there is one, gets the record with the first tool."""
        self._counts = {name: dict.fromkeys(COUNTS, 0) for name in steps}
        self._folder = folder

    def made(self, job: ToolJob) -> None:
        self._count(job, "made")

    def ended(self, job: ToolJob, *, is_good: bool, is_reused: bool = False) -> None:
        if is_reused:
            self._count(job, "reused")
        self._count(job, "done" if is_good else "failed")

    def _count(self, job: ToolJob, what: str) -> None:
        self._counts.setdefault(job.name, dict.fromkeys(COUNTS, 0))[what] += 1
        self._write()
        if sys.stderr.isatty():
            self._show()

    def _show(self) -> None:
        done, made, failed = (
            sum(one[what] for one in self._counts.values()) for what in ("done", "made", "failed")
        )
        bad = f", {failed} failed" if failed else ""
        end = "\r\x1b[K" if done + failed == made else ""
        sys.stderr.write(f"\r\x1b[K{done} of {made} tools done{bad}{end}")
        sys.stderr.flush()

    def _write(self) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        new = self._folder / f"{RECORD}.new"
        new.write_text(json.dumps(self._counts), encoding="utf-8")
        os.replace(new, self._folder / RECORD)


def read_record(folder: Path) -> dict[str, dict[str, int]]:
    """Return the counts of each step. Raises OSError, and ValueError for another file."""
    try:
        found = msgspec.json.decode((folder / RECORD).read_bytes(), type=dict[str, dict[str, int]])
    except msgspec.DecodeError as why:
        raise ValueError(str(why)) from None
    return {name: {what: its.get(what, 0) for what in COUNTS} for name, its in found.items()}
