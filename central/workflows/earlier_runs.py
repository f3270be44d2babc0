"""Finds the finished tasks of an earlier run in the same folder, so that they are not run again.

A finished task leaves a record beside its folder, under a recipe: a hash of all of its inputs. A
resumed run takes records with the same recipe in their old order, so that files get into the same
groups.
"""

import fcntl
import hashlib
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from pilotage.proto.documents.workflow import Workflow

from .errors import RunRefused
from .flow import WorkflowFile, WorkflowTask
from .metadata_keys import key_table

MARK: Final = ".run"  # in the folder of a run: the name of its workflow
SUFFIX: Final = ".done"


class DoneFile(msgspec.Struct, frozen=True):
    """An output file of a task."""

    path: str  # relative to the folder of the run
    bytes: int
    metadata: dict[str, Any]


class DoneTask(msgspec.Struct, frozen=True):
    """The outputs of a task; `turn` is its place in the order of ends."""

    recipe: str
    turn: int
    files: dict[str, list[DoneFile]]
    values: dict[str, Any]


@contextmanager
def claimed(folder: Path, workflow: str, *, resume: bool) -> Generator[None]:
    """Create and hold the folder of a run. Raises RunRefused.

    Without `resume` it must be empty; with it, it may have an earlier run of the workflow.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mark = folder / MARK
        if any(folder.iterdir()):
            if not resume:
                why = "is not empty: give another folder, or continue the run with --resume"
                raise RunRefused(f"{folder} {why}")
            before = mark.read_text().strip() if mark.is_file() else ""
            if before != workflow:
                found = f"a run of {before}" if before else "no folder of a run"
                raise RunRefused(f"{folder} is {found}, not a run of {workflow}")
        with mark.open("a+") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunRefused(f"{folder}: another run uses it") from None
            if held.tell() == 0:
                held.write(workflow + "\n")
                held.flush()
            yield
    except OSError as why:
        raise RunRefused(f"{folder}: {why.strerror or why}") from None


class RunLedger:
    """The records in a run's folder, old and new ones."""

    def __init__(self, workflow: Workflow, folder: Path, beside: Path) -> None:
        self._workflow, self._folder, self._beside = workflow, folder, beside
        self._common = key_table(workflow).common
        self._recipes: dict[str, str] = {}  # of the tasks that made files, by path
        self._digests: dict[str, str] = {}  # of steps' files
        self._turn = 0
        self._found = {one.recipe: one for one in self._read()}

    def _read(self) -> list[DoneTask]:
        decode = msgspec.json.Decoder(DoneTask).decode
        found: list[DoneTask] = []
        for path in self._folder.glob(f"*/*{SUFFIX}"):
            try:
                found.append(decode(path.read_bytes()))
            except (OSError, msgspec.DecodeError):
                continue  # its task runs again
        self._turn = max((one.turn for one in found), default=0)
        return found

    def find(self, task: WorkflowTask) -> DoneTask | None:
        """Return the record of the same task from an earlier run, if its files still exist."""
        if not self._found:
            return None
        done = self._found.get(self._recipe(task))
        if done is None:
            return None
        sizes = (
            (one.bytes, self._folder / one.path) for each in done.files.values() for one in each
        )
        whole = all(path.is_file() and path.stat().st_size == size for size, path in sizes)
        return done if whole else None

    def take(self, task: WorkflowTask, done: DoneTask) -> dict[str, list[WorkflowFile]]:
        """Return the files of a record as those of a task."""
        files = {
            port: [
                WorkflowFile(
                    Path(one.path).name,
                    str(self._folder / one.path),
                    one.bytes,
                    one.metadata,
                    task.step,
                    port,
                    task.number,
                )
                for one in each
            ]
            for port, each in done.files.items()
        }
        self._remember(done.recipe, files)
        return files

    def keep(
        self,
        task: WorkflowTask,
        files: Mapping[str, Sequence[WorkflowFile]],
        values: Mapping[str, Any],
    ) -> None:
        """Write the record of a finished task. Raises OSError."""
        self._turn += 1
        recipe = self._recipe(task)
        self._remember(recipe, files)
        listed = {
            port: [
                DoneFile(os.path.relpath(one.path, self._folder), one.bytes, dict(one.metadata))
                for one in each
            ]
            for port, each in files.items()
        }
        path = self._path(task)
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(DoneTask(recipe, self._turn, listed, dict(values))))
        new.rename(path)

    def drop(self, task: WorkflowTask) -> None:
        """Remove the record of a task that runs again. Raises OSError."""
        self._path(task).unlink(missing_ok=True)

    def _path(self, task: WorkflowTask) -> Path:
        return self._folder / task.step / f"{task.number}{SUFFIX}"

    def _remember(self, recipe: str, files: Mapping[str, Sequence[WorkflowFile]]) -> None:
        self._recipes.update((file.path, recipe) for each in files.values() for file in each)

    def _recipe(self, task: WorkflowTask) -> str:
        step = self._workflow.steps[task.step]
        made_of = {
            "job": msgspec.structs.replace(step.job, retries=0),
            "outputs": step.outputs,
            "metadata": [self._workflow.metadata, step.metadata],
            "inherited": sorted(self._common[task.step])
            if step.inherit is True
            else step.inherit or [],
            "software": self._workflow.software,
            "task": [task.step, task.number],
            "values": task.values,
            "tools": [self._digest(name) for name in step.files],
            "files": [
                [port, file.name, file.bytes, file.metadata, self._origin(file)]
                for port, files in task.files.items()
                for file in files
            ],
        }
        return hashlib.sha256(msgspec.json.encode(made_of)).hexdigest()

    def _origin(self, file: WorkflowFile) -> str:
        """Return the recipe of a file; for other files, the path and time of the last change."""
        if file.step:
            return self._recipes[file.path]
        try:
            return f"{file.path} {os.stat(file.path).st_mtime_ns}"
        except OSError:
            return file.path

    def _digest(self, name: str) -> str:
        if name not in self._digests:
            try:
                content = (self._beside / name).read_bytes()
            except OSError:
                return ""  # the task will report it
            self._digests[name] = hashlib.sha256(content).hexdigest()
        return self._digests[name]
