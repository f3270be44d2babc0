"""One connection of the server, with limits that uvicorn expects a proxy in front to set."""

import asyncio
from collections.abc import Callable, Container, Coroutine
from contextvars import copy_context
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from pilotage.proto.problems import Code

from ..anonymous_connections import AnonymousConnection, AnonymousConnections
from .direct_answers import Exchange
from .known_heads import AsgiScope, KnownHeads

Answered = Callable[[Exchange], Coroutine[Any, Any, None]]

HEAD_MAX: Final = 65_536  # bytes of request line and headers, or of trailers; plus one read
HEAD_S: Final = 30.0  # for a whole head, from the opening or the head's first byte
CROWDED_HEAD_S: Final = 5.0  # the same while more than half of all connections are in use
HURRIED_HEAD_S: Final = 2.0  # the same for an address with too many connections
AHEAD_MAX: Final = 16  # pipelined requests that wait; pilots and clients do not pipeline
TAKE_S: Final = 60.0  # a peer that reads nothing of an answer for this long is cut off


def _last(status: str, code: Code, message: str) -> bytes:
    """Return the last answer of a connection, in the form of all refusals."""
    body = b'{"code":"%b","message":"%b","field":""}' % (code.value.encode(), message.encode())
    return (
        b"HTTP/1.1 %b\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (status.encode(), len(body), body)
    )


_TURNED_AWAY: Final = _last(
    "503 Service Unavailable",
    Code.UNAVAILABLE,
    "too many connections from your address have not shown a valid token",
)
_NO_HTTP: Final = _last("400 Bad Request", Code.MALFORMED, "this is not an HTTP/1.1 request")
_NO_UPGRADE: Final = _last(
    "400 Bad Request",
    Code.MALFORMED,
    "a request with a body may not ask for an upgrade; omit the header",
)
TRUST: Final = "pilotage.trust"  # key in a scope: the function to call after a valid token
_TOO_LARGE: Final = _last(
    "431 Request Header Fields Too Large",
    Code.TOO_LARGE,
    f"request line and headers are longer than {HEAD_MAX} bytes",
)


class _Closed(Exception):
    """The connection was closed because of the peer's data; the parser stops within a read."""


