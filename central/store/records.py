"""The base of all records."""

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A record of plain values without reference cycles, ignored by the garbage collector."""
