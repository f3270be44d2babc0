"""Stand-in for a simulation: write a real sim_telarray file again as another run.

    simtel_run.py TEMPLATE.simtel.zst RUN OUTPUT.simtel.zst

Only the number in the run header changes, so that many distinct runs can be had from one small
file; every other byte stays as sim_telarray wrote it. Needs `zstandard`.
"""

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import zstandard

# An EventIO file is a row of objects, each with a header of four little-endian words: a
# synchronisation mark, the type, an identifier (of a run header: the run) and the length.
SYNC = b"\x37\x8a\x1f\xd4"
HEADER = struct.Struct("<4sIII")
WORD = struct.Struct("<I")
RUN_HEADER = 2000
LONG_OBJECT = 1 << 17  # in the type: a fifth word follows, with the upper bits of the length


def objects(content: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """Yield type, start and start of the payload of each object of a file."""
    start = 0
    while start < len(content):
        sync, kind, _, length = HEADER.unpack_from(content, start)
        if sync != SYNC:
            raise ValueError(f"no EventIO object at byte {start}")
        payload, size = start + HEADER.size, length & 0x3FFF_FFFF
        if kind & LONG_OBJECT:
            size |= (WORD.unpack_from(content, payload)[0] & 0xFFF) << 30
            payload += WORD.size
        yield kind & 0xFFFF, start, payload
        start = payload + size


def renumber(content: bytearray, run: int) -> int:
    """Make it run `run`, and return how many run headers that took."""
    headers = [found for found in objects(content) if found[0] == RUN_HEADER]
    for _, start, payload in headers:
        WORD.pack_into(content, start + 2 * WORD.size, run)
        WORD.pack_into(content, payload, run)
    return len(headers)


def main(template: str, run: str, output: str) -> None:
    with Path(template).open("rb") as packed:
        content = bytearray(zstandard.ZstdDecompressor().stream_reader(packed).read())
    count = renumber(content, int(run))
    if count == 0:
        sys.exit(f"{template} has no run header")
    Path(output).write_bytes(zstandard.ZstdCompressor(level=3).compress(content))
    print(f"{output}: run {int(run)}, {count} run header, {len(content)} bytes unpacked")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
