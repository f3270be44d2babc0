"""Many files in one answer: for each file a line with its size, then its bytes.

The files come in the order of the request. The line `-` stands for a file that is missing.
"""

from collections.abc import Iterator
from typing import Final

MEDIA: Final = "application/x-pilotage-files"
MISSING: Final = b"-\n"
_LINE_MAX: Final = 20  # bytes of a line


def size_line(size: int) -> bytes:
    """Return the line before the bytes of a file."""
    return b"%d\n" % size


class BundleReader:
    """Reads files from an answer that is cut at any place."""

    def __init__(self) -> None:
        self._line = b""  # the part of a line that has arrived
        self._parts: list[bytes] = []
        self._left = -1  # bytes of the file that have not arrived; -1: its line has not

    def read(self, data: bytes) -> Iterator[bytes | None]:
        """Yield each file that is whole now, None for a missing one. Raises ValueError."""
        at, end = 0, len(data)
        while at < end or self._left == 0:
            if self._left < 0:
                stop = data.find(b"\n", at)
                self._line += data[at : end if stop < 0 else stop]
                if len(self._line) > _LINE_MAX:
                    raise ValueError("a file of a bundle must begin with a line of its size")
                if stop < 0:
                    return
                at = stop + 1
                line, self._line = self._line, b""
                if line == b"-":
                    yield None
                    continue
                if not line.isdigit():
                    raise ValueError(f"{line!r} is not the size of a file in a bundle")
                self._left = int(line)
            part = data[at : at + self._left]
            at += len(part)
            self._left -= len(part)
            self._parts.append(part)
            if not self._left:
                self._left = -1
                parts, self._parts = self._parts, []
                yield parts[0] if len(parts) == 1 else b"".join(parts)
