"""A job from the command line: its options, and the command after `--`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from cyclopts import Parameter

from pilotage.proto.amounts import OF_NEEDS, BadAmount, check_amounts, read_amounts
from pilotage.proto.decoding.complaints import as_json, complaint, steps
from pilotage.proto.decoding.strict_yaml import NotYaml, load_strictly
from pilotage.proto.documents.job import (
    LIMITS_HELP,
    NEED_HELP,
    PRIORITY_MAX,
    PRIORITY_MIN,
    Job,
    JobLimits,
    Need,
    Preference,
)

from ...client.documents.job_files import Draft
from ...client.documents.sweeps import JOBS_MAX, NUMBERS, numbers_of
from ...client.files import LocalFile
from ..exit_codes import UsageError
from ..options import filled, filled_by, filling, fills, option
from ..units import option_name, with_units
from .dependencies import dependencies

T = TypeVar("T")
Words = tuple[str, ...]
_job, _preference = partial(fills, Job), partial(fills, Preference)
# Options with other names than their fields.
_NAMES = {"sites": "site", "banned_sites": "banned_site", "cores_min": "cores", "gpus_min": "gpus"}


@Parameter(name="*")
@dataclass(frozen=True)
@with_units
@filling(JobLimits, LIMITS_HELP, before="retries")
@filling(Need, NEED_HELP, before="need", names=_NAMES)
class JobOptions:
    """Options of a job. The needs and limits that have a help text are options as well."""

    name: str = _job("name", "Name of the job or the submission.")
    type: str = _job("type", "Type of job. Limits, bans and pilots select by it.")
    group: str = _job("group", "Group to submit for (default: the first of your token).")
    need: Words = option((), "Amount of a counted resource, as in bandwidth_mbps=100. Repeatable.")
    preferred_site: Words = _preference("sites", "Prefer this site for a time. Repeatable.")
    preferred_for_s: int = _preference("for_s", "Time to prefer it, from the submission.")
    input: tuple[Path, ...] = option((), "File or folder to copy to the job. Repeatable.")
    output: Words = option((), "Glob of files to keep. Repeatable.")
    data_input: Words = option((), "File or dataset of the catalogue to read. Repeatable.")
    data_query: Words = option((), "Query for files to read: '{run: {\">=\": 5}}'. Repeatable.")
    data_output: Words = option(
        (), "Files to store and publish: PATTERN or PATTERN=NAME. Repeatable."
    )
    data_storage: Words = option(
        (), "Storage for those files (default: the configured one). Repeat to add fallbacks."
    )
    image: str = _job("image", "Container image to run in: a path on the nodes.")
    software: Words = _job(
        "software", "Folder of software on the node; {level} is its best CPU level. Repeatable."
    )
    module: Words = _job("modules", "Environment module to load. Repeatable.")
    checkpoint: str = _job(
        "checkpoint", "Folder of checkpoints, handed from each attempt to the next."
    )
    token: Words = option((), "Token of yours for the payload: NAME=AUDIENCE[,SCOPE…]. Repeatable.")
    retries: int = _job("retries", "Retries after a failure of the job.")
    priority: int = _job(
        "priority", f"Priority from {PRIORITY_MIN} to {PRIORITY_MAX}; higher runs earlier."
    )
    env: Words = option((), "Environment variable KEY=VALUE. Repeatable.")
    after: Words = option(
        (), "Start after these jobs are Done: 12, 12-20 or submission:7; also 12:any. Repeatable."
    )
    after_each: Words = option(
        (), "Start each job of the array after that job of an equal one: submission:7. Repeatable."
    )
    after_failed: str = _job(
        "after_failed", "If those jobs end otherwise: hold or skip (default: hold)."
    )
    queue_s: int = _job("queue_s", "Wait in the queue at most this time; 0: no limit.")


JOB_OPTIONS = JobOptions()

_KEY = re.compile(
    r"\b("
    + "|".join(name for name in Need.__struct_fields__ if "_" in name or name == "sites")
    + r")\b"
)


# The option for a part of a job, if the names differ.
_OPTION_OF = {
    **{
        name: option_name(option)
        for option, (kind, name) in filled_by(JobOptions).items()
        if kind is not Preference
    },
    "environment": "--env",
    "amounts": "--need",
    "inputs": "--input",
    "pattern": "--output",
    "tokens": "--token",
}
_OPTION_OF_AMOUNT = {name: option_name(name) for name in OF_NEEDS}
_OPTION_OF_PREFERENCE = {"sites": "--preferred-site", "for_s": "--preferred-for-s"}
_OPTION_OF_DATA = {
    "did": "--data-input",
    "query": "--data-query",
    "pattern": "--data-output",
    "storages": "--data-storage",
}


def draft_of(options: JobOptions, payload: tuple[str, ...]) -> Draft:
    """Return the job. Raises UsageError, which names the wrong option."""
    if not payload:
        raise UsageError("there is no command after `--`")
    job: dict[str, Any] = {
        **filled(options, Job),
        "command": payload,
        "environment": _environment(options.env),
        "limits": filled(options, JobLimits),
        "outputs": [{"pattern": pattern} for pattern in options.output],
        "needs": [{**filled(options, Need), "amounts": _amounts(options.need)}],
        "preference": _preferred(options),
        "data": _data(options),
        "tokens": _tokens(options.token),
        "after": dependencies(options.after, options.after_each),
    }
    try:
        return Draft(msgspec.convert(job, Job), _files(options.input))
    except msgspec.ValidationError as why:
        raise UsageError(named(why, Job, job)) from None


def parse_array(text: str) -> tuple[Sequence[int], int]:
    """Return the numbers of an array, and how many of its jobs run at once (0: all).

    `N` means 1 to N. Other forms are those of Slurm: `1-1000:2%50`.
    """
    numbers, percent, most = text.partition("%")
    right = f"expected {NUMBERS}, and %MOST for a limit of running jobs, as in 1-1000:2%50"
    if percent and not (most.isascii() and most.isdigit() and 0 < int(most) <= JOBS_MAX):
        raise UsageError(f"--array {text}: {right}")
    try:
        found = numbers_of(f"1-{numbers}" if numbers.isascii() and numbers.isdigit() else numbers)
    except ValueError as why:
        raise UsageError(f"--array {text}: {why}") from None
    return found, int(most or 0)


def refuse_with_file(options: JobOptions) -> None:
    """Raise UsageError if an option describes a job, although the job comes from a file."""
    for one in fields(options):
        if one.name not in ("name", "group") and getattr(options, one.name) != one.default:
            option = option_name(one.name)
            raise UsageError(f"{option} is for a command after `--`; write it into the job file")


def _data(options: JobOptions) -> dict[str, Any] | None:
    """Return the data inputs and outputs of the job, in the form of a job file."""
    inputs: list[dict[str, Any]] = [{"did": did} for did in options.data_input]
    for text in options.data_query:
        try:
            query = load_strictly(text)
        except NotYaml as why:
            raise UsageError(f"--data-query {text!r}: {why.why}") from None
        if not isinstance(query, dict) or not query:
            raise UsageError(
                f"--data-query {text!r}: expected a mapping, such as {{particle: gamma}}"
            )
        inputs.append({"query": query})
    if options.data_storage and not options.data_output:
        raise UsageError("--data-storage needs --data-output: the files to store there")
    where = {"storages": options.data_storage} if options.data_storage else {}
    outputs: list[dict[str, Any]] = []
    for text in options.data_output:
        pattern, sign, name = text.partition("=")
        if not pattern or (sign and not name):
            raise UsageError(f"--data-output {text!r}: expected PATTERN or PATTERN=NAME")
        outputs.append({"pattern": pattern, **({"name": name} if name else {}), **where})
    return {"inputs": inputs, "outputs": outputs} if inputs or outputs else None


def _tokens(words: Words) -> dict[str, Any]:
    """Return the tokens of the job, in the form of a job file."""
    found: dict[str, Any] = {}
    for text in words:
        name, _, rest = text.partition("=")
        audience, *scopes = rest.split(",")
        if not name or not audience:
            raise UsageError(f"--token {text!r}: expected NAME=AUDIENCE or NAME=AUDIENCE,SCOPE")
        if name in found:
            raise UsageError(f"--token {text!r}: {name} was given before")
        found[name] = {"audience": audience, "scopes": scopes}
    return found


def _amounts(words: Words) -> dict[str, int]:
    try:
        amounts = read_amounts(words)
        check_amounts(amounts, _OPTION_OF_AMOUNT)
    except BadAmount as why:
        raise UsageError(f"--need: {why}") from None
    return amounts


def _preferred(options: JobOptions) -> dict[str, Any] | None:
    if options.preferred_site:
        return filled(options, Preference)
    if options.preferred_for_s != JOB_OPTIONS.preferred_for_s:
        raise UsageError("--preferred-for-s needs --preferred-site")
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
    """Describe a mistake in a `kind` with the name of its option. `given` is the wrong value."""
    found = complaint(why, kind, as_json(given) if given is not None else b"")
    option = option_of(found.path)
    return f"{option}: {found.message}" if option else found.message


def request(kind: type[T], **given: object) -> T:
    """Return the request from the options. Raises UsageError, which names the wrong option."""
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as why:
        raise UsageError(named(why, kind, given)) from None


def option_of(path: str) -> str:
    """Return the option for a part of a request; empty if there is none."""
    words = [step for step in steps(path) if not step.isdigit()]
    field = next((step for step in reversed(words) if step != "..."), "")
    if "after" in words:
        return "--after-each" if field == "each" else "--after"
    if {"data", "inputs", "query"} <= set(words):  # the rest of the path is a key of the query
        return _OPTION_OF_DATA["query"]
    if "data" in words:
        return _OPTION_OF_DATA.get(field, "--data-output" if "outputs" in words else "--data-input")
    for whole in ("environment", "tokens"):  # the rest of the path is a name, and a part of it
        if whole in words:
            return _OPTION_OF[whole]
    if "preference" in words and field in _OPTION_OF_PREFERENCE:
        return _OPTION_OF_PREFERENCE[field]
    return _OPTION_OF.get(field, option_name(field)) if field else ""


def in_options(message: str) -> str:
    """Return a message about a job with the names of options in place of its keys."""
    return _KEY.sub(lambda key: option_of(f"$.{key[0]}"), message)
