"""Jobs as a program writes them: short forms, and checks. Each refusal gives the right form.

The constructor of `Job` does not check types, and the central would name only the types that it
found. These mistakes never leave the program.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Final, TypeGuard, cast

from msgspec import structs

from pilotage.proto.decoding.complaints import short
from pilotage.proto.documents.job import Input, Job, Need, OutputPattern

JobLike = Job | Mapping[str, object]
ParameterSet = Mapping[str, str | int | float]
SubmittedItem = JobLike | ParameterSet

NO_INPUT: Final = Input(name="none", sha256="0" * 64, size_bytes=0)
_JOB: Final = "a Job, such as Job(command=('echo', 'hello'))"
_PARAMETERS: Final = "one dictionary for each job: parameters=[{'x': 1}, {'x': 2}]"


def local_inputs(job: object) -> Iterator[str | PurePath]:
    """Yield the inputs of a job that are paths of local files."""
    return (one for one in _part(job, "inputs") if isinstance(one, str | PurePath))


def full_job(job: JobLike, uploaded: Mapping[str | PurePath, Input]) -> JobLike:
    """Return the job in the form of the API, with uploaded files for paths, and patterns for texts.

    Parts of a wrong shape stay, for `check_job`.
    """
    inputs, outputs = _part(job, "inputs"), _part(job, "outputs")
    parts: dict[str, object] = {}
    if any(isinstance(one, str | PurePath) for one in inputs):
        parts["inputs"] = tuple(
            uploaded[one] if isinstance(one, str | PurePath) else one for one in inputs
        )
    if any(isinstance(one, str) for one in outputs):
        parts["outputs"] = tuple(
            OutputPattern(pattern=one) if isinstance(one, str) else one for one in outputs
        )
    if not parts:
        return job
    return structs.replace(job, **parts) if isinstance(job, Job) else {**job, **parts}


def _part(job: object, name: str) -> Sequence[object]:
    """Return a list of a job; nothing if it has another shape."""
    found = job.get(name) if _is_mapping(job) else getattr(job, name, None)
    return cast(Sequence[object], found) if isinstance(found, list | tuple) else ()


def check_job(job: object) -> None:
    """Raise TypeError, with the right form, if this is no job or a part has a frequent mistake."""
    if isinstance(job, Job):
        _check_parts(job.command, job.needs, job.inputs, job.outputs)
    elif _is_mapping(job):
        names = ("command", "needs", "inputs", "outputs")
        _check_parts(*(job.get(name) for name in names))
    else:
        raise TypeError(f"found {_shown(job)}, expected {_JOB}")


def _check_parts(command: object, needs: object, inputs: object, outputs: object) -> None:
    if isinstance(command, str):
        raise TypeError("command: expected a list of words: ['echo', 'hello']")
    if isinstance(needs, Need):
        raise TypeError("needs: expected a list of needs: [Need(...)]")
    for name, one in (("inputs", inputs), ("outputs", outputs)):
        if isinstance(one, str | PurePath):
            raise TypeError(f"{name}: found {_shown(one)}, expected a list: {name}=[{str(one)!r}]")


def check_jobs(jobs: object) -> None:
    """Raise TypeError for a text or another value in place of jobs. Lists are checked later."""
    if isinstance(jobs, str | bytes) or not _is_iterable(jobs) and not isinstance(jobs, Job):
        raise TypeError(f"jobs: found {_shown(jobs)}, expected {_JOB}")


def check_parameters(parameters: object) -> None:
    """Raise TypeError for one dictionary, or another value, in place of a list of them."""
    is_one = isinstance(parameters, str | bytes) or _is_mapping(parameters)
    if is_one or not isinstance(parameters, Iterable):
        raise TypeError(f"parameters: found {_shown(parameters)}, expected {_PARAMETERS}")


def check_parameter_set(entry: object) -> None:
    """Raise TypeError if the parameters of one job are not a dictionary."""
    if not _is_mapping(entry):
        raise TypeError(f"parameters: found {_shown(entry)}, expected {_PARAMETERS}")


def _is_mapping(given: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(given, Mapping)


def _is_iterable(given: object) -> TypeGuard[Iterable[object]]:
    return isinstance(given, Iterable)


def _shown(value: object) -> str:
    return short(repr(value))
