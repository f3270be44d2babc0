"""Writes a job as a description in JDL. Reading that again gives the same job.

Fields without an equivalent in JDL go to the attribute `Pilotage`, as JSON in the form of jobs.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from pilotage.proto.api.jdl import JdlContext, JdlPlatform
from pilotage.proto.documents.job import DataOutput, Job, Need

from .attributes import ID
from .errors import BadJdl
from .needs import CORES_MAX, platform_of
from .translation import STDERR, STDOUT, patterns_of, read_jdl

_ANY_PROGRAM: Final = ("Executable", '"true"')
_TAGS: Final = re.compile(r"[^\s&|~()]+( & [^\s&|~()]+)*")
_FILE: Final = "/{file}"

JdlPair = tuple[str, str]  # a name, and its value as it is written


def jdl_of(job: Job, context: JdlContext, *, label: str = "") -> str:
    """Return a job as JDL. `label` is its JobGroup."""
    program, *others = _pairs(job, context, label)
    pairs: list[JdlPair] = [
        program if _can_be_read([program], context) else _ANY_PROGRAM,
    ]
    for pair in others:
        if _can_be_read([*pairs, pair], context):
            pairs.append(pair)
    read = read_jdl(_text(pairs), "", context).jobs[0].job
    further = {
        name: getattr(job, name)
        for name in Job.__struct_fields__
        if getattr(job, name) != getattr(read, name)
    }
    if further:
        json = msgspec.json.encode(further).decode()
        pairs.append(("Pilotage", _quoted(json.replace("%", "\\u0025"))))
    return _text(pairs)


def _text(pairs: Sequence[JdlPair]) -> str:
    lines = [f"    {name} = {value};" for name, value in pairs]
    return "\n".join(["[", *lines, "]", ""])


def _can_be_read(pairs: Sequence[JdlPair], context: JdlContext) -> bool:
    """Return whether attributes can be read together, whatever they become."""
    try:
        read_jdl(_text(pairs), "", context)
    except BadJdl:
        return False
    return True


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


def _listed(texts: Sequence[str]) -> str:
    return "{" + ", ".join(map(_quoted, texts)) + "}"


def _pairs(job: Job, context: JdlContext, label: str) -> Iterator[JdlPair]:
    yield "Executable", _quoted(job.command[0])
    if len(job.command) > 1:
        yield "Arguments", _quoted(shlex.join(job.command[1:]))
    if job.name:
        yield "JobName", _quoted(job.name)
    if label:
        yield "JobGroup", _quoted(label)
    if job.type != "User":
        yield "JobType", _quoted(job.type)
    yield "Priority", str(job.priority)
    if job.environment:
        pairs = [f"{key}={value}" for key, value in job.environment.items()]
        yield "ExecutionEnvironment", _listed(pairs)
    yield from _file_pairs(job, context)
    yield from _need_pairs(job.needs, context)


def _file_pairs(job: Job, context: JdlContext) -> Iterator[JdlPair]:
    stored = job.data.outputs if job.data is not None else ()
    patterns = patterns_of(job)
    streams = (
        ("StdOutput", job.stdout_file, STDOUT),
        ("StdError", job.stderr_file, STDERR),
    )
    for name, file, default in streams:
        if file or any(fnmatchcase(default, pattern) for pattern in patterns):
            yield name, _quoted(file)
    if job.outputs:
        yield "OutputSandbox", _listed([one.pattern for one in job.outputs])
    inputs = job.data.inputs if job.data is not None else ()
    if inputs:
        scope = f"{context.scope or context.group}:"
        yield "InputData", _listed(["LFN:/" + one.did.removeprefix(scope) for one in inputs])
    if stored:
        yield from _stored_pairs(stored)


def _stored_pairs(stored: Sequence[DataOutput]) -> Iterator[JdlPair]:
    yield "OutputData", _listed([one.pattern for one in stored])
    if stored[0].storages:
        yield "OutputSE", _listed(stored[0].storages)
    folder = stored[0].name.removesuffix(_FILE)
    yield "OutputPath", _quoted(folder.replace("{job}", ID).replace("{{", "{").replace("}}", "}"))


def _need_pairs(needs: Sequence[Need], context: JdlContext) -> Iterator[JdlPair]:
    first, last = needs[0], needs[-1]
    if first.sites:
        yield "Site", _listed(first.sites)
    if first.banned_sites:
        yield "BannedSites", _listed(first.banned_sites)
    if first.element:
        yield "GridCE", _quoted(first.element)
    platforms = dict.fromkeys(_platform(one, context) for one in needs)
    if platforms != {"": None}:
        yield "Platform", _listed(list(platforms))
    if first.cores_max == CORES_MAX:
        yield "MinNumberOfProcessors", str(first.cores_min)
    elif first.cores_max > first.cores_min:
        yield "MinNumberOfProcessors", str(first.cores_min)
        yield "MaxNumberOfProcessors", str(first.cores_max)
    elif first.cores_min > 1:
        yield "NumberOfProcessors", str(first.cores_min)
    if first.whole_node:
        yield "WholeNode", "true"
    if first.memory_mb:
        yield "MinRAM", str(first.memory_mb)
    tags = first.tags.split(" & ") if _TAGS.fullmatch(first.tags) else []
    if first.gpus_min:
        tags.append("GPU")
    if tags:
        yield "Tags", _listed(tags)
    yield "CPUTime", str(last.wall_s)


def _platform(need: Need, context: JdlContext) -> str:
    """Return a name for the platform of a need; empty: any, or one without a name."""
    wanted = JdlPlatform(os=need.os, architecture=need.architecture, glibc_min=need.glibc_min)
    system = f"{need.architecture}-{need.os}" if need.architecture else need.os
    names = (system, f"Linux_{need.architecture}_glibc-{need.glibc_min}", *context.platforms)
    return next((name for name in names if name and platform_of(name, context) == wanted), "")
