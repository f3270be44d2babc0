"""`pilotage logs` and `pilotage output`."""

import codecs
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from pilotage.proto.api.jobs import JobView
from pilotage.proto.attempts import Stream
from pilotage.proto.job_states import FINAL, JobState

from ...client.files import FetchedOutput
from ...client.waiting.job_output import LIVE_BYTES, LIVE_S
from ..command_frame import Answers, CentralConnection, Client, CommandResult, reads
from ..exit_codes import UsageError
from ..options import CHANGING_S
from ..presentation import note, number, table
from .selection import JobArgument, is_ids, parse_ids, views_of
from .waiting import says_what_continues

if TYPE_CHECKING:
    from ...client.handles import AsyncJobHandle
    from ...client.waiting.job_output import OutputPart


@reads
async def logs(
    central: CentralConnection,
    job: JobArgument,
    /,
    *,
    stream: Annotated[Literal["stdout", "stderr"], Parameter(help="Stream to print.")] = "stdout",
    follow: Annotated[
        bool, Parameter(alias="-f", help="Continue until the job has ended.")
    ] = False,
) -> Answers:
    """Print what a job has written so far; with --follow, also what it writes from now on.

    Of a running job, its pilot sends the last 65,536 bytes of the stream. The central keeps the
    last 10^6 bytes of each stream of an ended attempt. Standard error says how many bytes are
    missing, and names the attempt if there are several. With --json, each piece is a line {job,
    stream, text}.
    """
    # Following takes long, and the leader may change in that time.
    client = await central.client(patience_s=CHANGING_S if follow else None)
    text = codecs.getincrementaldecoder("utf-8")(errors="replace")
    is_empty, is_late = True, False

    def on_part(part: "OutputPart") -> None:
        nonlocal is_late
        is_late = part.is_late
        tell_part(part)

    with says_what_continues("the job continues", f"pilotage logs {job} --follow"):
        async for piece in client.log(job, Stream(stream), follow=follow, on_part=on_part):
            is_empty = is_empty and not piece
            if central.json:
                yield CommandResult({"job": job, "stream": stream, "text": text.decode(piece)})
            else:
                _write(piece)
    if is_empty:
        note(_why_empty((await client.detail(job)).view, stream, is_late=is_late))
    elif is_late:
        note(f"its pilot did not send all of its output within {LIVE_S:.0f} s: try again")


@reads
async def output(
    central: CentralConnection,
    jobs: Annotated[
        str, Parameter(name="JOBS", help="A job or a range of jobs: 12 or 12-15.")
    ] = "",
    /,
    *names: str,
    submission: Annotated[
        int | None, Parameter(help="All jobs of this submission, instead of JOBS.")
    ] = None,
    to: Annotated[
        Path | None, Parameter(help="Folder to fetch into, or the file for a single name.")
    ] = None,
    all: Annotated[bool, Parameter(help="Fetch all kept files.")] = False,
    by_job: Annotated[
        bool, Parameter(help="Fetch each job into its own folder below --to, named by its id.")
    ] = False,
    force: Annotated[bool, Parameter(help="Replace local files that differ.")] = False,
) -> Answers:
    """List the files that jobs kept, or fetch some: pilotage output 12 hist.json --to results/

    pilotage output JOBS [NAMES…]

    pilotage output --submission N [NAMES…]

    The command fetches nothing if a local file differs, unless you add --force. It refuses two
    outputs that clash in one folder; --by-job prevents that.
    """
    if submission is None:
        if not jobs:
            raise UsageError("no jobs: give them as in 12 or 12-15, or give --submission")
        ids = parse_ids((jobs,))
        client = await central.client()
    else:
        if jobs and is_ids(jobs):
            raise UsageError(f"give either {jobs} or --submission {submission}, not both")
        names = (jobs, *names) if jobs else names
        client = await central.client()
        ids = tuple((await client.submission(submission)).ids())
    if not names and not all and to is None and not by_job:
        yield await _list(client, ids)
        return
    if len(ids) == len(names) == 1 and not by_job:
        path = await client.download(ids[0], names[0], to or Path(), force=force)
        yield _fetched(FetchedOutput(ids[0], names[0], path))
        return
    folder = to or Path()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--to {folder} is a file: several outputs need a folder")
    count = 0
    async for one in client.download_all(ids, folder, names=names, by_job=by_job, force=force):
        count += 1
        yield _fetched(one)
    if not count:
        note(await _why_no_files(client, ids))


def _why_empty(view: JobView, stream: str, *, is_late: bool) -> str:
    """Return the message for a job without output; it may still get some."""
    yet = "" if view.state in FINAL else " yet"
    if not view.epoch:
        if view.state is JobState.WAITING:
            return f"job {view.id} waits and has not run yet: `pilotage explain {view.id}` says why"
        return f"job {view.id} has not run{yet}"
    if is_late and yet:
        why = f"the pilot of job {view.id} did not send its {stream} within {LIVE_S:.0f} s"
        return f"{why}: try again, or add --follow"
    return f"job {view.id} has written nothing to {stream}{yet}"


async def follow_job(handle: "AsyncJobHandle") -> None:
    """Print what a job writes until it has ended."""
    async for piece in handle.log(follow=True, on_part=tell_part):
        _write(piece)


async def print_output(handle: "AsyncJobHandle") -> None:
    """Print the kept standard output of a job, and end its last line."""
    last = b"\n"
    async for piece in handle.log(on_part=tell_part):
        _write(piece)
        last = piece or last
    if not last.endswith(b"\n"):
        _write(b"\n")


def tell_part(part: "OutputPart") -> None:
    """Name the attempt of the next bytes if there are several, and report missing bytes."""
    if 0 < part.attempt < part.newest:
        note(f"attempt {part.attempt}: the newest attempt, {part.newest}, has no output yet")
    elif part.attempt > 1:
        note(f"attempt {part.attempt}")
    if part.left_out:
        kept = (
            f"a running job shows only the last {number(LIVE_BYTES)} bytes of a stream"
            if part.is_live
            else "the central keeps only the last 10^6 bytes of a stream"
        )
        note(f"… {number(part.left_out)} bytes are missing: {kept}")


async def _list(client: Client, ids: tuple[int, ...]) -> CommandResult:
    found = [(job, one) for job in ids for one in (await client.outputs(job)).outputs]
    value = [one for _, one in found]
    if not found:
        nothing = await _why_no_files(client, ids)
        return CommandResult(value, lambda _: note(nothing))
    columns = ("job#", "name", "bytes#", "sha256", "try#")[len(ids) == 1 :]
    rows = (
        (job, one.name, one.size_bytes, one.sha256[:16], one.epoch)[len(ids) == 1 :]
        for job, one in found
    )
    return CommandResult(value, table(columns, rows, empty=""))


async def _why_no_files(client: Client, ids: tuple[int, ...]) -> str:
    """Return the message for jobs without outputs; unfinished jobs may still keep some."""
    left = sum([view.state not in FINAL async for view in views_of(client, ids)])
    nothing = f"job {ids[0]} kept no files" if len(ids) == 1 else "these jobs kept no files"
    if not left:
        return nothing
    waits = "it has" if len(ids) == 1 else "1 has" if left == 1 else f"{number(left)} have"
    return f"{nothing} yet: {waits} not ended"


def _fetched(one: "FetchedOutput") -> CommandResult:
    return CommandResult({"job": one.job, "name": one.name, "path": str(one.path)}, str(one.path))


def _write(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
