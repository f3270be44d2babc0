"""The results of handlers: a whole answer, or an answer that is streamed in parts."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from pilotage.proto.messages import Misdirection, Problem
from pilotage.proto.problems import Code

from ..errors import Misdirected, Refused
from .asgi import AsgiReceive, AsgiScope, AsgiSend

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
BYTES: Final = "application/octet-stream"
TEXT: Final = "text/plain"
SEND_S: Final = 60.0  # a client that reads nothing for this long is given up
_PARTS_MAX: Final = 16  # read ahead for a slow client; the source waits when the queue is full
_ALWAYS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))

Headers = list[tuple[bytes, bytes]]

_encoder = msgspec.json.Encoder()


class HttpAnswer:
    """A whole answer."""

    def __init__(
        self, body: bytes, *, status: int = 200, media: str = JSON, headers: Headers | None = None
    ) -> None:
        self.body, self.status, self.media, self._headers = body, status, media, headers or []

    def all_headers(self) -> Headers:
        """Return the headers that do not depend on the body."""
        return [*_ALWAYS, *self._headers]

    async def __call__(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        headers = self.all_headers()
        if self.status not in (204, 304):
            headers.append((b"content-type", self.media.encode()))
            headers.append((b"content-length", str(len(self.body)).encode()))
        async with asyncio.timeout(SEND_S):
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
            await send({"type": "http.response.body", "body": self.body, "more_body": False})


def encoded(value: Any) -> HttpAnswer:
    """Return `value` as JSON."""
    return HttpAnswer(_encoder.encode(value))


def nothing() -> HttpAnswer:
    """Return an empty answer for a request that succeeded."""
    return HttpAnswer(b"", status=204)


def problem(why: Refused, *, allow: list[str] | None = None) -> HttpAnswer:
    """Return a refusal with its status. `allow` lists the methods of the path."""
    headers: Headers = []
    if why.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if why.code is Code.UNAVAILABLE:
        headers.append((b"retry-after", b"1"))
    if why.code is Code.NOT_LEADER:
        headers.append((b"connection", b"close"))  # the next try must reach another process
    if allow is not None:
        headers.append((b"allow", ", ".join(allow).encode()))
    body = Problem(code=why.code.value, message=why.message, field=why.field)
    if isinstance(why, Misdirected):
        body = Misdirection(**dataclasses.asdict(body), leader=why.leader)
    return HttpAnswer(_encoder.encode(body), status=why.status, headers=headers)


class _Gone(Exception):
    """The client has disconnected, or has stopped reading."""


class _Stopping(Exception):
    """The server stops, or the caller may no longer receive the answer."""


class StreamedAnswer:
    """An answer that is sent in parts, until the source, the client or the server ends it.

    `idle` is sent whenever the source has given nothing for `idle_s`. `ended` is set when the
    caller may no longer receive it.
    """

    ended: asyncio.Event | None = None

    def __init__(
        self,
        parts: AsyncIterator[bytes],
        *,
        stopping: asyncio.Event,
        media: str,
        length: int | None = None,
        idle: bytes = b"",
        idle_s: float | None = None,
        headers: Headers | None = None,
        status: int = 200,
        exactly: Headers | None = None,
    ) -> None:
        """`exactly` holds all headers of an answer from another process."""
        self._status, self._exactly = status, exactly
        self._parts, self._stopping, self._media = parts, stopping, media
        self._length, self._idle, self._idle_s = length, idle, idle_s
        self._headers = headers or []

    async def __call__(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        headers: Headers = [(b"content-type", self._media.encode()), *_ALWAYS, *self._headers]
        if self._length is not None:
            headers.append((b"content-length", str(self._length).encode()))
        if self._exactly is not None:
            headers = self._exactly
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=_PARTS_MAX)
        try:
            async with asyncio.TaskGroup() as group:
                watchers = [
                    group.create_task(_until_set(self._stopping)),
                    group.create_task(_until_gone(receive)),
                ]
                if self.ended is not None:
                    watchers.append(group.create_task(_until_set(self.ended)))
                group.create_task(self._read(queue))
                await self._write(queue, send)
                for watcher in watchers:
                    watcher.cancel()
        except* _Gone:
            pass
        except* _Stopping:
            # An endless stream may end at any time. Any other stream is cut off without its last
            # chunk, so that the client notices that the answer is incomplete.
            if self._idle:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _read(self, queue: asyncio.Queue[bytes | None]) -> None:
        try:
            async for part in self._parts:
                if part:
                    await queue.put(part)
            await queue.put(None)
        finally:
            close = getattr(self._parts, "aclose", None)  # generators have it, some iterators not
            if close is not None:
                await close()

    async def _write(self, queue: asyncio.Queue[bytes | None], send: AsgiSend) -> None:
        while True:
            part = await self._next(queue)
            try:
                async with asyncio.timeout(SEND_S):
                    await send(
                        {
                            "type": "http.response.body",
                            "body": part or b"",
                            "more_body": part is not None,
                        }
                    )
            except TimeoutError:
                raise _Gone from None
            if part is None:
                return

    async def _next(self, queue: asyncio.Queue[bytes | None]) -> bytes | None:
        try:
            async with asyncio.timeout(self._idle_s):
                return await queue.get()
        except TimeoutError:
            return self._idle


async def _until_set(stopping: asyncio.Event) -> None:
    await stopping.wait()
    raise _Stopping


async def _until_gone(receive: AsgiReceive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise _Gone
