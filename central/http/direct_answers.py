"""Hot requests with a head that is known, answered beside ASGI.

ASGI's two messages each way, their checks and time-outs cost as much as all that such a request is
for.
"""

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from .answers import SEND_S, HttpAnswer

if TYPE_CHECKING:
    from .connection import LimitedConnection

_GOOD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n%b"
)
_CLOSE: Final = (b"connection", b"close")


class DirectRequest(NamedTuple):
    """A request that is here as a whole. Its body is JSON by its own word."""

    path: str
    authorization: str
    body: bytes


class _Nobody:
    """Whom the server tells that a body has come, or that the peer is gone: nobody waits."""

    @staticmethod
    def set() -> None: ...


class Exchange:
    """One request and its answer. To the server's code it is what a cycle of ASGI is."""

    message_event = _Nobody()

    __slots__ = ("_connection", "disconnected", "heard", "keep_alive", "response_complete")

    def __init__(self, connection: "LimitedConnection", heard: DirectRequest) -> None:
        self._connection, self.heard = connection, heard
        self.keep_alive, self.disconnected, self.response_complete = True, False, False

    def trust(self) -> None:
        """Say that a good token came: the connection is no stranger's."""
        self._connection.trust()

    async def taken(self) -> None:
        """Wait until the peer has taken what it was sent before; nearly always it has."""
        flow = self._connection.flow
        if flow.write_paused and not self.disconnected:
            async with asyncio.timeout(SEND_S):
                await flow.drain()

    def good(self, body: bytes) -> None:
        """Answer with JSON."""
        self._say(_GOOD % (len(body), self._lines(), body))

    def other(self, answer: HttpAnswer, number: str) -> None:
        """Answer with anything else, under the number of the request."""
        headers = [*answer.all_headers(), (b"x-request-id", number.encode())]
        if _CLOSE in headers:
            headers.remove(_CLOSE)
            self.keep_alive = False
        status = HTTPStatus(answer.status)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {answer.media}\r\n"
        length = b"content-length: %d\r\n" % len(answer.body)
        lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        self._say(head.encode() + length + lines + self._lines() + b"\r\n" + answer.body)

    def _lines(self) -> bytes:
        """Return the headers that every answer has."""
        lines = self._connection.other_headers()
        return lines if self.keep_alive else lines + b"%b: %b\r\n" % _CLOSE

    def _say(self, whole: bytes) -> None:
        if self.disconnected:
            return
        connection, self.response_complete = self._connection, True
        connection.write_whole(whole)
        if not self.keep_alive:
            connection.transport.close()
        connection.answered()
