"""Live output of payloads: while a user follows, at most 64 kB/s a job, with gaps by offset.

Pure.
"""

import math
from dataclasses import dataclass, field
from typing import Optional

from pilotage.proto.messages import Stream

RATE_BYTES_S = 64_000
EVERY_S = 0.25
PIECE_BYTES = int(RATE_BYTES_S * EVERY_S)
BEHIND_BYTES_MAX = 4 * RATE_BYTES_S  # output that is further behind is left out


@dataclass
class SentOffsets:
    """The offsets up to which the output of one attempt was sent. Pure."""

    offsets: dict[Stream, int] = field(default_factory=dict[Stream, int])
    _allowed_at: float = -math.inf

    def next_range(self, stream: Stream, size: int, now: float) -> Optional[tuple[int, int]]:
        """Return the (offset, length) that may be sent of a stream that has `size` bytes now."""
        offset = self.offsets.get(stream, 0)
        if size - offset > BEHIND_BYTES_MAX:
            offset = size - BEHIND_BYTES_MAX
        if size <= offset or now < self._allowed_at:
            return None
        return offset, min(PIECE_BYTES, size - offset)

    def sent(self, stream: Stream, end: int, length: int, now: float) -> None:
        """Record what was sent: the next piece must wait until the rate permits it."""
        self.offsets.pop(stream, None)
        self.offsets[stream] = end  # last, so that the other streams come before it
        self._allowed_at = max(now, self._allowed_at) + length / RATE_BYTES_S

    def turns(self) -> list[Stream]:
        """Return the streams, the longest waiting first, because they share one rate."""
        return [*(one for one in Stream if one not in self.offsets), *self.offsets]

    def untold(self, stream: Stream) -> bool:
        """Return whether nothing was sent about a stream yet, not even that it is empty."""
        return stream not in self.offsets


def whole_characters(data: bytes, *, last: bool) -> bytes:
    """Return `data` without a UTF-8 character that is cut off at its end, unless it is the last."""
    if last:
        return data
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0b1100_0000 == 0b1000_0000:
            continue  # inside a character
        width = (
            2 if byte >> 5 == 0b110 else 3 if byte >> 4 == 0b1110 else 4 if byte >> 3 == 30 else 1
        )
        return data[:-back] if width > back else data
    return data
