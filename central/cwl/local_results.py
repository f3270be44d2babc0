"""Results of tools in a folder of this machine, for later runs.

Below the folder, `RECIPE/` has the folders of the tool, and `RECIPE/done.json` its result, written
last.
"""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from .known_files import digest_of
from .tools import ToolJob

DONE: Final = "done.json"
LOCK: Final = "lock"  # held by a run while it uses the folder


class LocalResults:
    """Keeps results, if it has a folder."""

    def __init__(self, folder: Path | None = None, *, takes: bool = True) -> None:
        """Begin; without `takes`, results are kept, and none is reused."""
        self._folder = self.root = folder.absolute() if folder is not None else None
        self._takes = takes
        self._lock: TextIO | None = None

    def close(self) -> None:
        """Let other runs use the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _lock_folder(self, root: Path) -> None:
        """Wait until no other run uses the folder. Raises OSError."""
        root.mkdir(parents=True, exist_ok=True)
        self._lock = (root / LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another run uses {root}: waiting for its end", file=sys.stderr)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def of(self, job: ToolJob) -> tuple[Path, Any] | None:
        """Return the folder and the result of an equal job, if its files are as they were."""
        where = self.folder(job)
        if where is not None and self._lock is None:
            self._lock_folder(where.parent)
        if where is None or not self._takes:
            return None
        try:
            result = json.loads((where / DONE).read_text(encoding="utf-8"))
            files = [one for one in result["files"] if one["kind"] == "file"]
            whole = result["status"] == "success" and isinstance(result["code"], int)
            whole = whole and all(_is_whole(where / "out" / one["path"], one) for one in files)
        except (OSError, ValueError, LookupError, TypeError):  # it was damaged
            return None
        return (where, result) if whole else None

    def folder(self, job: ToolJob) -> Path | None:
        """Return the folder of a job whose result may be reused; None: there is none."""
        return self._folder / job.recipe if self._folder is not None and job.recipe else None

    def begin(self, job: ToolJob) -> None:
        """Remove what an interrupted run has left."""
        if (where := self.folder(job)) is not None:
            shutil.rmtree(where, ignore_errors=True)
            where.parent.mkdir(parents=True, exist_ok=True)

    def keep(self, job: ToolJob, result: Any) -> None:
        """Note the result of a job, if it was successful. Raises OSError."""
        where = self.folder(job)
        if where is not None and result["status"] == "success":
            new = where / f"{DONE}.new"
            new.write_text(json.dumps(result), encoding="utf-8")
            os.replace(new, where / DONE)


def _is_whole(path: Path, listed: Mapping[str, Any]) -> bool:
    """Return whether a file is still the listed one. Raises OSError."""
    return digest_of(path, "sha1") == str(listed["sha1"])
