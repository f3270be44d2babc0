"""A job from the command line: options and the words after `--`."""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from cyclopts import Parameter

from pilotage.proto.job import (
    PRIORITY_DEFAULT,
    PRIORITY_MAX,
    PRIORITY_MIN,
    Job,
    JobLimits,
    Need,
    Preference,
)
from pilotage.proto.strict_yaml import NotYaml, load_strictly
from pilotage.proto.wording import as_json, complaint, steps

from ..client.files import LocalFile
from ..client.job_file import Draft
from .exit_codes import UsageError


@Parameter(name="*")
@dataclass(frozen=True)
class JobOptions:
    """What a job is and what it needs."""

    name: Annotated[str, Parameter(help="Name of the job, or of the submission.")] = ""
    type: Annotated[str, Parameter(help="Kind of job: limits, bans and pilots go by it.")] = "User"
    group: Annotated[str, Parameter(help="Group to submit for; else the token's first.")] = ""
    cores: Annotated[int, Parameter(help="Cores that it needs.")] = 1
    cores_max: Annotated[int, Parameter(help="Cores that it can use; 0: no more.")] = 0
    whole_node: Annotated[bool, Parameter(help="All of a pilot, with no other job in it.")] = False
    memory_mb: Annotated[int, Parameter(help="Memory in MB (10^6 bytes); 0: any.")] = 0
    memory_per_core_mb: Annotated[int, Parameter(help="Memory for each core beside that.")] = 0
    scratch_mb: Annotated[int, Parameter(help="Free disk in MB; 0: any.")] = 0
    wall_s: Annotated[int, Parameter(help="Longest time that it runs.")] = 86_400
    site: Annotated[tuple[str, ...], Parameter(help="Only at this site; repeatable.")] = ()
    element: Annotated[str, Parameter(help="Only in this compute element.")] = ""
    preferred_site: Annotated[
        tuple[str, ...], Parameter(help="Rather at this site, for a time; repeatable.")
    ] = ()
    preferred_for_s: Annotated[
        int, Parameter(help="How long rather there, from the submission on.")
    ] = Preference().for_s
    banned_site: Annotated[tuple[str, ...], Parameter(help="Not at this site; repeatable.")] = ()
    tags: Annotated[str, Parameter(help="Tags that the pilot must have: 'cvmfs & ~legacy'.")] = ""
    os: Annotated[str, Parameter(help="Operating system: el9, debian13 …")] = ""
    architecture: Annotated[str, Parameter(help="x86_64, aarch64 …")] = ""
    architecture_level_min: Annotated[
        int, Parameter(help="3 for x86-64-v3 and higher; 0: any.")
    ] = 0
    architecture_level_max: Annotated[int, Parameter(help="2 for x86-64-v2 and lower.")] = 0
    glibc_min: Annotated[str, Parameter(help="Oldest C library that will do: 2.28.")] = ""
    user_namespaces: Annotated[bool, Parameter(help="It makes user namespaces.")] = False
    isolation: Annotated[
        str, Parameter(help="namespaces: no other pilot saw its pilot when that started.")
    ] = ""
    cpu_work_hs23_s: Annotated[int, Parameter(help="CPU work of all cores, HS23 seconds.")] = 0
    gpus: Annotated[int, Parameter(help="GPUs that it needs.")] = 0
    gpus_max: Annotated[int, Parameter(help="GPUs that it can use; 0: no more.")] = 0
    gpu_memory_mb: Annotated[int, Parameter(help="Memory of each GPU in MB.")] = 0
    gpu_vendor: Annotated[str, Parameter(help="nvidia, amd, intel.")] = ""
    gpu_compute_capability_min: Annotated[str, Parameter(help="Least capability: 8.0.")] = ""
    gpu_compute_capability_max: Annotated[str, Parameter(help="Highest that will do.")] = ""
    gpu_driver_min: Annotated[str, Parameter(help="Oldest driver that will do: 535.104.")] = ""
    input: Annotated[
        tuple[Path, ...], Parameter(help="File or folder to lay into its folder; repeatable.")
    ] = ()
    output: Annotated[tuple[str, ...], Parameter(help="Files to keep, as a glob; repeatable.")] = ()
    data_input: Annotated[
        tuple[str, ...],
        Parameter(help="File or dataset of the catalogue that it reads; repeatable."),
    ] = ()
    data_query: Annotated[
        tuple[str, ...],
        Parameter(help="What files it reads must be like: '{run: {\">=\": 5}}'; repeatable."),
    ] = ()
    data_output: Annotated[
        tuple[str, ...],
        Parameter(help="Files to store and publish, PATTERN or PATTERN=NAME; repeatable."),
    ] = ()
    data_storage: Annotated[
        tuple[str, ...],
        Parameter(help="Storage that those go to; else a default one. Repeatable: or the next."),
    ] = ()
    image: Annotated[str, Parameter(help="Container image that it runs in: a path on nodes.")] = ""
    software: Annotated[
        tuple[str, ...],
        Parameter(help="Folder of software on the node, {level} for its best; repeatable."),
    ] = ()
    module: Annotated[tuple[str, ...], Parameter(help="Environment module; repeatable.")] = ()
    checkpoint: Annotated[
        str, Parameter(help="Folder of its own that travels from each attempt to the next.")
    ] = ""
    cpu_s: Annotated[int, Parameter(help="Most CPU time of all its processes; 0: no limit.")] = (
        JobLimits().cpu_s
    )
    streams_mb: Annotated[
        int, Parameter(help="Most that it may print, both streams together; 0: no limit.")
    ] = JobLimits().streams_mb
    processes: Annotated[int, Parameter(help="Most processes at once; 0: no limit.")] = (
        JobLimits().processes
    )
    stall_s: Annotated[
        int, Parameter(help="Longest time without any use of the CPU; 0: no limit.")
    ] = JobLimits().stall_s
    warning_s: Annotated[
        int, Parameter(help="How long before its end it gets a signal; 0: it gets none.")
    ] = JobLimits().warning_s
    warning_signal: Annotated[str, Parameter(help="Which signal: USR1, USR2, TERM or INT.")] = (
        JobLimits().warning_signal
    )
    retries: Annotated[int, Parameter(help="How often to run it again when it fails.")] = 0
    priority: Annotated[
        int, Parameter(help=f"{PRIORITY_MIN} to {PRIORITY_MAX}; higher runs earlier.")
    ] = PRIORITY_DEFAULT
    env: Annotated[tuple[str, ...], Parameter(help="KEY=VALUE for its environment.")] = ()
    queue_s: Annotated[int, Parameter(help="Longest wait in the queue; 0: no limit.")] = 0


