"""Request bodies, read in parts and never beyond their limit."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from typing import Final

from pilotage.proto.problems import Code

from ..errors import Refused
from .asgi import Receive

SMALL_MAX: Final = 1 << 20
LARGE_MAX: Final = 256 << 20  # submissions; blobs: `sandbox.blob_bytes_max`
LINE_MAX: Final = 1 << 20
PART_S: Final = 60.0  # the longest silence within a body
BODY_S: Final = 60.0  # what we wait for a body in all, and a second more for every ...
RATE_MIN: Final = 16_384  # ... bytes that came

RawHeaders = Iterable[tuple[bytes, bytes]]


def header(headers: RawHeaders, name: bytes) -> str:
    """Return the first header of that (lower-case) name, or nothing."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return ""


class RequestBody:
    """The body of one request. It is read once, as parts, as lines or whole."""

    def __init__(self, receive: Receive, headers: RawHeaders, *, size_max: int) -> None:
        self._incoming, self._size_max = _Incoming(receive), size_max
        self._hash = hashlib.sha256()
        self._size = 0
        declared = header(headers, b"content-length")
        self.length = int(declared) if declared.isdecimal() else None
        if self.length is not None and self.length > size_max:
            raise _too_large(size_max)

    def sha256(self) -> str:
        """Return the hash of what has been read so far."""
        return self._hash.hexdigest()

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the bytes as they come. Raises Refused: too large, cut off, too slow."""
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
        """Return all of it."""
        return b"".join([part async for part in self.parts()])

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines without their ends; empty ones are left out."""
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


async def read_small(receive: Receive, headers: RawHeaders, size_max: int = SMALL_MAX) -> bytes:
    """Return the body of a pilot's message: nearly always it is there already, in one piece."""
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
    """The parts of a body, and how long we wait for them.

    A body that drips would hold its connection for ever. Only our waiting counts: whoever takes
    the parts may be slow.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left_s = BODY_S

    async def part(self) -> tuple[bytes, bool]:
        """Return the next part, and whether more come. Raises Refused: cut off, too slow."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(min(PART_S, self._left_s)):
                message = await self._receive()
        except TimeoutError:
            why = f"the body comes too slowly: {RATE_MIN} bytes/s are the least"
            raise Refused(Code.UNAVAILABLE, why) from None
        if message["type"] != "http.request":
            raise Refused(Code.MALFORMED, "the connection ended before the body did")
        part = message.get("body", b"")
        self._left_s += len(part) / RATE_MIN - (loop.time() - began)
        return part, message.get("more_body", False)


def _check_line(line: bytes, number: int) -> None:
    if len(line) > LINE_MAX:
        why = f"line {number} has more than {LINE_MAX} bytes"
        raise Refused(Code.TOO_LARGE, why, field=f"line {number}")


def _too_large(size_max: int) -> Refused:
    return Refused(Code.TOO_LARGE, f"the body has more than {size_max} bytes")
