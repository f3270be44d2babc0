"""Checks of the jobs that a program submits. Each refusal gives the right form.

The constructor of `Job` does not check types, and the central would name only the types that it
found. These mistakes never leave the program.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Final, TypeGuard, cast

from pilotage.proto.decoding.complaints import short
from pilotage.proto.documents.job import Job, Need

JobLike = Job | Mapping[str, object]
ParameterSet = Mapping[str, str | int | float]
SubmittedItem = JobLike | ParameterSet

_JOB: Final = "a Job, such as Job(command=('echo', 'hello'))"
_UPLOADED: Final = "files that are uploaded: inputs=client.upload(['{}'])"
_PARAMETERS: Final = "one dictionary for each job: parameters=[{'x': 1}, {'x': 2}]"


def check_job(job: object) -> None:
    """Raise TypeError, with the right form, if this is no job or a part has a frequent mistake."""
    if isinstance(job, Job):
        parts: list[object] = [job.needs, job.inputs, job.outputs]
        _check_parts(job.command, *parts, pattern="OutputPattern(pattern={!r})")
    elif _is_mapping(job):
        parts = [job.get(name) for name in ("needs", "inputs", "outputs")]
        _check_parts(job.get("command"), *parts, pattern="{{'pattern': {!r}}}")
    else:
        raise TypeError(f"found {_shown(job)}, expected {_JOB}")


def _check_parts(
    command: object, needs: object, inputs: object, outputs: object, *, pattern: str
) -> None:
    if isinstance(command, str):
        raise TypeError("command: expected a list of words: ['echo', 'hello']")
    if isinstance(needs, Need):
        raise TypeError("needs: expected a list of needs: [Need(...)]")
    one = _text_in(inputs)
    if one is not None:
        raise TypeError(f"inputs: found {_shown(one)}, expected {_UPLOADED.format(one)}")
    one = _text_in(outputs)
    if one is not None:
        right = f"outputs=[{pattern.format(str(one))}]"
        raise TypeError(f"outputs: found {_shown(one)}, expected patterns: {right}")


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


def _text_in(given: object) -> str | PurePath | None:
    """Return the first text or path in a list that should have none."""
    if not given:
        return None
    if isinstance(given, (str, PurePath)):
        return given
    if not isinstance(given, list | tuple):
        return None
    some = cast(Sequence[object], given)
    return next((one for one in some if isinstance(one, str | PurePath)), None)


def _shown(value: object) -> str:
    return short(repr(value))