class _JoinedWrites:
    """A transport that sends head and body of an answer together: one system call, one packet.

    Data wait until the end of the loop's turn for more data to join them. A closed transport stays
    open while its peer does not read; it is aborted after TAKE_S.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes] = []
        self._written_bytes = self._taken_bytes = 0  # in all; sent when the watch began
        self._watch: asyncio.TimerHandle | None = None
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def write_whole(self, data: bytes) -> None:
        """Write data that no other data follow, so they need not wait."""
        if self._held:
            self.write(data)
        elif not self._transport.is_closing():
            self._written_bytes += len(data)
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()
        self.watch()

    def watch(self) -> None:
        """Cut the peer off if it reads nothing for TAKE_S while data are unsent."""
        unsent_bytes = self._transport.get_write_buffer_size()
        if unsent_bytes and self._watch is None:
            self._taken_bytes = self._written_bytes - unsent_bytes
            self._watch = self._loop.call_later(TAKE_S, self._look)

    def end_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look(self) -> None:
        self._watch = None
        if self._written_bytes - self._transport.get_write_buffer_size() > self._taken_bytes:
            self.watch()  # the peer is slow, but it reads
        else:
            self._transport.abort()

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            joined = b"".join(held)
            self._written_bytes += len(joined)
            self._transport.write(joined)


class LimitedConnection(HttpToolsProtocol):
    """Closes connections whose heads or trailers are too long or too slow.

    It also closes connections with too many pipelined requests, because one read could bring
    thousands of short ones.

    An address may have too many connections without a valid token. Each further one of them gets
    a single request and little time, so that many pilots can arrive at once. Once three quarters
    of all connections are in use, further ones are refused.

    The task of a request may outlive its connection, and the server limits tasks too. A connection
    without a valid token therefore counts until its tasks have ended.
    """

    app: Any  # an ASGI application; the server's own type is too narrow

    def __init__(
        self,
        *args: Any,
        strangers: AnonymousConnections,
        answer: Answered | None = None,
        hot: Container[str] = (),
        **named: Any,
    ) -> None:
        """`answer` answers requests with known heads; without it, ASGI answers all requests.

        `hot` holds the paths of these requests.
        """
        super().__init__(*args, **named)
        self._strangers, self._answer = strangers, answer
        self._served: Any = self.app
        self.app = self._serve
        self._tasks = 0  # of this connection, in progress
        self._is_lost = False
        self.stranger: AnonymousConnection | None = None  # None after a valid token
        self._in_head = True
        self._moved = False  # whether the last read had body bytes, or ended a head or message
        self._still_bytes = 0  # read since then; the parser may hold them
        self._head_timer: asyncio.TimerHandle | None = None
        self._default: list[tuple[bytes, bytes]] = []
        self._default_lines = b""
        self._known = KnownHeads(hot)
        self._begun = 0  # messages that the parser has started
        self._is_between = True  # whether the parser is between two messages
        self._idle_since = 0.0  # end of the last exchange, on the loop's clock

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._joined = _JoinedWrites(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._joined))
        full = self.limit_concurrency
        used = max(len(self.connections), len(self.tasks))
        has_room = full is not None and 4 * used <= 3 * full
        address = self.client[0] if self.client else ""
        self.stranger = self._strangers.come(address, beyond=has_room)
        if self.stranger is None:
            self.transport.write(_TURNED_AWAY)
            self.transport.close()
            return
        self._start_timer()

    def trust(self) -> None:
        """Stop counting the connection among those without a valid token."""
        if self.stranger is not None:
            self.stranger.end()
            self.stranger = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self.loop.call_soon(self._count_no_more)  # after the first step of a new task
        self._stop_timer()
        self._joined.end_watch()
        super().connection_lost(exc)
        self.cycle = cast(RequestResponseCycle, None)  # breaks a reference cycle

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request by ASGI, and count its task."""
        self._tasks += 1
        try:
            await self._served(scope, receive, send)
        finally:
            self._tasks -= 1
            self._count_no_more()

    def _count_no_more(self) -> None:
        """Stop counting a closed connection whose tasks have ended."""
        if self._is_lost and not self._tasks:
            self.trust()
            self.app = self._served  # breaks a reference cycle

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        is_fresh = self._is_between and self._head_timer is None and not self._has_request()
        if is_fresh and self._take_known(data):
            return
        self._moved = False
        begun = self._begun
        super().data_received(data)
        if self.transport.is_closing():
            return
        if is_fresh and self._is_between and self._begun == begun + 1 and self.cycle.keep_alive:
            self._known.keep(data, cast(AsgiScope, self.scope))
        self._still_bytes = 0 if self._moved else self._still_bytes + len(data)
        if self._still_bytes > HEAD_MAX:
            self._refuse(_TOO_LARGE)
        elif self._head_timer is None and not self._has_request():
            # The server's timer for idle connections has ended with the first byte of these data:
            # the next head, or the rest of a body that nobody reads.
            self._start_timer()

    def _take_known(self, data: bytes) -> bool:
        """Start a request whose head needs no parser. Return False if there is none."""
        full = self.limit_concurrency
        if self._answer is None or full is None:
            return False
        heard = self._known.find(data)
        if heard is None or max(len(self.connections), len(self.tasks)) >= full:
            return False
        exchange = Exchange(self, heard)
        self.cycle = cast(RequestResponseCycle, exchange)
        context = copy_context()
        task = self.loop.create_task(self._answer(exchange), context=context)
        self._tasks += 1
        self.tasks.add(task)
        task.add_done_callback(self._answered, context=context)
        return True

    def _answered(self, task: asyncio.Task[None]) -> None:
        """End a request with a known head. An exception is a bug, or a peer that does not read."""
        self.tasks.discard(task)
        self._tasks -= 1
        self._count_no_more()
        if task.cancelled() or task.exception() is None:
            return
        self.logger.error("a request was not answered", exc_info=task.exception())
        self.transport.close()

    def answered(self) -> None:
        """End an exchange. The timer of idle connections keeps running, and checks the time."""
        self._idle_since = self.loop.time()
        if self.pipeline or self.timeout_keep_alive_task is None:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1

    def timeout_keep_alive_handler(self) -> None:
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0 or self._has_request():
            self.timeout_keep_alive_task = self.loop.call_later(
                max(left_s, 1.0), self.timeout_keep_alive_handler
            )
        else:
            super().timeout_keep_alive_handler()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= AHEAD_MAX:
            self.transport.close()  # without an answer: it would look like an earlier request's
            raise _Closed
        self._in_head, self._is_between = True, False
        self._begun += 1
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers must not be added to the headers of a running request
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        is_upgrade = cast(Any, self.parser).should_upgrade()
        if is_upgrade:
            self._refuse_body_of_upgrade()
        self._in_head, self._moved = False, True
        self._stop_timer()
        super().on_headers_complete()
        self.scope["extensions"] = {TRUST: self.trust}  # type: ignore[dict-item]
        if is_upgrade or (self.stranger is not None and self.stranger.is_beyond):
            self.cycle.keep_alive = False

    def write_whole(self, data: bytes) -> None:
        """Write data that no other data follow."""
        self._joined.write_whole(data)

    def other_headers(self) -> bytes:
        """Return the headers that every answer has (the date), cached while they stay the same."""
        default = self.server_state.default_headers
        if default is not self._default:
            lines = (b"%b: %b\r\n" % pair for pair in default)
            self._default, self._default_lines = default, b"".join(lines)
        return self._default_lines

    def on_body(self, body: bytes) -> None:
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = self._moved = self._is_between = True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._joined.watch()

    def _has_request(self) -> bool:
        # uvicorn sets it with the first whole head; until then it is None, despite its type
        cycle = cast(RequestResponseCycle | None, self.cycle)
        return cycle is not None and not cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Refuse data that the parser rejects."""
        self._refuse(_NO_HTTP)

    def _refuse_body_of_upgrade(self) -> None:
        """Refuse a request that has a body and asks for another protocol.

        The parser would take the body for data of the other protocol, and for the next request.
        """
        names = {name for name, _ in self.headers}
        if b"content-length" in names or b"transfer-encoding" in names:
            self._refuse(_NO_UPGRADE)
            raise _Closed

    def _refuse(self, answer: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_head and not self._has_request():  # not in place of another answer
            self.transport.write(answer)
        self.transport.close()

    def _start_timer(self) -> None:
        full = self.limit_concurrency
        is_crowded = full is not None and 2 * len(self.connections) > full
        head_s = min(HEAD_S, CROWDED_HEAD_S) if is_crowded else HEAD_S
        if self.stranger is not None and self.stranger.is_beyond:
            head_s = min(head_s, HURRIED_HEAD_S)
        self._head_timer = self.loop.call_later(head_s, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
