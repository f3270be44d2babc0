"""The route of submissions: one JSON object, or a line for each job."""

from collections.abc import AsyncIterator
from typing import Final

from litestar.types import ASGIApp

from pilotage.proto import api
from pilotage.proto.problems import Code

from ..decode import decode
from ..errors import Refused
from .answers import JSON, encoded
from .body import LARGE_MAX, SMALL_MAX, Body
from .call import Call
from .spool import spooled

NDJSON: Final = "application/x-ndjson"


async def submit(call: Call) -> ASGIApp:
    """Hand a submission on; as lines it is never held whole."""
    media = call.media(JSON, NDJSON)
    body = call.body(LARGE_MAX)
    if media == NDJSON:
        return await _submit_lines(call, body)
    if body.length is not None and body.length <= SMALL_MAX:
        return await _submit_whole(call, body, await body.whole())
    user = call.user()
    # The slots in memory are for bodies that have come: a slow one holds up its owner alone.
    async with (
        call.face.turn(user),
        spooled(call.services.room.watched(body.parts()), call.face.spool_dir) as spool,
        call.face.large,
    ):
        return await _submit_whole(call, body, await spool.whole())


async def _submit_whole(call: Call, body: Body, content: bytes) -> ASGIApp:
    submission = decode(content, api.Submission)
    done = await call.services.submissions.submit(call.user(), submission, body_hash=body.sha256())
    return encoded(done)


async def _submit_lines(call: Call, body: Body) -> ASGIApp:
    lines = body.lines()
    header = await _header(lines)
    done = await call.services.submissions.stream(call.user(), header, lines, body.sha256)
    return encoded(done)


async def _header(lines: AsyncIterator[bytes]) -> api.Submission:
    async for line in lines:
        header = decode(line, api.Submission)
        for name in ("jobs", "parameters"):
            if getattr(header, name):
                why = f"$.{name}: in NDJSON each of them is a line of its own, after the first"
                raise Refused(Code.INVALID, why, field=f"$.{name}")
        return header
    raise Refused(Code.MALFORMED, "the body is empty: its first line is the submission")
