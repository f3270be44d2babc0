"""Hot requests with a known head, answered without ASGI.

ASGI's messages, checks and timeouts would cost as much as the rest of such a request.
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
    """A request that has arrived whole. Its content type is JSON."""

    path: str
    authorization: str
    body: bytes


class _Nobody:
    """An event that nobody waits for. The server sets it when a body arrives or the peer leaves."""

    @staticmethod
    def set() -> None: ...


class Exchange:
    """One request and its answer. The server's code treats it like an ASGI cycle."""

    message_event = _Nobody()

    __slots__ = ("_connection", "disconnected", "heard", "keep_alive", "response_complete")

    def __init__(self, connection: "LimitedConnection", heard: DirectRequest) -> None:
        self._connection, self.heard = connection, heard
        self.keep_alive, self.disconnected, self.response_complete = True, False, False

    def trust(self) -> None:
        """Report a valid token to the connection."""
        self._connection.trust()

    async def taken(self) -> None:
        """Wait until the peer has read the earlier answers, which is nearly always the case."""
        flow = self._connection.flow
        if flow.write_paused and not self.disconnected:
            async with asyncio.timeout(SEND_S):
                await flow.drain()

    def good(self, body: bytes) -> None:
        """Answer with JSON."""
        self._say(_GOOD % (len(body), self._lines(), body))

    def other(self, answer: HttpAnswer, number: str) -> None:
        """Answer with anything else. The request's number becomes a header."""
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
