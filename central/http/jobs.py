"""Routes of jobs: find, look at, act on, explain."""

from typing import Annotated

import msgspec
from litestar.types import ASGIApp
from msgspec import Meta

from pilotage.proto import api
from pilotage.proto.ids import ID_MAX
from pilotage.proto.job import Job
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Stream
from pilotage.proto.pieces import MEDIA as PIECES
from pilotage.proto.problems import Code

from ..errors import Refused
from .answers import Streamed, encoded
from .call import Call

Id = Annotated[int, Meta(ge=0, le=ID_MAX)]


class JobsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which jobs, and which page of them."""

    state: tuple[JobState, ...] = ()
    id: Annotated[tuple[Id, ...], Meta(max_length=10_000)] = ()
    submission: Id | None = None
    owner: str = ""
    group: str = ""
    type: str = ""
    site: str = ""
    name: str = ""
    include_deleted: bool = False
    after: Id = 0
    limit: Annotated[int, Meta(ge=1, le=api.PAGE_MAX)] = 100


class SummaryQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    by: api.SummaryBy = api.SummaryBy.STATE


class LogQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    follow: bool = False


class CurveQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    epoch: Annotated[int, Meta(ge=1, le=ID_MAX)] | None = None  # the newest that has a curve


class PeekQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    bytes: Annotated[int, Meta(ge=1, le=65_536)] = 4_096  # of each stream, from its end
    wait_s: Annotated[float, Meta(gt=0, le=60)] = 15.0  # how long its pilot may take


async def search(call: Call) -> ASGIApp:
    asked = call.query(JobsQuery)
    wanted = api.JobFilter(
        states=asked.state,
        ids=asked.id,
        submission=asked.submission,
        owner=asked.owner,
        group=asked.group,
        type=asked.type,
        site=asked.site,
        name=asked.name,
        include_deleted=asked.include_deleted,
    )
    page = await call.services.queries.search(call.user(), wanted, asked.after, asked.limit)
    return encoded(page)


async def summary(call: Call) -> ASGIApp:
    by = call.query(SummaryQuery).by
    return encoded(await call.services.queries.summary(call.user(), by))


async def act(call: Call) -> ASGIApp:
    action = await call.read(api.Action)
    return encoded(await call.services.control.act(call.user(), action))


async def explain_unsubmitted(call: Call) -> ASGIApp:
    job = await call.read(Job)
    return encoded(await call.services.explainer.unsubmitted(call.user(), job))


async def explain(call: Call) -> ASGIApp:
    return encoded(await call.services.explainer.job(call.user(), call.job_id()))


async def detail(call: Call) -> ASGIApp:
    return encoded(await call.services.queries.job(call.user(), call.job_id()))


async def history(call: Call) -> ASGIApp:
    return encoded(await call.services.queries.history(call.user(), call.job_id()))


async def curve(call: Call) -> ASGIApp:
    epoch = call.query(CurveQuery).epoch
    return encoded(await call.services.looking.curve(call.user(), call.job_id(), epoch))


async def peek(call: Call) -> ASGIApp:
    asked = call.query(PeekQuery)
    return encoded(
        await call.services.looking.peek(
            call.user(), call.job_id(), bytes_max=asked.bytes, wait_s=asked.wait_s
        )
    )


async def outputs(call: Call) -> ASGIApp:
    return encoded(await call.services.queries.outputs(call.user(), call.job_id()))


async def output(call: Call) -> ASGIApp:
    user = call.user()
    kept = await call.services.queries.output(user, call.job_id(), call.path("name"))
    size, parts = await call.services.sandbox.read(user, kept.sha256)
    return Streamed(
        parts, stopping=call.face.stopping, media="application/octet-stream", length=size
    )


async def log(call: Call) -> ASGIApp:
    word = call.path("stream")
    if word not in {one.value for one in Stream}:
        raise Refused(Code.NOT_FOUND, f"there is no log {word[:40]!r}: stdout, stderr, usage are")
    follow, user, stream = call.query(LogQuery).follow, call.user(), Stream(word)
    pieces = follow and PIECES in call.header(b"accept")
    if follow:
        found = await call.services.logs.follow(user, call.job_id(), stream, pieces=pieces)
    else:
        found = await call.services.queries.log(user, call.job_id(), stream)
    # Text by intent, bytes in truth: a browser must not guess that it is a page.
    return Streamed(
        found.parts,
        stopping=call.face.stopping,
        media=PIECES if pieces else "text/plain; charset=utf-8",
        headers=[
            (b"pilotage-attempt", str(found.epoch).encode()),
            (b"pilotage-newest-attempt", str(found.newest).encode()),
            (b"pilotage-left-out", str(found.left_out).encode()),
        ],
    )
