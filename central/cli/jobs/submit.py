"""`pilotage submit`."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from pilotage.proto.decoding.complaints import complaint
from pilotage.proto.decoding.nesting import loads
from pilotage.proto.documents.job import Job
from pilotage.proto.tasks import time_limit

from ...client.errors import BadJobFile, Refused, TimedOut
from ...client.submission_bodies import STREAM_ABOVE
from ..command_frame import Answers, CentralConnection, Client, CommandResult, changes
from ..exit_codes import UsageError
from ..presentation import jobs_in_words
from ..progress import bar
from ..unknown_places import warn_of_unknown
from .error_places import Told, by_line_of, by_ndjson_line, by_option, in_place
from .job_options import JOB_OPTIONS, JobOptions, draft_of, refuse_with_file
from .waiting import LongestWait, report_states, wait_for

if TYPE_CHECKING:
    from ...client.documents.job_files import Draft, JobFile
    from ...client.handles import AsyncSubmissionHandle

_ARRAY = re.compile(r"^(\d{1,7})(?:-(\d{1,7}))?$")


@changes
async def submit(
    central: CentralConnection,
    file: Path | None = None,
    /,
    *,
    job: JobOptions = JOB_OPTIONS,
    array: Annotated[
        str, Parameter(help="Submit one job for each number: N or A-B. `{index}` is the number.")
    ] = "",
    key: Annotated[str, Parameter(help="Idempotency key: the same key gives the same jobs.")] = "",
    running_max: Annotated[
        int, Parameter(help="Run at most this many of the jobs at once (default: no limit).")
    ] = 0,
    wait: Annotated[bool, Parameter(help="Wait until the jobs have ended.")] = False,
    follow: Annotated[
        bool, Parameter(help="Print the output of the single job as it writes it.")
    ] = False,
    timeout_s: LongestWait = None,
    through_held: Annotated[
        bool, Parameter(help="With --wait: keep waiting if all remaining jobs are Held.")
    ] = False,
    payload: Annotated[tuple[str, ...] | None, Parameter(parse=False)] = None,
) -> Answers:
    """Submit a command, a job file or an array of jobs.

    pilotage submit [OPTIONS] -- COMMAND ARGS…

    pilotage submit [OPTIONS] FILE.yaml|FILE.json|FILE.ndjson

    A file holds one job, a list under `jobs:`, or `template:` with `parameters:`. In an .ndjson
    file each line is a job. With --wait or --follow the exit codes are those of `wait`.
    """
    if not (wait or follow) and (timeout_s is not None or through_held):
        option = "--through-held" if timeout_s is None else "--timeout-s"
        raise UsageError(f"{option} needs --wait or --follow: without them nothing waits")
    plan = _plan(file, job, array, payload)
    if follow and plan.count != 1:
        raise UsageError(f"--follow is for one job, and these are {plan.count}: use watch")
    client = await central.client()
    try:
        labels = {"key": key or None, "running_max": running_max, "name": job.name}
        handle = await plan.submit(client, labels)
    except Refused as why:
        raise in_place(why, plan.told) from None
    yield CommandResult(handle.submitted, _in_words(handle))
    await warn_of_unknown(client, plan.jobs)
    if follow:
        await _follow(handle, timeout_s)
    if wait or follow:
        await wait_for(client, handle.ids(), handle.id, timeout_s, through_held=through_held)
        yield report_states(await handle.states())


Labels = dict[str, Any]  # what is said of the submission and not of its jobs


@dataclass(frozen=True)
class SubmitPlan:
    """What submits the jobs, and what tells a refusal by the place that a person knows."""

    submit: Callable[[Client, Labels], Awaitable["AsyncSubmissionHandle"]]
    told: Told
    count: int  # of jobs
    jobs: Sequence[Job] = ()  # or their template; of a file with a job a line nobody looks


def _plan(
    file: Path | None, job: JobOptions, array: str, payload: tuple[str, ...] | None
) -> SubmitPlan:
    """Return what submits the jobs, once everything that can be checked here is checked."""
    if file is not None and payload is not None:
        raise UsageError("give either a job file or a command after `--`, not both")
    if file is None:
        if payload is None:
            raise UsageError("nothing to submit: give a job file, or a command after `--`")
        draft = draft_of(job, payload)
        numbers = parse_array(array) if array else None
        if numbers is not None:
            _check_names(draft.job)
        return SubmitPlan(
            lambda client, labels: _submit_command(client, draft, numbers, labels),
            by_option,
            1 if numbers is None else len(numbers),
            (draft.job,),
        )
    if array:
        raise UsageError("--array is for a command after `--`; a file has `parameters:`")
    refuse_with_file(job)
    group = {"group": job.group}
    if not file.exists():
        raise UsageError(f"there is no file {file}: a command comes after `--`, as in -- {file}")
    if file.suffix == ".ndjson":
        return SubmitPlan(
            lambda client, labels: _submit_lines(client, file, labels | group),
            lambda path, why: by_ndjson_line(file, path, why),
            _count_lines(file),
        )
    from ...client.documents.job_files import read_job_file

    read = read_job_file(file)
    return SubmitPlan(
        lambda client, labels: _submit_file(client, read, labels | group),
        by_line_of(read),
        len(read.jobs) or len(read.parameters),
        tuple(one.job for one in (*read.jobs, *filter(None, [read.template]))),
    )


def _check_names(job: Job) -> None:
    """Refuse parameters that an array does not have."""
    texts = (*job.command, job.name, *job.environment.values(), *(o.pattern for o in job.outputs))
    try:
        names = {name for text in texts for _, name, _, _ in Formatter().parse(text)}
    except ValueError:
        return  # unmatched braces: the central says which
    others = sorted(name for name in names if name is not None and name != "index")
    if others:
        raise UsageError(
            f"{{{others[0]}}} in the command: an array has the parameter {{index}} alone;"
            " write {{ and }} for braces"
        )


def parse_array(text: str) -> range:
    """Return the numbers of `N` (1 to N) or `A-B`."""
    match = _ARRAY.match(text)
    if match:
        first, last = (int(match[1]), int(match[2])) if match[2] else (1, int(match[1]))
        if first <= last and last - first < 1_000_000:
            return range(first, last + 1)
    raise UsageError(f"--array {text}: expected N or A-B, at most 1 000 000 numbers")


async def _submit_command(
    client: Client, draft: "Draft", numbers: range | None, labels: Labels
) -> "AsyncSubmissionHandle":
    job = await _complete(client, draft)
    if numbers is None:
        return await client.submit(job, **labels)
    parameters: Iterable[dict[str, str | int | float]] = ({"index": i} for i in numbers)
    if len(numbers) <= STREAM_ABOVE:
        parameters = list(parameters)
    with bar("submitting", len(numbers), shown=len(numbers) > STREAM_ABOVE) as progress:
        return await client.submit(template=job, parameters=parameters, progress=progress, **labels)


async def _submit_file(client: Client, read: "JobFile", labels: Labels) -> "AsyncSubmissionHandle":
    total = len(read.jobs) or len(read.parameters)
    labels = {name: given or getattr(read, name) for name, given in labels.items()}
    labels["key"] = labels["key"] or None
    with bar("submitting", total, shown=total > STREAM_ABOVE) as progress:
        if read.template is not None:
            template = await _complete(client, read.template)
            return await client.submit(
                template=template, parameters=read.parameters, progress=progress, **labels
            )
        jobs = await _complete_all(client, read.jobs)
        return await client.submit(jobs, progress=progress, **labels)


def _count_lines(file: Path) -> int:
    with file.open("rb") as stream:
        return sum(1 for line in stream if line.strip())


async def _submit_lines(client: Client, file: Path, labels: Labels) -> "AsyncSubmissionHandle":
    total = _count_lines(file)
    with file.open("rb") as stream:
        jobs = (line.strip() for line in stream)
        with bar("submitting", total, shown=total > STREAM_ABOVE) as progress:
            return await client.submit(_decoded(jobs, file), progress=progress, **labels)


def _decoded(lines: Iterator[bytes], file: Path) -> Iterator[Job]:
    for n, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            yield loads(line, Job)
        except msgspec.ValidationError as why:
            found = complaint(why, Job, line)
            field = found.path.removeprefix("$").removeprefix(".")
            raise BadJobFile(str(file), n, field, found.message) from None
        except msgspec.DecodeError as why:
            raise BadJobFile(str(file), n, "", f"not JSON: {why}") from None


async def _complete(client: Client, draft: "Draft") -> Job:
    """Upload the files of a job and return it with them as inputs."""
    return draft.with_inputs(await client.upload(draft.files)) if draft.files else draft.job


async def _complete_all(client: Client, drafts: "tuple[Draft, ...]") -> list[Job]:
    """Upload the files of many jobs at once; what several of them need is hashed once."""
    local = list(dict.fromkeys(file for draft in drafts for file in draft.files))
    uploaded = dict(zip(local, await client.upload(local), strict=True)) if local else {}
    return [draft.with_inputs([uploaded[file] for file in draft.files]) for draft in drafts]


async def _follow(handle: "AsyncSubmissionHandle", timeout_s: float | None) -> None:
    from .logs import follow_job

    try:
        async with time_limit(timeout_s):
            await follow_job(handle.handles()[0])
    except asyncio.TimeoutError:
        raise TimedOut("wait", timeout_s or 0, 1) from None


def _in_words(handle: "AsyncSubmissionHandle") -> str:
    ids = ", ".join(
        str(part.first) if part.count == 1 else f"{part.first}-{part.first + part.count - 1}"
        for part in handle.ranges[:5]
    )
    more = " …" if len(handle.ranges) > 5 else ""
    what = "job" if handle.count == 1 else f"{jobs_in_words(handle.count)}:"
    again = " (the key was known: these are the jobs of the first call)" if handle.repeated else ""
    return f"submission {handle.id}: {what} {ids}{more}{again}"
