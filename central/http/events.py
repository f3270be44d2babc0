"""The stream of events, as server-sent events."""

from collections.abc import AsyncIterator
from typing import Final

import msgspec
from litestar.types import ASGIApp

from pilotage.proto import api

from .answers import Streamed
from .call import Call, parse_query
from .jobs import Id

IDLE_S: Final = 15.0  # a comment as often keeps proxies from closing a quiet stream
_encoder = msgspec.json.Encoder()


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    submission: Id | None = None
    after: Id | None = None  # the last number seen; a browser says it in a header instead


async def follow(call: Call) -> ASGIApp:
    asked = call.query(EventsQuery)
    after = asked.after
    seen = call.header(b"last-event-id")
    if after is None and seen:
        after = parse_query(b"after=" + seen.encode(), EventsQuery).after
    events = call.services.feed.subscribe(
        call.user(), submission=asked.submission, after=after, encode=_line
    )
    return Streamed(
        _lines(events),
        stopping=call.face.stopping,
        media="text/event-stream",
        idle=b": idle\n\n",
        idle_s=IDLE_S,
    )


def _line(event: api.Event) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (event.seq, _encoder.encode(event))


async def _lines(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield b": here\n\n"  # the headers alone do not reach every client
    async for part in events:
        yield part
