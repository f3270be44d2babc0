"""Request bodies, read in parts and never beyond their limit."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from typing import Final

from litestar.types import Receive

from pilotage.proto.problems import Code

from ..errors import Refused

SMALL_MAX: Final = 1 << 20
LARGE_MAX: Final = 256 << 20  # submissions and blobs
LINE_MAX: Final = 1 << 20
PART_S: Final = 60.0  # the longest silence within a body

RawHeaders = Iterable[tuple[bytes, bytes]]


def header(headers: RawHeaders, name: bytes) -> str:
    """Return the first header of that (lower-case) name, or nothing."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return ""


class Body:
    """The body of one request. It is read once, as parts, as lines or whole."""

    def __init__(self, receive: Receive, headers: RawHeaders, *, size_max: int) -> None:
        self._receive, self._size_max = receive, size_max
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
            part, more = await _next(self._receive)
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
    part, more = await _next(receive)
    if len(part) > size_max:
        raise _too_large(size_max)
    if not more:
        return part
    read = bytearray(part)
    while more:
        part, more = await _next(receive)
        read += part
        if len(read) > size_max:
            raise _too_large(size_max)
    return bytes(read)


async def _next(receive: Receive) -> tuple[bytes, bool]:
    try:
        async with asyncio.timeout(PART_S):
            message = await receive()
    except TimeoutError:
        why = f"nothing more of the body came within {PART_S:g} s"
        raise Refused(Code.UNAVAILABLE, why) from None
    if message["type"] != "http.request":
        raise Refused(Code.MALFORMED, "the connection ended before the body did")
    return message.get("body", b""), message.get("more_body", False)


def _check_line(line: bytes, number: int) -> None:
    if len(line) > LINE_MAX:
        why = f"line {number} has more than {LINE_MAX} bytes"
        raise Refused(Code.TOO_LARGE, why, field=f"line {number}")


def _too_large(size_max: int) -> Refused:
    return Refused(Code.TOO_LARGE, f"the body has more than {size_max} bytes")
