"""The output of an attempt as it grows, in pieces that carry their offset.

A piece is a line `OFFSET LENGTH`, followed by LENGTH bytes. Thus a reader that follows an output
over several connections, or from several leaders, knows which bytes it has, whatever they contain.
"""

from collections.abc import Iterator
from typing import Final

MEDIA: Final = "application/x-pilotage-pieces"
_LINE_MAX: Final = 40  # bytes of a line


def piece(offset: int, data: bytes) -> bytes:
    """Return a piece in the form that is sent."""
    return b"%d %d\n%b" % (offset, len(data), data)


class Pieces:
    """A reader of pieces from a stream that is cut at any place."""

    def __init__(self) -> None:
        self._line = b""  # the part of a line that has arrived
        self._at = self._left = 0

    def read(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the offset and the bytes of each piece as they arrive. Raises ValueError."""
        while data:
            if self._left:
                part, data = data[: self._left], data[self._left :]
                yield self._at, part
                self._at += len(part)
                self._left -= len(part)
                continue
            line, end, data = data.partition(b"\n")
            self._line += line
            if len(self._line) > _LINE_MAX:
                raise ValueError(
                    "a piece of output must begin with a line of its offset and length"
                )
            if end:
                self._at, self._left = _numbers(self._line)
                self._line = b""


def _numbers(line: bytes) -> tuple[int, int]:
    words = line.split(b" ")
    if len(words) != 2 or not all(word.isdigit() for word in words):
        raise ValueError(f"{line!r} is not the offset and the length of a piece of output")
    return int(words[0]), int(words[1])
