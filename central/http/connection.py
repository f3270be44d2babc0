"""One connection of the server, with the limits that uvicorn leaves to a proxy in front."""

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_MAX: Final = 65_536  # bytes of request line and headers, or of trailers; a read more or less
HEAD_S: Final = 30.0  # from the opening, or the first byte of a later head, to a whole head
TAKE_S: Final = 60.0  # a peer that takes nothing of an answer for this long is cut off
_PROBLEM: Final = (
    b'{"code":"too_large","message":"request line and headers have more than %d bytes",'
    b'"field":""}' % HEAD_MAX
)
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_PROBLEM), _PROBLEM)
)


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
    """Closes on a head or trailers that are too long, and on a head that does not come."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._in_head = True
        self._moved = False  # whether the last read held a part of a body, or ended head or message
        self._still_bytes = 0  # of all reads since one that moved: the parser may hold them
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._joined = _JoinedWrites(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._joined))
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._joined.end_watch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._moved = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        self._still_bytes = 0 if self._moved else self._still_bytes + len(data)
        if self._still_bytes > HEAD_MAX:
            self._refuse()
        elif self._head_timer is None and not self._has_request():
            # The server's own timer for idle connections ended with the first byte of whatever
            # this is: the next head, or the rest of a body that nobody waits for.
            self._start_timer()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # a trailer would join the headers of a request that is under way
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._moved = False, True
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = self._moved = True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._joined.watch()

    def _has_request(self) -> bool:
        # uvicorn sets it with the first whole head; before that it is None, whatever its type says
        cycle = cast(RequestResponseCycle | None, self.cycle)
        return cycle is not None and not cycle.response_complete

    def _refuse(self) -> None:
        if self._in_head and not self._has_request():  # else it would be taken for another's answer
            self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
