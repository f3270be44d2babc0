"""Runs a workflow on this machine, without a central: its tasks are processes.

Each task has the folder `STEP/NUMBER`, with its files in one folder for each port, and the same
environment as a payload of a pilot. Its outputs stay there. Only the step's own files are copied.
"""

import asyncio
import heapq
import os
import re
import shutil
import signal
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, cast

import msgspec

from pilotage.proto.catalogue import BadCatalogueField
from pilotage.proto.decoding.nesting import loads
from pilotage.proto.documents.workflow import Step, Workflow
from pilotage.proto.storages import INPUTS_FILE, META_BYTES_MAX, META_SUFFIX
from pilotage.proto.tasks import Tasks, time_limit

from ..catalogue.local_paths import PayloadPaths
from ..transformations.missing_outputs import MISSING_KEY, said_of, why_it_waits, without
from .check import misfit
from .earlier_runs import DoneTask, RunLedger
from .errors import RunRefused
from .flow import StepCounts, WorkflowFile, WorkflowRun, WorkflowTask
from .metadata_keys import key_table
from .rendering import CannotRender, command_of, known_to, metadata_of, text_of

INPUTS_BYTES_MAX: Final = 100_000  # of paths in a variable, as on pilots
GRACE_S: Final = 5.0  # between the two signals that end a process
SAID_MAX: Final = 2_000  # last bytes of a failed task's standard error
VALUE_MAX_BYTES: Final = 16_000_000
RECORD: Final = "run.json"


@dataclass(frozen=True)
class Failure:
    """A task that failed for good."""

    step: str
    task: int
    reason: str
    said: str  # the end of its standard error


class MadeFile(msgspec.Struct, frozen=True, kw_only=True):
    """An output file of the run, for its record."""

    path: str
    step: str
    port: str
    task: int
    bytes: int
    metadata: dict[str, Any]
    made_of: list[str]


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a step."""

    made: int
    done: int
    failed: int
    skipped: int
    complete: bool
    missing: str = ""  # missing outputs of its parents, if it needs all of them


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `run.json`."""

    workflow: str
    complete: bool
    steps: dict[str, StepRecord]
    files: list[MadeFile]
    values: dict[str, dict[str, list[Any]]]  # by step and port, in the order of the tasks


@dataclass
class RunResult:
    """The result of a run."""

    complete: bool
    counts: Mapping[str, StepCounts]
    starved: Sequence[str]
    left: Mapping[tuple[str, str], int]
    reused: int  # tasks that an earlier run has finished
    failures: Sequence[Failure]
    record: RunRecord
    incomplete: Mapping[str, str]  # by step: the inputs that it waits for, or was made without


@dataclass
class RunEnvironment:
    """The folders, cores and environment of a run."""

    folder: Path  # of the run
    beside: Path  # where relative paths of steps' files begin
    cores: int
    environment: Mapping[str, str] = field(default_factory=dict[str, str])  # of the caller


class _Failed(Exception):
    """An attempt of a task has failed; the message is for the user."""

    def __init__(self, why: str, code: int = -1) -> None:
        super().__init__(why)
        self.code = code


async def run(
    workflow: Workflow,
    place: RunEnvironment,
    catalogue: Sequence[WorkflowFile] = (),
    *,
    progress: Callable[[Mapping[str, StepCounts]], None] = lambda counts: None,
) -> RunResult:
    """Run a checked workflow to its end, in a folder that is `claimed`.

    Finished tasks of an earlier run are not run again. If it is cancelled, it ends all processes
    before it returns. Raises RunRefused if the record cannot be written.
    """
    return await _Run(workflow, place, catalogue, progress).go()


