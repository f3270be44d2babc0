"""What all records have in common."""

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Values alone, in no cycle: the collector need not look at them."""
