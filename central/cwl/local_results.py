"""Results of tools in a folder of this machine, for later runs.

Below the folder, `RECIPE/` has the folders of the tool, and `RECIPE/done.json` its result, written
last.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

from .tools import ToolJob

DONE: Final = "done.json"


class LocalResults:
    """Keeps results, if it has a folder."""

    def __init__(self, folder: Path | None = None, *, takes: bool = True) -> None:
        """Begin; without `takes`, results are kept, and none is reused."""
        self._folder = self.root = folder.absolute() if folder is not None else None
        self._takes = takes

    def of(self, job: ToolJob) -> tuple[Path, Any] | None:
        """Return the folder and the result of an equal job, if all of its files are there."""
        where = self.folder(job)
        if where is None or not self._takes:
            return None
        try:
            result = json.loads((where / DONE).read_text(encoding="utf-8"))
            files = [one for one in result["files"] if one["kind"] == "file"]
            whole = all(_size(where / "out" / one["path"]) == one["bytes"] for one in files)
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


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
