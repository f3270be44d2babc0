"""`pilotage logs`."""

import asyncio
import codecs
import sys
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter

from pilotage.proto.api.jobs import JobView
from pilotage.proto.attempts import Stream
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.tasks import Tasks

from ...client.errors import NotFound
from ...client.files import Downloaded
from ...client.waiting.job_output import LIVE_BYTES, LIVE_S
from ..command_frame import Answers, CentralConnection, Client, CommandResult, reads
from ..exit_codes import ExitCode, UsageError
from ..options import CHANGING_S
from ..presentation import note, number
from .outputs import no_jobs, what_lacks
from .selection import WHERE, JobSelection, job_filter, parse_ids, with_me
from .waiting import says_what_continues

_AHEAD: Final = 8  # logs that are read ahead, of at most 10^6 bytes each

if TYPE_CHECKING:
    from ...client.handles import AsyncJobHandle
    from ...client.waiting.job_output import OutputPart


@reads
async def logs(
    central: CentralConnection,
    *ids: Annotated[str, Parameter(name="JOBS", help="Jobs as in 12 20-29, or use a filter.")],
    where: JobSelection = WHERE,
    stream: Annotated[Literal["stdout", "stderr"], Parameter(help="Stream to print.")] = "stdout",
    follow: Annotated[
        bool, Parameter(alias="-f", help="Continue until the job has ended.")
    ] = False,
) -> Answers:
    """Print what jobs have written so far; with --follow, also what a job writes from now on.

    Several jobs come in order, each below a line `==> job 12 <==`.

    A running job shows the last 65,536 bytes of a stream, an ended attempt the last 10^6. Standard
    error counts missing bytes, and names the attempt if there are several. With --json, each piece
    is a line {job, stream, text}.
    """
    jobs, chosen = parse_ids(ids), job_filter(where)
    if jobs and chosen is not None:
        raise UsageError("give either ids or a filter, not both")
    if not jobs and chosen is None:
        raise UsageError("logs needs jobs: give ids as in 12 or 20-29, or --submission 3")
    if len(jobs) == 1:
        async for answer in _of_one_job(central, jobs[0], stream, follow=follow):
            yield answer
        return
    if follow:
        raise UsageError("--follow takes a single job")
    client = await central.client()
    if chosen is not None:
        found = await with_me(client, chosen)
        jobs = tuple([view.id async for view in client.search(found)])
        if not jobs:
            note(await no_jobs(client, found))
    async for answer in _of_several_jobs(client, jobs, stream, json=central.json):
        yield answer


async def _of_one_job(
    central: CentralConnection, job: int, stream: str, *, follow: bool
) -> Answers:
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


async def _of_several_jobs(
    client: Client, jobs: Sequence[int], stream: str, *, json: bool
) -> Answers:
    missing = list[int]()
    ahead = deque[asyncio.Task[bytes | None]]()
    left = iter(jobs)
    async with Tasks() as tasks:
        for job in jobs:
            while len(ahead) < _AHEAD and (following := next(left, None)) is not None:
                ahead.append(tasks.start(_log_of(client, following, Stream(stream))))
            text = await ahead.popleft()
            if text is None:
                missing.append(job)
            elif json:
                words = text.decode("utf-8", "replace")
                yield CommandResult({"job": job, "stream": stream, "text": words})
            else:
                _write(f"==> job {job} <==\n".encode() + text)
                _write(b"" if text.endswith(b"\n") or not text else b"\n")
    if missing:
        note(what_lacks(Downloaded([], [], [], missing, [])))
        yield CommandResult(None, code=ExitCode.FAILED)


async def _log_of(client: Client, job: int, stream: Stream) -> bytes | None:
    """Return what a job has written; None if there is no such job."""
    try:
        return b"".join([piece async for piece in client.log(job, stream)])
    except NotFound:
        return None


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


def _write(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
