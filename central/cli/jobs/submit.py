"""`pilotage submit`."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from pilotage.proto.decoding.complaints import complaint
from pilotage.proto.decoding.nesting import loads
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.tasks import time_limit

from ...client.errors import BadJobFile, Refused, TimedOut
from ...client.submissions.submission_bodies import STREAM_ABOVE, OnProgress
from ...jobs.definition.rendering import fill
from ..command_frame import Answers, CentralConnection, Client, CommandResult, changes
from ..exit_codes import UsageError
from ..notify import NotifyOption
from ..presentation import jobs_in_words, note
from ..progress import bar
from ..unknown_places import warn_of_unknown, warn_of_unmet
from .dry_runs import Shown, dry_run_of, ends_of
from .error_places import Told, by_line_of, by_ndjson_line, by_option, in_place
from .jdl import JdlSubmission, add_ids, are_jdl, submit_jdl_files
from .job_options import JOB_OPTIONS, JobOptions, draft_of, parse_array, refuse_with_file
from .waiting import LongestWait, report_states, says_what_continues, wait_for

if TYPE_CHECKING:
    from ...client.documents.job_files import Draft, JobFile
    from ...client.handles import AsyncSubmissionHandle


@changes
async def submit(
    central: CentralConnection,
    /,
    *files: Path,
    job: JobOptions = JOB_OPTIONS,
    array: Annotated[
        str,
        Parameter(
            help="Submit one job for each number: N, A-B:STEP or a list; %M runs at most M at once."
            " `{index}` is the number."
        ),
    ] = "",
    key: Annotated[str, Parameter(help="Idempotency key: the same key gives the same jobs.")] = "",
    running_max: Annotated[
        int, Parameter(help="Run at most this many of the jobs at once (default: no limit).")
    ] = 0,
    notify: NotifyOption = "",
    wait: Annotated[bool, Parameter(help="Wait until the jobs have ended.")] = False,
    follow: Annotated[
        bool, Parameter(help="Print the standard output of the single job as it writes it.")
    ] = False,
    timeout_s: LongestWait = None,
    through_held: Annotated[
        bool, Parameter(help="With --wait: keep waiting if all remaining jobs are Held.")
    ] = False,
    dry_run: Annotated[
        bool,
        Parameter(help="Print the first and the last job as they would be submitted, and stop."),
    ] = False,
    ids_file: Annotated[
        Path | None, Parameter(alias="-f", help="Add the ids of the jobs to this file, one a line.")
    ] = None,
    payload: Annotated[tuple[str, ...] | None, Parameter(parse=False)] = None,
) -> Answers:
    """Submit a command, a job file or an array of jobs.

    pilotage submit [OPTIONS] -- COMMAND ARGS…

    pilotage submit [OPTIONS] FILE.yaml|FILE.json|FILE.ndjson

    pilotage submit [OPTIONS] FILE.jdl…

    A file holds one job, a list under `jobs:`, or `template:` with `parameters:`. In an .ndjson
    file each line is a job. With --wait, the standard output of a single job is printed when it
    has ended. With --wait or --follow the exit codes are those of `wait`. JDL files are
    submissions of their own; `-` reads one from standard input.
    """
    if not (wait or follow) and (timeout_s is not None or through_held):
        option = "--through-held" if timeout_s is None else "--timeout"
        raise UsageError(f"{option} needs --wait or --follow")
    if files and payload is None and are_jdl(files):
        if array or key or notify or follow or through_held or timeout_s is not None:
            raise UsageError("JDL files take no --array, --key, --notify, --follow or --timeout")
        refuse_with_file(job)
        asked = JdlSubmission(files, job.group, running_max, wait, dry_run, ids_file)
        async for answer in submit_jdl_files(central, asked):
            yield answer
        return
    if len(files) > 1:
        raise UsageError(
            f"unexpected argument {str(files[1])!r} after 'submit {files[0]}': a command comes"
            " after `--`, as in submit -- …"
        )
    plan = _plan(files[0] if files else None, job, array, payload)
    if plan.running_max and running_max:
        raise UsageError("give either %M in --array or --running-max, not both")
    if dry_run:
        yield dry_run_of(plan.count, plan.ends())
        return
    sent = SentJobs(plan.count)
    if follow and plan.count != 1:
        raise UsageError(
            f"--follow takes one job, and these are {plan.count}: use `pilotage watch`"
        )
    with says_if_submitted(sent):
        client = await central.client()
        try:
            labels: Labels = {"key": key, "name": job.name, "notify": notify}
            labels["running_max"] = running_max or plan.running_max
            handle = await plan.submit(client, labels, sent)
        except Refused as why:
            raise in_place(why, plan.told) from None
    add_ids(ids_file, handle.ids())
    yield CommandResult(handle.submitted, _in_words(handle))
    await warn_of_unknown(client, plan.jobs)
    await warn_of_unmet(client, plan.jobs)
    if follow:
        with says_what_continues(
            "the job continues", f"pilotage logs {next(handle.ids())} --follow"
        ):
            await _follow(handle, timeout_s)
    if wait or follow:
        with says_what_continues("the jobs continue", f"pilotage wait --submission {handle.id}"):
            await wait_for(client, handle.ids(), handle.id, timeout_s, through_held=through_held)
        states = await handle.states()
        if not (follow or central.json):
            await _show_output(handle, states)
        yield report_states(states, handle.ids(), handle.id)


Labels = dict[str, Any]  # fields of the submission, not of its jobs


class SentJobs:
    """The sent part of a submission. If all jobs were sent, the central may have accepted it."""

    def __init__(self, count: int) -> None:
        self._count, self._most = max(1, count), 0
        self.key = uuid.uuid4().hex  # unless the command line or the file has one

    def watched(self, move: OnProgress | None) -> OnProgress:
        """Return a progress callback that counts, and passes the number of jobs on to `move`."""

        def hear(sent: int) -> None:
            self._most = max(self._most, sent)
            if move is not None:
                move(sent)

        return hear

    @property
    def may_be_accepted(self) -> bool:
        """Whether the central may have the whole submission."""
        return self._most >= self._count


@contextmanager
def says_if_submitted(sent: SentJobs) -> Generator[None]:
    """Report after Ctrl-C whether the jobs were submitted."""
    try:
        yield
    except asyncio.CancelledError:
        if sent.may_be_accepted:
            again = f"the same command with --key {sent.key} gives the same jobs"
            note(f"interrupted before the answer: the jobs may have been submitted; {again}")
        else:
            note("interrupted: nothing was submitted")
        raise


@dataclass(frozen=True)
class SubmitPlan:
    """How to submit the jobs, and how to describe the place of a mistake that is refused."""

    submit: Callable[[Client, Labels, SentJobs], Awaitable["AsyncSubmissionHandle"]]
    told: Told
    count: int  # of jobs
    jobs: Sequence[Job] = ()  # or their template; empty for .ndjson files, which are streamed
    ends: Callable[[], Sequence[Shown]] = tuple  # the first and the last job, for a dry run
    running_max: int = 0  # of an array


def _plan(
    file: Path | None, job: JobOptions, array: str, payload: tuple[str, ...] | None
) -> SubmitPlan:
    """Check the command line and the file, and return how to submit their jobs."""
    if file is not None and payload is not None:
        raise UsageError("give either a job file or a command after `--`, not both")
    if file is None:
        if payload is None:
            raise UsageError("nothing to submit: give a job file, or a command after `--`")
        draft = draft_of(job, payload)
        numbers, most = parse_array(array) if array else (None, 0)
        if numbers is not None:
            _check_names(draft.job)
        return SubmitPlan(
            lambda client, labels, sent: _submit_command(client, draft, numbers, labels, sent),
            by_option,
            1 if numbers is None else len(numbers),
            (draft.job,),
            partial(_ends_of_array, draft, numbers),
            most,
        )
    if array:
        raise UsageError("--array is for a command after `--`; a file has `parameters:`")
    refuse_with_file(job)
    group = {"group": job.group}
    if not file.exists():
        raise UsageError(f"there is no file {file}: a command comes after `--`, as in -- {file}")
    if file.suffix == ".ndjson":
        return SubmitPlan(
            lambda client, labels, sent: _submit_lines(client, file, labels | group, sent),
            lambda path, why: by_ndjson_line(file, path, why),
            _count_lines(file),
            ends=lambda: [(job, ()) for job in ends_of(_decoded(_lines_of(file), file))],
        )
    from ...client.documents.job_files import read_job_file
    from .own_inputs import with_own_inputs

    read = with_own_inputs(read_job_file(file))
    return SubmitPlan(
        lambda client, labels, sent: _submit_file(client, read, labels | group, sent),
        by_line_of(read),
        len(read.jobs) or len(read.parameters),
        tuple(one.job for one in (*read.jobs, *filter(None, [read.template]))),
        partial(_ends_of_file, read),
    )


def _ends_of_array(draft: "Draft", numbers: Sequence[int] | None) -> list[Shown]:
    if numbers is None:
        return [(draft.job, draft.files)]
    return [(fill(draft.job, {"index": i}), draft.files) for i in ends_of(numbers)]


def _ends_of_file(read: "JobFile") -> list[Shown]:
    if read.template is None:
        return [(one.job, one.files) for one in ends_of(read.jobs)]
    template = read.template
    return [(fill(template.job, one), template.files) for one in ends_of(read.parameters)]


def _check_names(job: Job) -> None:
    """Raise UsageError for parameters that an array does not have."""
    texts = (*job.command, job.name, *job.environment.values(), *(o.pattern for o in job.outputs))
    try:
        names = {name for text in texts for _, name, _, _ in Formatter().parse(text)}
    except ValueError:
        return  # unmatched braces: the central names them
    others = sorted(name for name in names if name is not None and name != "index")
    if others:
        raise UsageError(
            f"{{{others[0]}}} in the command: an array has only the parameter {{index}};"
            " write {{ and }} for braces"
        )


async def _submit_command(
    client: Client, draft: "Draft", numbers: Sequence[int] | None, labels: Labels, sent: SentJobs
) -> "AsyncSubmissionHandle":
    job = await _complete(client, draft)
    if numbers is None:
        return await _send(client, labels, sent, 1, jobs=job)
    parameters: Iterable[dict[str, str | int | float]] = ({"index": i} for i in numbers)
    if len(numbers) <= STREAM_ABOVE:
        parameters = list(parameters)
    return await _send(client, labels, sent, len(numbers), template=job, parameters=parameters)


async def _submit_file(
    client: Client, read: "JobFile", labels: Labels, sent: SentJobs
) -> "AsyncSubmissionHandle":
    labels = {name: given or getattr(read, name) for name, given in labels.items()}
    if read.template is not None:
        template, entries = await _complete(client, read.template), read.parameters
        return await _send(
            client, labels, sent, len(entries), template=template, parameters=entries
        )
    from ...client.jdl import complete_all

    jobs = await complete_all(client, read.jobs)
    return await _send(client, labels, sent, len(jobs), jobs=jobs)


async def _send(
    client: Client, labels: Labels, sent: SentJobs, count: int, **what: Any
) -> "AsyncSubmissionHandle":
    """Submit `count` jobs, with a progress bar if they are many."""
    sent.key = labels["key"] or sent.key
    labels = {**labels, "key": sent.key}
    with bar("submitting", count, shown=count > STREAM_ABOVE) as move:
        return await client.submit(**what, **labels, progress=sent.watched(move))


def _count_lines(file: Path) -> int:
    with file.open("rb") as stream:
        return sum(1 for line in stream if line.strip())


async def _submit_lines(
    client: Client, file: Path, labels: Labels, sent: SentJobs
) -> "AsyncSubmissionHandle":
    jobs = _decoded(_lines_of(file), file)
    return await _send(client, labels, sent, _count_lines(file), jobs=jobs)


def _lines_of(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        for line in stream:
            yield line.strip()


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
    """Upload the files of a job, and return the job with these inputs."""
    return draft.with_inputs(await client.upload(draft.files)) if draft.files else draft.job


async def _follow(handle: "AsyncSubmissionHandle", timeout_s: float | None) -> None:
    from .logs import follow_job

    try:
        async with time_limit(timeout_s):
            await follow_job(handle.handles()[0])
    except asyncio.TimeoutError:
        raise TimedOut("wait", timeout_s or 0, 1) from None


async def _show_output(handle: "AsyncSubmissionHandle", states: Mapping[JobState, int]) -> None:
    """Print the standard output of a single job that has ended, or name the command for several."""
    from .logs import print_output

    if handle.count == 1 and FINAL.issuperset(states):
        await print_output(handle.handles()[0])
    elif handle.count > 1:
        note(f"their output: pilotage logs --submission {handle.id}")


def _in_words(handle: "AsyncSubmissionHandle") -> str:
    ids = ", ".join(
        str(part.first) if part.count == 1 else f"{part.first}-{part.first + part.count - 1}"
        for part in handle.ranges[:5]
    )
    more = " …" if len(handle.ranges) > 5 else ""
    what = "job" if handle.count == 1 else f"{jobs_in_words(handle.count)}:"
    again = " (same key as before: these are the jobs of the first call)" if handle.repeated else ""
    return f"submission {handle.id}: {what} {ids}{more}{again}"
