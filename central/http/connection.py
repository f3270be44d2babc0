"""One connection of the server, with the limits that uvicorn leaves to a proxy in front."""

import asyncio
from collections.abc import Callable, Container, Coroutine
from contextvars import copy_context
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from pilotage.proto.problems import Code

from ..anonymous_connections import Stranger, Strangers
from .direct_answers import Exchange
from .known_heads import KnownHeads, Scope

Answered = Callable[[Exchange], Coroutine[Any, Any, None]]

HEAD_MAX: Final = 65_536  # bytes of request line and headers, or of trailers; a read more or less
HEAD_S: Final = 30.0  # from the opening, or the first byte of a later head, to a whole head
CROWDED_HEAD_S: Final = 5.0  # the same while more than half of all connections are taken
HURRIED_HEAD_S: Final = 2.0  # for one beyond what its address may have, while there is room
AHEAD_MAX: Final = 16  # requests that wait for an earlier one's answer; ours send none ahead
TAKE_S: Final = 60.0  # a peer that takes nothing of an answer for this long is cut off


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
    "your address has too many connections that showed no good token",
)
_NO_HTTP: Final = _last("400 Bad Request", Code.MALFORMED, "this is no request of HTTP/1.1")
_NO_UPGRADE: Final = _last(
    "400 Bad Request",
    Code.MALFORMED,
    "a request with a body may not ask for an upgrade: leave the header out",
)
TRUST: Final = "pilotage.trust"  # where a scope has what is called when a good token came
_TOO_LARGE: Final = _last(
    "431 Request Header Fields Too Large",
    Code.TOO_LARGE,
    f"request line and headers have more than {HEAD_MAX} bytes",
)


class _Closed(Exception):
    """The connection was closed for what a peer sends: the parser stops in the middle of a read."""


class _JoinedWrites:
    """A transport that sends head and body of an answer in one piece: one system call, one packet.

    What is written waits for the rest of the loop's turn, no longer. What a peer does not take
    keeps a transport open even when we have closed it; so that ends after TAKE_S.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes] = []
        self._written_bytes = self._taken_bytes = 0  # in all; taken when the watch began
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
        """Write what nothing follows: it need not wait."""
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
        """Cut the peer off if it takes nothing for TAKE_S while something is unsent."""
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
            self.watch()  # slow is not gone
        else:
            self._transport.abort()

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            joined = b"".join(held)
            self._written_bytes += len(joined)
            self._transport.write(joined)


class LimitedConnection(HttpToolsProtocol):
    """Closes on a head or trailers that are too long, on a head that does not come, and on more
    requests ahead than may wait: a read of short ones would be thousands, parsed in one go.

    Where its address has too many that showed no good token, it has one request and little time
    for it, so that pilots may come all at once; beyond three quarters of all it is turned away.
    """

    def __init__(
        self,
        *args: Any,
        strangers: Strangers,
        answer: Answered | None = None,
        hot: Container[str] = (),
        **named: Any,
    ) -> None:
        """`answer` takes requests whose heads are known; without it all go by ASGI.

        `hot`: the paths of these requests.
        """
        super().__init__(*args, **named)
        self._strangers, self._answer = strangers, answer
        self.stranger: Stranger | None = None  # until a good token came
        self._in_head = True
        self._moved = False  # whether the last read held a part of a body, or ended head or message
        self._still_bytes = 0  # of all reads since one that moved: the parser may hold them
        self._head_timer: asyncio.TimerHandle | None = None
        self._default: list[tuple[bytes, bytes]] = []
        self._default_lines = b""
        self._known = KnownHeads(hot)
        self._begun = 0  # messages that the parser has begun
        self._is_between = True  # whether the parser stands between two messages
        self._idle_since = 0.0  # on the loop's clock: when an exchange was over last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._joined = _JoinedWrites(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._joined))
        full = self.limit_concurrency
        has_room = full is not None and 4 * len(self.connections) <= 3 * full
        address = self.client[0] if self.client else ""
        self.stranger = self._strangers.come(address, beyond=has_room)
        if self.stranger is None:
            self.transport.write(_TURNED_AWAY)
            self.transport.close()
            return
        self._start_timer()

    def trust(self) -> None:
        """Count the connection among strangers no more."""
        if self.stranger is not None:
            self.stranger.end()
            self.stranger = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.trust()  # gone is not strange
        self._stop_timer()
        self._joined.end_watch()
        super().connection_lost(exc)
        self.cycle = cast(RequestResponseCycle, None)  # it may refer to us

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
            self._known.keep(data, cast(Scope, self.scope))
        self._still_bytes = 0 if self._moved else self._still_bytes + len(data)
        if self._still_bytes > HEAD_MAX:
            self._refuse(_TOO_LARGE)
        elif self._head_timer is None and not self._has_request():
            # The server's own timer for idle connections ended with the first byte of whatever
            # this is: the next head, or the rest of a body that nobody waits for.
            self._start_timer()

    def _take_known(self, data: bytes) -> bool:
        """Begin a request whose head needs no parser; False where there is none."""
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
        self.tasks.add(task)
        task.add_done_callback(self._answered, context=context)
        return True

    def _answered(self, task: asyncio.Task[None]) -> None:
        """A request of a known head is answered; an error is a bug of ours, or a deaf peer."""
        self.tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        self.logger.error("a request was not answered", exc_info=task.exception())
        self.transport.close()

    def answered(self) -> None:
        """An exchange is over. The timer of idle connections runs on: it looks when it is due."""
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
            self.transport.close()  # first: what is said now would be taken for another's answer
            raise _Closed
        self._in_head, self._is_between = True, False
        self._begun += 1
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # a trailer would join the headers of a request that is under way
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
        """Write what nothing follows."""
        self._joined.write_whole(data)

    def other_headers(self) -> bytes:
        """Return the headers that every answer has: the date, nearly always one of before."""
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
        # uvicorn sets it with the first whole head; before that it is None, whatever its type says
        cycle = cast(RequestResponseCycle | None, self.cycle)
        return cycle is not None and not cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser does not take."""
        self._refuse(_NO_HTTP)

    def _refuse_body_of_upgrade(self) -> None:
        """Refuse a request with a body that asks for another protocol.

        The parser takes the body for the other protocol, and would take it for the next request.
        """
        names = {name for name, _ in self.headers}
        if b"content-length" in names or b"transfer-encoding" in names:
            self._refuse(_NO_UPGRADE)
            raise _Closed

    def _refuse(self, answer: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_head and not self._has_request():  # else it would be taken for another's answer
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
