"""A job from the command line: options and the words after `--`."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from pilotage.proto.job import PRIORITY_DEFAULT, PRIORITY_MAX, PRIORITY_MIN, Job
from pilotage.proto.wording import complaint, steps

from ..client.files import LocalFile
from ..client.job_file import Draft
from .exit_codes import UsageError


@Parameter(name="*")
@dataclass(frozen=True)
class JobOptions:
    """What a job is and what it needs."""

    name: Annotated[str, Parameter(help="Name of the job, or of the submission.")] = ""
    type: Annotated[str, Parameter(help="Kind of job, for filters and summaries.")] = "User"
    group: Annotated[str, Parameter(help="Group to submit for; else the token's first.")] = ""
    cores: Annotated[int, Parameter(help="Cores that it needs.")] = 1
    memory_mb: Annotated[int, Parameter(help="Memory in MB (10^6 bytes); 0: any.")] = 0
    wall_s: Annotated[int, Parameter(help="Longest time that it runs.")] = 86_400
    site: Annotated[tuple[str, ...], Parameter(help="Only at this site; repeatable.")] = ()
    banned_site: Annotated[tuple[str, ...], Parameter(help="Not at this site; repeatable.")] = ()
    tags: Annotated[str, Parameter(help="Tags that the pilot must have: 'cvmfs & ~legacy'.")] = ""
    os: Annotated[str, Parameter(help="Operating system: el9, debian13 …")] = ""
    input: Annotated[
        tuple[Path, ...], Parameter(help="File or folder to lay into its folder; repeatable.")
    ] = ()
    output: Annotated[tuple[str, ...], Parameter(help="Files to keep, as a glob; repeatable.")] = ()
    retries: Annotated[int, Parameter(help="How often to run it again when it fails.")] = 0
    priority: Annotated[
        int, Parameter(help=f"{PRIORITY_MIN} to {PRIORITY_MAX}; higher runs earlier.")
    ] = PRIORITY_DEFAULT
    env: Annotated[tuple[str, ...], Parameter(help="KEY=VALUE for its environment.")] = ()
    queue_s: Annotated[int, Parameter(help="Longest wait in the queue; 0: no limit.")] = 0


JOB_OPTIONS = JobOptions()

# Which option stands for which part of a job, where the names differ.
_OPTION_OF = {
    "cores_min": "--cores",
    "sites": "--site",
    "banned_sites": "--banned-site",
    "environment": "--env",
    "inputs": "--input",
    "pattern": "--output",
}


def draft_of(options: JobOptions, payload: tuple[str, ...]) -> Draft:
    """Return the job, or raise UsageError that names the option."""
    if not payload:
        raise UsageError("there is no command after `--`")
    need = {
        "sites": options.site,
        "banned_sites": options.banned_site,
        "os": options.os,
        "cores_min": options.cores,
        "memory_mb": options.memory_mb,
        "wall_s": options.wall_s,
        "tags": options.tags,
    }
    job = {
        "command": payload,
        "name": options.name,
        "type": options.type,
        "group": options.group,
        "environment": _environment(options.env),
        "outputs": [{"pattern": pattern} for pattern in options.output],
        "retries": options.retries,
        "priority": options.priority,
        "queue_s": options.queue_s,
        "needs": [need],
    }
    try:
        return Draft(msgspec.convert(job, Job), _files(options.input))
    except msgspec.ValidationError as why:
        raise UsageError(named(why, Job)) from None


def refuse_with_file(options: JobOptions) -> None:
    """Raise UsageError if an option describes a job although a file does."""
    for one in fields(options):
        if one.name not in ("name", "group") and getattr(options, one.name) != one.default:
            option = "--" + one.name.replace("_", "-")
            raise UsageError(f"{option} is for a command after `--`; write it into the job file")


def _environment(pairs: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not key or not sign:
            raise UsageError(f"--env {pair!r}: expected KEY=VALUE")
        found[key] = value
    return found


def _files(paths: tuple[Path, ...]) -> tuple[LocalFile, ...]:
    for path in paths:
        if not path.exists():
            raise UsageError(f"--input {path}: there is no such file")
    return tuple(LocalFile(path) for path in paths)


def named(why: msgspec.ValidationError, kind: Any) -> str:
    """Return what is wrong with a `kind` in terms of options."""
    found = complaint(why, kind)
    option = option_of(found.path)
    return f"{option}: {found.message}" if option else found.message


def option_of(path: str) -> str:
    """Return the option that stands for a part of a request, empty where there is none."""
    words = [step for step in steps(path) if not step.isdigit()]
    field = next((step for step in reversed(words) if step != "..."), "")
    return _OPTION_OF.get(field, "--" + field.replace("_", "-")) if field else ""