class _Run:
    def __init__(
        self,
        workflow: Workflow,
        place: RunEnvironment,
        catalogue: Sequence[WorkflowFile],
        progress: Callable[[Mapping[str, StepCounts]], None],
    ) -> None:
        self._workflow, self._place, self._progress = workflow, place, progress
        self._flow = WorkflowRun(workflow, catalogue)
        self._common = key_table(workflow).common
        self._ledger = RunLedger(workflow, place.folder, place.beside)
        self._ready: deque[WorkflowTask] = deque()
        self._recorded: list[tuple[int, str, int, WorkflowTask, DoneTask]] = []  # a heap by turn
        self._free = place.cores
        self._running = 0
        self._numbers = 0
        self._reused = 0
        self._in_admission = False
        self._changed = asyncio.Event()
        self._failures: list[Failure] = []
        self._made: list[MadeFile] = []
        self._missing: dict[tuple[str, int], str] = {}  # the missing inputs of tasks
        self._values: dict[str, dict[str, dict[int, Any]]] = {}

    async def go(self) -> RunResult:
        self._admit(self._flow.begin())
        async with Tasks() as tasks:
            while self._ready or self._running:
                self._changed.clear()
                while self._ready and self._cores(self._ready[0]) <= self._free:
                    task = self._ready.popleft()
                    self._free -= self._cores(task)
                    self._running += 1
                    tasks.start(self._settle(task))
                await self._changed.wait()
                self._progress(self._flow.counts())
        return self._outcome()

    def _admit(self, tasks: Iterable[WorkflowTask]) -> None:
        """Take new tasks; those with a record end at once, in their old order."""
        for task in tasks:
            inputs = (file.metadata for files in task.files.values() for file in files)
            self._missing[task.step, task.number] = said_of(self._flow.missing(task.step), inputs)
            done = self._ledger.find(task)
            if done is None:
                self._ready.append(task)
            else:
                heapq.heappush(self._recorded, (done.turn, task.step, task.number, task, done))
        if self._in_admission:
            return
        self._in_admission = True
        while self._recorded:
            *_, task, done = heapq.heappop(self._recorded)
            files = self._ledger.take(task, done)
            self._reused += 1
            self._note(task, files, done.values)
            self._admit(self._flow.done(task, files, done.values))
        self._in_admission = False

    def _cores(self, task: WorkflowTask) -> int:
        wanted = self._workflow.steps[task.step].job.needs[0].cores_min
        return min(wanted, self._place.cores)

    async def _settle(self, task: WorkflowTask) -> None:
        """Run a task with its retries, and report its end to the flow."""
        step = self._workflow.steps[task.step]
        self._numbers += 1
        number, reason = self._numbers, ""
        try:
            for attempt in range(1, step.job.retries + 2):
                try:
                    files, values = await self._attempt(step, task, number, attempt)
                    self._keep(task, files, values)
                except _Failed as why:
                    reason = str(why)
                    if step.job.retry_codes and why.code not in step.job.retry_codes:
                        break
                    continue
                self._note(task, files, values)
                self._admit(self._flow.done(task, files, values))
                return
            said = _tail(self._folder_of(task).with_suffix(".stderr"))
            self._failures.append(Failure(task.step, task.number, reason, said))
            self._admit(self._flow.failed(task))
        finally:
            self._free += self._cores(task)
            self._running -= 1
            self._changed.set()

    def _keep(
        self,
        task: WorkflowTask,
        files: Mapping[str, Sequence[WorkflowFile]],
        values: Mapping[str, Any],
    ) -> None:
        try:
            self._ledger.keep(task, files, values)
        except OSError as why:
            raise _Failed(f"its record cannot be written: {why}") from None

    # -- one attempt -----------------------------------------------------------------------------

    async def _attempt(
        self, step: Step, task: WorkflowTask, number: int, attempt: int
    ) -> tuple[dict[str, list[WorkflowFile]], dict[str, Any]]:
        """Return the outputs of a task, files and values by port. Raises _Failed."""
        folder = self._folder_of(task)
        try:
            self._ledger.drop(task)
            if folder.exists():  # of an earlier attempt
                shutil.rmtree(folder)
            paths = self._lay_out(step, task, folder)
        except OSError as why:
            raise _Failed(f"its folder cannot be created: {why}") from None
        try:
            command = command_of(step, task, paths)
            known = known_to(task, paths)
            said = {name: text_of(text, known) for name, text in step.job.environment.items()}
        except CannotRender as why:
            raise _Failed(str(why)) from None
        given = self._environment(step, folder, number, attempt, paths) | said
        code = await self._process(command, folder, given, step.job.needs[0].wall_s)
        if code not in step.job.success_codes:
            raise _Failed(f"ended by signal {-code}" if code < 0 else f"exit code {code}", code)
        files = {
            port: self._files_of(step, task, port, folder)
            for port, output in step.outputs.items()
            if not output.value
        }
        values = {
            port: _value_at(folder, output.value, output.type, required=output.required)
            for port, output in step.outputs.items()
            if output.value
        }
        return files, values

    def _folder_of(self, task: WorkflowTask) -> Path:
        return self._place.folder / task.step / str(task.number)

    def _lay_out(self, step: Step, task: WorkflowTask, folder: Path) -> dict[str, list[str]]:
        """Create the folder of a task; return the paths of its files in it, by port."""
        folder.mkdir(parents=True)
        (folder / ".pilotage" / "tmp").mkdir(parents=True)
        for name in step.files:
            shutil.copy(self._place.beside / name, folder / PurePosixPath(name).name)
        paths: dict[str, list[str]] = {}
        records, places = list[dict[str, Any]](), PayloadPaths()
        for port, files in task.files.items():
            paths[port] = []
            for file in files:
                link = folder / places.of(file.name, port)
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(file.path)
                paths[port].append(str(link))
                did = f"local:{self._shown(file.path).lstrip('/')}"
                records.append(
                    {"did": did, "path": str(link), "metadata": file.metadata, "port": port}
                )
        (folder / INPUTS_FILE).write_bytes(msgspec.json.encode(records))
        return paths

    def _environment(
        self,
        step: Step,
        folder: Path,
        number: int,
        attempt: int,
        paths: Mapping[str, Sequence[str]],
    ) -> dict[str, str]:
        need = step.job.needs[0]
        inputs = "\n".join(path for each in paths.values() for path in each)
        variables = (
            {"PILOTAGE_INPUTS": inputs} if 0 < len(inputs.encode()) <= INPUTS_BYTES_MAX else {}
        )
        return {
            "PATH": self._place.environment.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "TMPDIR": str(folder / ".pilotage" / "tmp"),
            "PILOTAGE_JOB": str(number),
            "PILOTAGE_EPOCH": str(attempt),
            "PILOTAGE_CORES": str(min(need.cores_min, self._place.cores)),
            "PILOTAGE_GPUS": str(need.gpus_min),
            "PILOTAGE_MEMORY_MB": str(need.memory_mb),
            "PILOTAGE_WALL_S": str(need.wall_s),
            **variables,
        }

    async def _process(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], wall_s: int
    ) -> int:
        """Run a program to its end; return its code. Raises _Failed."""
        with (
            folder.with_suffix(".stdout").open("wb") as out,
            folder.with_suffix(".stderr").open("wb") as err,
        ):
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    cwd=folder,
                    env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
            except (OSError, ValueError) as why:
                raise _Failed(f"{command[0]} cannot be started: {why}") from None
        try:
            async with time_limit(wall_s):
                return await process.wait()
        except asyncio.TimeoutError:
            raise _Failed(f"ran longer than its limit of {wall_s} s") from None
        finally:
            await _end(process)

    # -- outputs
    # ------------------------------------------------------------------------------------

    def _files_of(
        self, step: Step, task: WorkflowTask, port: str, folder: Path
    ) -> list[WorkflowFile]:
        output = step.outputs[port]
        given = {"task": task.number, "transformation": task.step}
        try:
            pattern = text_of(output.pattern, {**task.common, **task.values, **given})
            found = [
                path
                for path in sorted(folder.glob(_as_on_pilots(pattern)))
                if path.is_file() and self._is_made(path, step, task, folder)
            ]
        except (CannotRender, ValueError) as why:
            raise _Failed(f"outputs.{port}: {why}") from None
        if not found and output.required:
            raise _Failed(f"outputs.{port}: no file matches {pattern}")
        return [self._file(step, task, port, path) for path in found]

    def _is_made(self, path: Path, step: Step, task: WorkflowTask, folder: Path) -> bool:
        """Return whether a file is an output of the task, not an input."""
        inside = path.relative_to(folder)
        if inside.parts[0] == ".pilotage" or path.name.endswith(META_SUFFIX):
            return False
        if path.is_symlink():
            target = str(path.readlink())
            return all(target != file.path for each in task.files.values() for file in each)
        return str(inside) not in {PurePosixPath(name).name for name in step.files}

    def _file(self, step: Step, task: WorkflowTask, port: str, path: Path) -> WorkflowFile:
        lacks = self._missing.get((task.step, task.number), "")
        own = {**({MISSING_KEY: lacks} if lacks else {}), **_own_metadata(path)}
        try:
            keys = self._common[task.step]
            metadata = metadata_of(
                self._workflow, step, step.outputs[port], task, own, handed_down=keys
            )
        except (CannotRender, BadCatalogueField) as why:
            raise _Failed(f"outputs.{port}: {path.name}: {why}") from None
        missing = [key for key in step.outputs[port].sets if key not in metadata]
        if missing:
            where = f"{path.name}{META_SUFFIX}"
            raise _Failed(
                f"outputs.{port}: {missing[0]} is not set for {path.name}: write it into {where}"
            )
        size = path.stat().st_size
        return WorkflowFile(path.name, str(path), size, metadata, task.step, port, task.number)

    def _note(
        self,
        task: WorkflowTask,
        files: Mapping[str, Sequence[WorkflowFile]],
        values: Mapping[str, Any],
    ) -> None:
        used = [file.path for each in task.files.values() for file in each]
        for port, made in files.items():
            self._made += [
                MadeFile(
                    path=self._shown(file.path),
                    step=task.step,
                    port=port,
                    task=task.number,
                    bytes=file.bytes,
                    metadata=dict(file.metadata),
                    made_of=[self._shown(path) for path in used],
                )
                for file in made
            ]
        for port, value in values.items():
            self._values.setdefault(task.step, {}).setdefault(port, {})[task.number] = value

    def _shown(self, path: str) -> str:
        """Return a path for the record: for files of the run, relative to its folder."""
        inside = Path(path)
        folder = self._place.folder
        return str(inside.relative_to(folder)) if inside.is_relative_to(folder) else path

    def _outcome(self) -> RunResult:
        counts, complete = self._flow.counts(), self._flow.is_complete()
        starved = self._flow.starved()
        incomplete = self._incomplete(starved)
        record = RunRecord(
            workflow=self._workflow.name,
            complete=complete,
            steps={
                name: StepRecord(
                    made=one.made,
                    done=one.done,
                    failed=one.failed,
                    skipped=one.skipped,
                    complete=not one.failed and name not in starved,
                    missing=incomplete.get(name, ""),
                )
                for name, one in counts.items()
            },
            files=sorted(self._made, key=lambda file: file.path),
            values={
                step: {port: [found[n] for n in sorted(found)] for port, found in ports.items()}
                for step, ports in sorted(self._values.items())
            },
        )
        content = msgspec.json.format(msgspec.json.encode(record), indent=1)
        try:
            (self._place.folder / RECORD).write_bytes(content + b"\n")
        except OSError as why:
            raise RunRefused(f"{RECORD} cannot be written: {why}") from None
        left = self._flow.left()
        failures = self._failures
        return RunResult(
            complete, counts, starved, left, self._reused, failures, record, incomplete
        )

    def _incomplete(self, starved: Sequence[str]) -> dict[str, str]:
        """Return which inputs are missing, by step, for steps that take all."""
        found: dict[str, str] = {}
        for name in self._workflow.steps:
            missing = self._flow.missing(name)
            if missing.words and self._flow.takes_all(name):
                allowed = self._workflow.allowed(name)
                is_starved = name in starved and not missing.is_within(allowed)
                found[name] = why_it_waits(missing, allowed) if is_starved else without(missing)
        return found


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process and all that it started: first SIGTERM, then SIGKILL."""
    if process.returncode is None:
        _tell(process.pid, signal.SIGTERM)
        try:
            async with time_limit(GRACE_S):
                await process.wait()
        except asyncio.TimeoutError:
            pass
    _tell(process.pid, signal.SIGKILL)  # the rest of its session
    await process.wait()


def _tell(pid: int, sign: signal.Signals) -> None:
    try:
        os.killpg(pid, sign)
    except ProcessLookupError:
        pass


def _as_on_pilots(pattern: str) -> str:
    """Return a pattern that pathlib of any Python reads as pilots do."""
    parts = [
        # `**` in a part is refused until Python 3.12
        part if part == "**" else re.sub(r"\*+", "*", part)
        for part in pattern.split("/")
    ]
    if parts[-1] == "**":
        parts.append("*")  # `a/**` means everything below `a`
    return "/".join(parts)


def _own_metadata(path: Path) -> Mapping[str, Any]:
    """Return the metadata that a task set for a file. Raises _Failed."""
    said = path.with_name(path.name + META_SUFFIX)
    try:
        with said.open("rb") as file:
            content = file.read(META_BYTES_MAX + 1)
        if len(content) > META_BYTES_MAX:
            raise _Failed(f"{said.name}: has more than {META_BYTES_MAX} bytes")
        return loads(content, dict[str, Any])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as why:
        raise _Failed(f"{said.name}: expected a mapping in JSON: {why}") from None


def _value_at(folder: Path, name: str, kind: str, *, required: bool) -> Any:
    """Return the value in a JSON file. Raises _Failed."""
    try:
        with (folder / name).open("rb") as file:
            value = cast(Any, loads(file.read(VALUE_MAX_BYTES)))
    except FileNotFoundError:
        if not required:
            return None
        raise _Failed(f"the file {name} with a value is missing") from None
    except (OSError, msgspec.DecodeError) as why:
        raise _Failed(f"{name}: expected a value in JSON: {why}") from None
    wrong = misfit(value, kind) if kind else None
    if wrong is not None:
        raise _Failed(f"{name}: {wrong}")
    return value


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - SAID_MAX))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""
