"""Makes jobs of descriptions in JDL. Pure: it looks at no file, and the central checks the jobs.

The attributes and their meaning are those of DIRAC 9.1: docs/jdl.md.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec

from pilotage.proto.api.jdl import JdlContext
from pilotage.proto.decoding.complaints import as_json, complaint, short
from pilotage.proto.decoding.nesting import loads
from pilotage.proto.documents.job import (
    JOB_NAME_MAX,
    PRIORITY_DEFAULT,
    PRIORITY_MAX,
    DataInput,
    DataOutput,
    Job,
    JobData,
    OutputPattern,
)

from .attributes import ID, Attributes
from .errors import Mistakes
from .grammar import parse
from .needs import NEEDS, needs_of

STDOUT: Final = "std.out"
STDERR: Final = "std.err"
# Makes an input of a storage executable, then runs it.
RUN_INPUT: Final = ("/bin/sh", "-c", 'chmod +x "$0" && exec "$0" "$@"')
INPUTS_MAX: Final = 1_000  # files of a job that are named
_LFN: Final = "LFN:"
_QUOTES: Final = re.compile("['\"\\\\]")
_GLOB: Final = re.compile("[*?[]")
_VARIABLE: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_COMMAND: Final = ("Executable", "Arguments", "InputSandbox")
_FILES: Final = (
    *("InputSandbox", "InputData", "OutputSandbox", "OutputData", "OutputSE", "OutputPath"),
    *("StdOutput", "StdError"),
)
_REST: Final = ("JobName", "JobType", "Priority", "ExecutionEnvironment")

Fields = dict[str, Any]  # of a Job


@dataclass(frozen=True)
class SandboxFile:
    """An entry of `InputSandbox` on this machine: a file, a folder or a pattern."""

    text: str
    at: int


@dataclass(frozen=True)
class JdlJob:
    """A job, and the local files that it needs besides."""

    job: Job
    sandbox: tuple[SandboxFile, ...] = ()


@dataclass(frozen=True)
class JdlFile:
    """The jobs of a description. `notes` say what has no effect, or another one than in DIRAC."""

    jobs: tuple[JdlJob, ...]
    label: str  # its JobGroup
    notes: tuple[str, ...]
    is_parametric: bool
    mistakes: Mistakes = field(repr=False, compare=False)


def read_jdl(text: str, where: str, context: JdlContext) -> JdlFile:
    """Return the jobs of a description. Raises BadJdl with all mistakes.

    `where` is the name of the file, for messages.
    """
    read = translated(text, where, context)
    read.mistakes.check()
    return read


def translated(text: str, where: str, context: JdlContext) -> JdlFile:
    """Return the jobs of a description, and its mistakes, which the caller checks.

    Raises BadJdl if the jobs cannot even be counted.
    """
    mistakes = Mistakes(where, text)
    found = Attributes(parse(text, mistakes), mistakes)
    if found.has_wrong_sequences:
        mistakes.check()  # without values, other attributes would only seem to be wrong
    jobs = _Translation(found, context).jobs()
    return JdlFile(
        jobs, _label(found), tuple(_notes(found)), found.sequences.is_parametric, mistakes
    )


def _label(found: Attributes) -> str:
    if found.varies(("JobGroup",)):
        found.wrong("JobGroup", "all jobs of one description have one group: leave out % there")
        return ""
    label = found.text("JobGroup")
    if len(label) > JOB_NAME_MAX or ID in label:
        found.wrong("JobGroup", f"expected at most {JOB_NAME_MAX} characters, without {ID}")
    return label


def _notes(found: Attributes) -> list[str]:
    notes: list[str] = []
    if found.without_effect:
        notes.append(f"without effect here: {', '.join(found.without_effect)}")
    for name in ("InputDataPolicy", "InputDataModule"):
        value = found.text(name)
        if value and "download" not in value.lower():
            notes.append(f"{name} = {short(value)!r}: input files are always downloaded here")
    if found.has("Priority"):
        value = found.text("Priority")
        notes.append(f"Priority = {value}: without it, a job has {PRIORITY_DEFAULT} here, not 1")
    return notes


class _Translation:
    def __init__(self, found: Attributes, context: JdlContext) -> None:
        self._found, self._context = found, context
        self._sandbox: tuple[SandboxFile, ...] = ()
        self._constant: dict[tuple[str, ...], Fields] = {}

    def jobs(self) -> tuple[JdlJob, ...]:
        return tuple(self._job(number) for number in range(self._found.sequences.count))

    def _job(self, number: int) -> JdlJob:
        self._found.go_to(number)
        fields = {
            **self._part(_COMMAND, self._command),
            **self._part(_FILES, self._files),
            **self._part(NEEDS, lambda: {"needs": needs_of(self._found, self._context)}),
            **self._part(_REST, self._rest),
        }
        sandbox = fields.pop("sandbox")
        job = Job(**fields)
        if any(ID in text for text in _texts(job)):
            job = msgspec.structs.replace(job, id_placeholder=ID)
        return JdlJob(self._with_further_fields(job), sandbox)

    def _part(self, names: tuple[str, ...], make: Callable[[], Fields]) -> Fields:
        """Return fields from these attributes, made once if no attribute differs."""
        if names in self._constant:
            return self._constant[names]
        made = make()
        if not self._found.varies(names):
            self._constant[names] = made
        return made

    # -- the command ----------------------------------------------------------------------------

    def _command(self) -> Fields:
        found = self._found
        program = found.text("Executable")
        if not program:
            if not found.mistakes.count:  # it may be what was wrong before
                lacking = "is empty" if found.has("Executable") else "is missing"
                found.wrong("Executable", f'it {lacking}: write Executable = "run.sh";')
            return {"command": ("",)}
        try:
            given = found.text("Arguments")
            arguments = shlex.split(given) if _QUOTES.search(given) else given.split()
        except ValueError as why:
            found.wrong("Arguments", f"{str(why).lower()}: quotes are read as in a shell")
            arguments = []
        name = PurePosixPath(program).name
        entries = [text for text, _ in found.items("InputSandbox")]
        for text in entries:
            last = PurePosixPath(text.removeprefix(_LFN)).name
            if program in (text, name) and _matches(name, last):
                starts = RUN_INPUT if _is_lfn(text) else ()
                return {"command": (*starts, f"./{name}", *arguments)}
        return {"command": (program, *arguments)}

    # -- files ----------------------------------------------------------------------------------

    def _files(self) -> Fields:
        found = self._found
        sandbox: list[SandboxFile] = []
        inputs: dict[str, None] = {}
        for text, at in found.items("InputSandbox"):
            if _is_lfn(text):
                inputs[self._did(text, "InputSandbox", at)] = None
            elif text[:3].upper() == "SB:":
                why = f"{short(text)!r} is a sandbox of a DIRAC service: name the local files"
                found.wrong("InputSandbox", why, at)
            else:
                sandbox.append(SandboxFile(text, at))
        for text, at in found.items("InputData"):
            inputs[self._did(text, "InputData", at)] = None
        if len(inputs) > INPUTS_MAX:
            found.wrong("InputData", f"found {len(inputs)} files, expected at most {INPUTS_MAX}")
        outputs = tuple(
            OutputPattern(pattern=text, required=False) for text, _ in found.items("OutputSandbox")
        )
        stored = tuple(self._output(text, at) for text, at in found.items("OutputData"))
        patterns = [*(one.pattern for one in outputs), *(one.pattern for one in stored)]
        names = [found.text("StdOutput", STDOUT), found.text("StdError", STDERR)]
        if names[0] and names[0] == names[1]:
            found.wrong("StdError", f"{short(names[1])!r} is StdOutput too: choose another name")
        named = [one if any(_matches(one, p) for p in patterns) else "" for one in names]
        data = JobData(inputs=tuple(DataInput(did=one) for one in inputs), outputs=stored)
        return {
            "sandbox": tuple(sandbox),
            "outputs": outputs,
            "stdout_file": named[0],
            "stderr_file": named[1],
            "data": data if inputs or stored else None,
        }

    @property
    def _scope(self) -> str:
        return self._context.scope or self._context.group

    def _did(self, text: str, name: str, at: int) -> str:
        path = self._path(text, name, at)
        if not self._scope:
            why = "LFNs need a scope: set jdl.scope at the central, or use a token with a group"
            self._found.wrong(name, why, at)
        return f"{self._scope}:{path}"

    def _path(self, text: str, name: str, at: int) -> str:
        """Return the name in the catalogue for an LFN."""
        path = text[len(_LFN) :] if _is_lfn(text) else text
        if not path.startswith("/") or "//" in path or path.endswith("/"):
            why = f"found {short(text)!r}, expected LFN:/a/b or /a/b, without //"
            self._found.wrong(name, why, at)
        return path.strip("/")

    def _output(self, text: str, at: int) -> DataOutput:
        storages = self._found.words("OutputSE")
        if _is_lfn(text):
            path = self._path(text, "OutputData", at)
            pattern, name = PurePosixPath(path).name, _placed(path)
        else:
            folder = self._found.text("OutputPath") or f"{self._context.user or 'user'}/{ID}"
            pattern = text
            name = f"{_placed(folder.strip('/'))}/{'{stem}{suffix}' if '/' in text else '{file}'}"
        return DataOutput(pattern=pattern, scope=self._context.scope, name=name, storages=storages)

    # -- the rest -------------------------------------------------------------------------------

    def _rest(self) -> Fields:
        found = self._found
        name = found.text("JobName")
        if len(name) > JOB_NAME_MAX:
            found.wrong("JobName", f"found {len(name)} characters, expected {JOB_NAME_MAX} at most")
        environment: dict[str, str] = {}
        for text, at in found.items("ExecutionEnvironment"):
            key, sign, value = text.partition("=")
            if not sign or not _VARIABLE.fullmatch(key.strip()):
                why = f'found {short(text)!r}, expected {{"KEY=VALUE", …}}'
                found.wrong("ExecutionEnvironment", why, at)
            environment[key.strip()] = value
        return {
            "name": name,
            "type": found.word("JobType", "User") or "User",
            "priority": found.number("Priority", 0, PRIORITY_MAX, PRIORITY_DEFAULT),
            "environment": environment,
        }

    def _with_further_fields(self, job: Job) -> Job:
        """Return the job with the fields of our own form that `Pilotage` has as JSON."""
        text = self._found.text("Pilotage")
        if not text:
            return job
        try:
            further: dict[str, Any] = loads(text.encode(), dict[str, Any])
            whole = {**msgspec.to_builtins(job), **further}
            return msgspec.convert(whole, Job)
        except msgspec.ValidationError as why:
            found = complaint(why, Job, as_json(text))
            self._found.wrong("Pilotage", f"{found.path.removeprefix('$.')}: {found.message}")
        except msgspec.DecodeError as why:
            self._found.wrong("Pilotage", f"expected fields of a job as JSON: {why}")
        return job


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) if _GLOB.search(pattern) else name == pattern


def _is_lfn(text: str) -> bool:
    return text[: len(_LFN)].upper() == _LFN


def _placed(path: str) -> str:
    """Return a path as a template of an output's name."""
    return path.replace("{", "{{").replace("}", "}}").replace(ID, "{job}")


def patterns_of(job: Job) -> list[str]:
    """Return the patterns of all outputs of a job."""
    stored = job.data.outputs if job.data is not None else ()
    return [*(one.pattern for one in job.outputs), *(one.pattern for one in stored)]


def _texts(job: Job) -> Sequence[str]:
    """Return the texts in which the id of a job is filled in."""
    return (
        *(job.name, job.stdout_file, job.stderr_file, *job.command),
        *(*job.environment.values(), *patterns_of(job)),
    )