JOB_OPTIONS = JobOptions()
T = TypeVar("T")

_KEY = re.compile(
    r"\b("
    + "|".join(name for name in Need.__struct_fields__ if "_" in name or name == "sites")
    + r")\b"
)

# Which option stands for which part of a job, where the names differ.
_OPTION_OF = {
    "cores_min": "--cores",
    "gpus_min": "--gpus",
    "sites": "--site",
    "banned_sites": "--banned-site",
    "environment": "--env",
    "inputs": "--input",
    "pattern": "--output",
    "modules": "--module",
}
_OPTION_OF_PREFERENCE = {"sites": "--preferred-site", "for_s": "--preferred-for-s"}
_OPTION_OF_DATA = {
    "did": "--data-input",
    "query": "--data-query",
    "pattern": "--data-output",
    "storages": "--data-storage",
}
_FIELD_OF: Final = {
    "cores_min": "cores",
    "gpus_min": "gpus",
    "sites": "site",
    "banned_sites": "banned_site",
}


def draft_of(options: JobOptions, payload: tuple[str, ...]) -> Draft:
    """Return the job, or raise UsageError that names the option."""
    if not payload:
        raise UsageError("there is no command after `--`")
    need = {name: getattr(options, _FIELD_OF.get(name, name)) for name in Need.__struct_fields__}
    job: dict[str, Any] = {
        "command": payload,
        "name": options.name,
        "type": options.type,
        "group": options.group,
        "environment": _environment(options.env),
        "image": options.image,
        "software": options.software,
        "modules": options.module,
        "checkpoint": options.checkpoint,
        "limits": {name: getattr(options, name) for name in JobLimits.__struct_fields__},
        "outputs": [{"pattern": pattern} for pattern in options.output],
        "retries": options.retries,
        "priority": options.priority,
        "queue_s": options.queue_s,
        "needs": [need],
        "preference": _preference(options),
        "data": _data(options),
    }
    try:
        return Draft(msgspec.convert(job, Job), _files(options.input))
    except msgspec.ValidationError as why:
        raise UsageError(named(why, Job, job)) from None


