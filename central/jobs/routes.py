"""Routes of jobs: search, details, output and events."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pilotage.proto.api import jobs
from pilotage.proto.api.file_bundles import MEDIA as FILES
from pilotage.proto.api.jdl import JdlContext
from pilotage.proto.api.jobs import Id
from pilotage.proto.api.outputs import OutputChoice, OutputsPage
from pilotage.proto.ids import ID_MAX
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import LogChunk, Stream
from pilotage.proto.pieces import MEDIA as PIECES
from pilotage.proto.problems import Code
from pilotage.proto.storages import StorageTokenReply, StorageTokenRequest

from ..errors import Refused
from ..http.answers import BYTES, TEXT, StreamedAnswer
from ..http.call import Call, parse_query
from ..http.route import Routes
from ..identity.calls import attempt_or_pilot, user, user_or_attempt
from ..identity.policy import Permission
from .blobs.sandbox import Sandbox
from .feed import Feed
from .output.curve_view import JobInspector
from .output.followed_output import FollowService
from .queries import Queries
from .storage_credentials import StorageCredentials

IDLE_S: Final = 15.0  # interval of comments, so that proxies do not close a quiet stream


@dataclass(frozen=True)
class OutputServices:
    """The services that find outputs and read their bytes."""

    queries: Queries
    sandbox: Sandbox


ROUTES: Final = Routes[Queries]()
LOOK_ROUTES: Final = Routes[JobInspector]()
OUTPUT_ROUTES: Final = Routes[OutputServices]()
STORAGE_TOKEN_ROUTES: Final = Routes[StorageCredentials]()
CHUNK_ROUTES: Final = Routes[FollowService]()
EVENT_ROUTES: Final = Routes[Feed]()
_encoder = msgspec.json.Encoder()


class JobsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selects jobs, and a page of them."""

    state: tuple[JobState, ...] = ()
    id: Annotated[tuple[Id, ...], Meta(max_length=10_000)] = ()
    submission: Id | None = None
    owner: str = ""
    group: str = ""
    type: str = ""
    site: str = ""
    name: str = ""
    submission_name: str = ""
    include_deleted: bool = False
    after: Id = 0
    limit: Annotated[int, Meta(ge=1, le=jobs.PAGE_MAX)] = 100


