"""The content of a job's stream, with the attempt that it comes from."""

from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class _Of:
    epoch: int  # the attempt; 0: no attempt has a stored stream
    newest: int  # the job's newest attempt
    left_out: int = 0  # bytes of the stream before the stored ones


@dataclass(frozen=True)
class StreamContent(_Of):
    """The bytes of a stream, stored or live."""

    parts: AsyncIterator[bytes]
