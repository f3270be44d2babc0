"""Request bodies, read in parts up to their limit."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from typing import Final

from pilotage.proto.problems import Code

from ..errors import Refused
from .asgi import AsgiReceive

SMALL_MAX: Final = 1 << 20
LARGE_MAX: Final = 256 << 20  # submissions; blobs: `sandbox.blob_bytes_max`
LINE_MAX: Final = 1 << 20
PART_S: Final = 60.0  # the longest pause within a body
BODY_S: Final = 60.0  # the longest wait for a whole body, plus one second for every ...
RATE_MIN: Final = 16_384  # ... bytes received

RawHeaders = Iterable[tuple[bytes, bytes]]


def header(headers: RawHeaders, name: bytes) -> str:
    """Return the first header of this name (in lower case), or an empty text."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return ""


def only_header(headers: RawHeaders, name: bytes) -> str:
    """Return the header of this name (in lower case), or an empty text if it is not there once."""
    found = [value for key, value in headers if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else ""


class RequestBody:
    """The body of one request. It can be read once: in parts, in lines, or whole."""

    def __init__(self, receive: AsgiReceive, headers: RawHeaders, *, size_max: int) -> None:
        self._incoming, self._size_max = _Incoming(receive), size_max
        self._hash = hashlib.sha256()
        self._size = 0
        declared = header(headers, b"content-length")
        self.length = int(declared) if declared.isdecimal() else None
        if self.length is not None and self.length > size_max:
            raise _too_large(size_max)

    def sha256(self) -> str:
        """Return the hash of the bytes read so far."""
        return self._hash.hexdigest()

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the bytes as they arrive. Raises Refused: too large, cut off, too slow."""
        more = True
        while more:
            part, more = await self._incoming.part()
            self._size += len(part)
            if self._size > self._size_max:
                raise _too_large(self._size_max)
            self._hash.update(part)
            if part:
                yield part

    async def whole(self) -> bytes:
        """Return the whole body."""
        return b"".join([part async for part in self.parts()])

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines without their line ends. Empty lines are omitted."""
        rest = b""
        number = 0
        async for part in self.parts():
            *whole, rest = (rest + part).split(b"\n")
            for line in whole:
                number += 1
                _check_line(line, number)
                if line.strip():
                    yield line
            _check_line(rest, number + 1)
        if rest.strip():
            yield rest


async def read_small(receive: AsgiReceive, headers: RawHeaders, size_max: int = SMALL_MAX) -> bytes:
    """Return the body of a pilot's message, which has nearly always arrived in one piece."""
    incoming = _Incoming(receive)
    part, more = await incoming.part()
    if len(part) > size_max:
        raise _too_large(size_max)
    if not more:
        return part
    read = bytearray(part)
    while more:
        part, more = await incoming.part()
        read += part
        if len(read) > size_max:
            raise _too_large(size_max)
    return bytes(read)


class _Incoming:
    """The parts of a body, with a limit on the time spent waiting for them.

    Without the limit, a client that sends a byte at a time could hold its connection for ever.
    Time that the reader spends between two parts does not count.
    """

    def __init__(self, receive: AsgiReceive) -> None:
        self._receive = receive
        self._left_s = BODY_S

    async def part(self) -> tuple[bytes, bool]:
        """Return the next part, and whether more follow. Raises Refused: cut off, too slow."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(min(PART_S, self._left_s)):
                message = await self._receive()
        except TimeoutError:
            why = f"the body arrives too slowly; send at least {RATE_MIN} bytes/s"
            raise Refused(Code.UNAVAILABLE, why) from None
        if message["type"] != "http.request":
            raise Refused(Code.MALFORMED, "the connection ended before the end of the body")
        part = message.get("body", b"")
        self._left_s += len(part) / RATE_MIN - (loop.time() - began)
        return part, message.get("more_body", False)


def _check_line(line: bytes, number: int) -> None:
    if len(line) > LINE_MAX:
        why = f"line {number} is longer than {LINE_MAX} bytes"
        raise Refused(Code.TOO_LARGE, why, field=f"line {number}")


def _too_large(size_max: int) -> Refused:
    return Refused(Code.TOO_LARGE, f"the body is larger than {size_max} bytes")
