"""What is given of a stream of a job, and of which attempt that is."""

from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class _Of:
    epoch: int  # of which attempt; 0: nothing is kept of any
    newest: int  # the job's newest attempt
    left_out: int = 0  # bytes that it wrote before those that are kept


@dataclass(frozen=True)
class StreamContent(_Of):
    """The bytes of a stream, kept or as they come."""

    parts: AsyncIterator[bytes]