class JobPagesQuery(JobsQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    since: Annotated[float, Meta(ge=0)] = 0.0  # leave out jobs that ended before (s since 1970)


class SummaryQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    by: jobs.SummaryBy = jobs.SummaryBy.STATE


class LogQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    follow: bool = False


class CurveQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    epoch: Annotated[int, Meta(ge=1, le=ID_MAX)] | None = (
        None  # default: the newest attempt with a curve
    )


class PeekQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    bytes: Annotated[int, Meta(ge=1, le=65_536)] = 4_096  # bytes from the end of each stream
    wait_s: Annotated[float, Meta(gt=0, le=60)] = 15.0  # time that its pilot may take


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    submission: Id | None = None
    after: Id | None = None  # the last number seen; a browser sends it as Last-Event-ID


def job_id(call: Call) -> int:
    """Return the job id in the path. Raises Refused (NOT_FOUND)."""
    text = call.path("job_id")
    if not (text.isascii() and text.isdecimal() and len(text) <= 16 and int(text) <= ID_MAX):
        raise Refused(Code.NOT_FOUND, f"there is no job {text[:40]!r}")
    return int(text)


@ROUTES.add("GET", "/v1/jobs", Permission.JOB_READ, needs_leader=False)
async def search(queries: Queries, call: Call, query: JobPagesQuery) -> jobs.JobPage:
    """Find jobs, in order of id. With `since`, a page can have fewer jobs than `limit`."""
    wanted = _filter(query)
    return await queries.search(user(call), wanted, query.after, query.limit, since=query.since)


def _filter(query: JobsQuery) -> jobs.JobFilter:
    return jobs.JobFilter(
        states=query.state,
        ids=query.id,
        submission=query.submission,
        owner=query.owner,
        group=query.group,
        type=query.type,
        site=query.site,
        name=query.name,
        submission_name=query.submission_name,
        include_deleted=query.include_deleted,
    )


@ROUTES.add("GET", "/v1/jdl", Permission.JOB_READ, needs_leader=False)
async def jdl_context(queries: Queries, call: Call) -> JdlContext:
    """Show what a description in JDL needs to become a job: platforms, factors, your names."""
    return queries.jdl_context(user(call))


@ROUTES.add("GET", "/v1/jobs/summary", Permission.JOB_READ)
async def summary(queries: Queries, call: Call, query: SummaryQuery) -> jobs.Summary:
    """Count jobs by state, site, type, group or owner."""
    return await queries.summary(user(call), query.by)


@ROUTES.add("GET", "/v1/jobs/{job_id}", Permission.JOB_READ, needs_leader=False)
async def detail(queries: Queries, call: Call) -> jobs.JobDetail:
    """Show everything about one job."""
    return await queries.job(user(call), job_id(call))


@ROUTES.add("GET", "/v1/jobs/{job_id}/history", Permission.JOB_READ, needs_leader=False)
async def history(queries: Queries, call: Call) -> jobs.History:
    """Show the history of a job. It keeps the last 1,000 actions."""
    return await queries.history(user(call), job_id(call))


@LOOK_ROUTES.add("GET", "/v1/jobs/{job_id}/curve", Permission.JOB_READ)
async def curve(looking: JobInspector, call: Call, query: CurveQuery) -> jobs.Curve:
    """Show what an attempt used over time: CPU, memory, disk, processes."""
    return await looking.curve(user(call), job_id(call), query.epoch)


@LOOK_ROUTES.add("GET", "/v1/jobs/{job_id}/peek", Permission.JOB_OUTPUT, lasts=True)
async def peek(looking: JobInspector, call: Call, query: PeekQuery) -> jobs.Peek:
    """Show the end of a job's output, live while it runs."""
    return await looking.peek(user(call), job_id(call), bytes_max=query.bytes, wait_s=query.wait_s)


@ROUTES.add("GET", "/v1/jobs/{job_id}/outputs", Permission.JOB_OUTPUT, needs_leader=False)
async def outputs(queries: Queries, call: Call) -> jobs.Outputs:
    """List the files that a job kept."""
    return await queries.outputs(user(call), job_id(call))


@ROUTES.add("GET", "/v1/jobs/outputs", Permission.JOB_OUTPUT, needs_leader=False)
async def outputs_of(queries: Queries, call: Call, query: JobsQuery) -> OutputsPage:
    """List jobs with their kept files, places in submissions and parameters."""
    return await queries.outputs_of(user(call), _filter(query), query.after, query.limit)


@OUTPUT_ROUTES.add(
    "POST",
    "/v1/jobs/outputs",
    Permission.JOB_OUTPUT,
    needs_leader=False,
    gives=bytes,
    gives_media=FILES,
)
async def bundle(found: OutputServices, call: Call, body: OutputChoice) -> StreamedAnswer:
    """Fetch many files in order: for each a line with its size, then its bytes. The line `-`
    stands for a missing one.
    """
    caller = user(call)
    hashes = await found.queries.chosen_outputs(caller, body)
    parts = found.sandbox.bundle(caller, hashes)
    return StreamedAnswer(parts, stopping=call.face.stopping, media=FILES)


@OUTPUT_ROUTES.add(
    "GET",
    "/v1/jobs/{job_id}/outputs/{name:path}",
    Permission.JOB_OUTPUT,
    needs_leader=False,
    gives=bytes,
    gives_media=BYTES,
)
async def output(found: OutputServices, call: Call) -> StreamedAnswer:
    """Fetch one of these files."""
    caller = user(call)
    kept = await found.queries.output(caller, job_id(call), call.path("name"))
    size, parts = await found.sandbox.read(caller, kept.sha256)
    return StreamedAnswer(parts, stopping=call.face.stopping, media=BYTES, length=size)


def is_followed(call: Call) -> bool:
    """Return whether a request follows a stream. Such requests need the leader."""
    return call.query(LogQuery).follow


@ROUTES.add(
    "GET",
    "/v1/jobs/{job_id}/logs/{stream}",
    Permission.JOB_OUTPUT,
    needs_leader=is_followed,
    lasts=True,
    gives=str,
    gives_media=TEXT,
)
async def log(queries: Queries, call: Call, query: LogQuery) -> StreamedAnswer:
    """Print stdout, stderr or usage of a payload; with follow=true until it ends. The last 10^6
    bytes of an ended attempt are kept. Headers: Pilotage-Left-Out counts the bytes before them;
    Pilotage-Attempt names the attempt (0: nothing was kept); Pilotage-Newest-Attempt the newest
    one. With follow=true and application/x-pilotage-pieces, a line with offset and size comes
    before each piece. Without it, a line reports lost output.
    """
    word = call.path("stream")
    if word not in {one.value for one in Stream}:
        message = f"there is no log {word[:40]!r}: use stdout, stderr or usage"
        raise Refused(Code.NOT_FOUND, message)
    caller, stream = user(call), Stream(word)
    pieces = query.follow and PIECES in call.header(b"accept")
    if query.follow:
        found = await queries.follow(caller, job_id(call), stream, pieces=pieces)
    else:
        found = await queries.log(caller, job_id(call), stream)
    # Output can be any bytes. As plain text, a browser does not take it for a page.
    return StreamedAnswer(
        found.parts,
        stopping=call.face.stopping,
        media=PIECES if pieces else f"{TEXT}; charset=utf-8",
        headers=[
            (b"pilotage-attempt", str(found.epoch).encode()),
            (b"pilotage-newest-attempt", str(found.newest).encode()),
            (b"pilotage-left-out", str(found.left_out).encode()),
        ],
    )


@CHUNK_ROUTES.add("POST", "/v1/log", Permission.LOG_WRITE)
async def chunk(following: FollowService, call: Call, body: LogChunk) -> None:
    """Send live output of a payload that a user follows."""
    await following.chunk(attempt_or_pilot(call), body)


@EVENT_ROUTES.add(
    "GET",
    "/v1/events",
    Permission.EVENT_READ,
    lasts=True,
    gives=jobs.Event,
    gives_media="text/event-stream",
)
async def events(feed: Feed, call: Call, query: EventsQuery) -> StreamedAnswer:
    """Stream changes as server-sent events. They are hints, not the record."""
    after = query.after
    seen = call.header(b"last-event-id")
    if after is None and seen:
        after = parse_query(b"after=" + seen.encode(), EventsQuery).after
    followed = feed.subscribe(user(call), submission=query.submission, after=after, encode=_line)
    return StreamedAnswer(
        _lines(followed),
        stopping=call.face.stopping,
        media="text/event-stream",
        idle=b": idle\n\n",
        idle_s=IDLE_S,
    )


def _line(event: jobs.Event) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (event.seq, _encoder.encode(event))


async def _lines(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield b": here\n\n"  # some clients receive the headers only with the first bytes
    async for part in events:
        yield part


@STORAGE_TOKEN_ROUTES.add("POST", "/v1/data/tokens", Permission.STORAGE_TOKEN)
async def storage_token(
    credentials: StorageCredentials, call: Call, body: StorageTokenRequest
) -> StorageTokenReply:
    """Fetch a credential for files on a storage: of a running attempt, or of a user (job 0)."""
    return await credentials.give(user_or_attempt(call), body)
