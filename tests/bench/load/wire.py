"""HTTP/1.1 on kept-alive connections, as lean as it can be: bytes out, bodies back."""

import asyncio
import ssl
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, cast
from urllib.parse import urlsplit

CONNECT_S = 20.0
ANSWER_S = 60.0  # a central that answers none of the connections for so long is gone

_HEAD = (
    "{method} {path} HTTP/1.1\r\nhost: central\r\naccept-encoding: identity\r\n"
    "{authorization}content-type: {media}\r\ncontent-length: "
)


class NotAnswered(Exception):
    """The central refused what the bench asked, or closed the connection: the bench is void."""


class Talk(Protocol):
    """What one connection says: one request at a time."""

    def first(self) -> bytes | None:
        """Return the first request; None: nothing is said; empty: nothing yet."""
        ...

    def after(self, body: bytes) -> bytes | None:
        """Take an answer and return the next request; None: all is said; empty: nothing yet."""
        ...


def head(
    path: str, token: str = "", *, method: str = "POST", media: str = "application/json"
) -> bytes:
    """Return the beginning of a request, up to the length of its body."""
    authorization = f"authorization: Bearer {token}\r\n" if token else ""
    said = _HEAD.format(method=method, path=path, authorization=authorization, media=media)
    return said.encode()


def host_and_port(url: str) -> tuple[str, int]:
    """Return where a URL of a central leads to."""
    place = urlsplit(url)
    assert place.hostname is not None and place.port is not None, url
    return place.hostname, place.port


def request(head: bytes, body: bytes = b"") -> bytes:
    """Return a whole request."""
    return b"%b%d\r\n\r\n%b" % (head, len(body), body)


_open: set["Wire"] = set()


async def cut_all() -> None:
    """Close what a failure left open: uvloop's loop does not end with it."""
    left = list(_open)
    for wire in left:
        wire.close()
    if left:
        await asyncio.wait([wire.ended for wire in left], timeout=CONNECT_S)


class Wire(asyncio.Protocol):
    """One connection. It says what its talk says, and notes how long each answer took."""

    def __init__(self, talk: Talk, took_ms: "array[float]") -> None:
        self._talk, self._took_ms = talk, took_ms
        self._held = b""
        self._sent = 0.0
        self._is_over = False
        self._why: NotAnswered | None = None
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        _open.add(self)
        self._go_on(self._talk.first())

    def data_received(self, data: bytes) -> None:
        if self._held:
            data = self._held + data
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            self._held = data
            return
        at = data.find(b"content-length: ") + 16
        if len(data) < end + int(data[at : data.find(b"\r", at)]):
            self._held = data
            return
        self._held = b""
        self._took_ms.append((time.perf_counter() - self._sent) * 1_000)
        if data[9:12] != b"200":
            self._end(NotAnswered(data[:600].decode(errors="replace")))
            return
        self._go_on(self._talk.after(data[end:]))

    def connection_lost(self, exc: Exception | None) -> None:
        _open.discard(self)
        if self.ended.done():
            return
        if self._is_over and self._why is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(self._why or NotAnswered(f"the connection was closed: {exc}"))

    def say(self, said: bytes) -> None:
        """Send a request; the talk is told its answer."""
        assert self._transport is not None
        self._sent = time.perf_counter()
        self._transport.write(said)

    def close(self) -> None:
        """All is said."""
        self._end(None)

    def _go_on(self, said: bytes | None) -> None:
        if said is None:
            self._end(None)
        elif said:
            self.say(said)

    def _end(self, why: NotAnswered | None) -> None:
        """Close the connection; `ended` is done when that is done."""
        if not self._is_over:
            self._is_over, self._why = True, why
            assert self._transport is not None
            self._transport.abort()


async def converse(
    url: str, talks: Sequence[Talk], *, tls: ssl.SSLContext | None = None
) -> "array[float]":
    """Let all talks be held, each on a connection of its own; return how many ms answers took.

    Raises NotAnswered.
    """
    took_ms: array[float] = array("d")
    loop = asyncio.get_running_loop()
    wires: list[Wire] = []
    for talk in talks:
        async with asyncio.timeout(CONNECT_S):
            _, wire = await loop.create_connection(
                lambda talk=talk: Wire(talk, took_ms),
                *host_and_port(url),
                ssl=tls,
            )
        wires.append(wire)
    try:
        await _all_ended(wires, took_ms)
    finally:
        for one in wires:
            one.close()
    return took_ms


async def _all_ended(wires: Sequence[Wire], took_ms: "array[float]") -> None:
    """Wait for them as long as any is answered. Raises NotAnswered."""
    answered = -1
    waiting: set[asyncio.Future[None]] = {wire.ended for wire in wires}
    while waiting:
        if answered == len(took_ms):
            raise NotAnswered(f"no answer within {ANSWER_S:g} s on {len(waiting)} connections")
        answered = len(took_ms)
        done, waiting = await asyncio.wait(
            waiting, timeout=ANSWER_S, return_when=asyncio.FIRST_EXCEPTION
        )
        for one in done:
            one.result()


class Errands:
    """A talk that carries out errands from a list that several talks share."""

    def __init__(self, left: Iterator[tuple[bytes, Callable[[bytes], None]]]) -> None:
        self._left = left
        self._take: Callable[[bytes], None] | None = None

    def first(self) -> bytes | None:
        found = next(self._left, None)
        if found is None:
            return None
        said, self._take = found
        return said

    def after(self, body: bytes) -> bytes | None:
        assert self._take is not None
        self._take(body)
        return self.first()


async def run_errands(
    url: str,
    errands: Iterable[tuple[bytes, Callable[[bytes], None]]],
    *,
    connections: int = 16,
    tls: ssl.SSLContext | None = None,
) -> "array[float]":
    """Send requests, some at a time, and give each answer to whom it belongs."""
    left = iter(errands)
    return await converse(url, [Errands(left) for _ in range(connections)], tls=tls)