def refuse_with_file(options: JobOptions) -> None:
    """Raise UsageError if an option describes a job although a file does."""
    for one in fields(options):
        if one.name not in ("name", "group") and getattr(options, one.name) != one.default:
            option = "--" + one.name.replace("_", "-")
            raise UsageError(f"{option} is for a command after `--`; write it into the job file")


def _data(options: JobOptions) -> dict[str, Any] | None:
    """Return what the job reads and writes on storages, as a job file says it."""
    inputs: list[dict[str, Any]] = [{"did": did} for did in options.data_input]
    for text in options.data_query:
        try:
            query = load_strictly(text)
        except NotYaml as why:
            raise UsageError(f"--data-query {text!r}: {why.why}") from None
        if not isinstance(query, dict) or not query:
            raise UsageError(f"--data-query {text!r}: expected a mapping, as {{particle: gamma}}")
        inputs.append({"query": query})
    if options.data_storage and not options.data_output:
        raise UsageError("--data-storage: say what is stored there with --data-output too")
    where = {"storages": options.data_storage} if options.data_storage else {}
    outputs: list[dict[str, Any]] = []
    for text in options.data_output:
        pattern, sign, name = text.partition("=")
        if not pattern or (sign and not name):
            raise UsageError(f"--data-output {text!r}: expected PATTERN or PATTERN=NAME")
        outputs.append({"pattern": pattern, **({"name": name} if name else {}), **where})
    return {"inputs": inputs, "outputs": outputs} if inputs or outputs else None


def _preference(options: JobOptions) -> dict[str, Any] | None:
    if options.preferred_site:
        return {"sites": options.preferred_site, "for_s": options.preferred_for_s}
    if options.preferred_for_s != JOB_OPTIONS.preferred_for_s:
        raise UsageError("--preferred-for-s: say where with --preferred-site too")
    return None


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


def named(why: msgspec.ValidationError, kind: Any, given: object = None) -> str:
    """Return what is wrong with a `kind` in terms of options; `given` is what was to become one."""
    found = complaint(why, kind, as_json(given) if given is not None else b"")
    option = option_of(found.path)
    return f"{option}: {found.message}" if option else found.message


def request(kind: type[T], **given: object) -> T:
    """Return the request that options make, or raise UsageError that names the wrong one."""
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as why:
        raise UsageError(named(why, kind, given)) from None


def option_of(path: str) -> str:
    """Return the option that stands for a part of a request, empty where there is none."""
    words = [step for step in steps(path) if not step.isdigit()]
    field = next((step for step in reversed(words) if step != "..."), "")
    if {"data", "inputs", "query"} <= set(words):  # what comes after is a key that was asked for
        return _OPTION_OF_DATA["query"]
    if "data" in words:
        return _OPTION_OF_DATA.get(field, "--data-output" if "outputs" in words else "--data-input")
    if "environment" in words:
        return _OPTION_OF["environment"]
    if "preference" in words and field in _OPTION_OF_PREFERENCE:
        return _OPTION_OF_PREFERENCE[field]
    return _OPTION_OF.get(field, "--" + field.replace("_", "-")) if field else ""


def in_options(message: str) -> str:
    """Return a message about a job with options in place of its keys."""
    return _KEY.sub(lambda key: option_of(f"$.{key[0]}"), message)
