"""Submissions of other processes, as a store keeps them.

One process keeps the queue; others may take in submissions beside it. It learns of them from here.
A *moment* is a text that says which transactions were over when something was read.
"""

import msgspec


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of a submission with consecutive ids that stand alike."""

    class_id: int
    priority: int
    epoch: int
    queue_until: float | None  # wall clock
    waits: bool  # Waiting, without a live attempt
    first: int
    count: int


class Arrival(msgspec.Struct, frozen=True):
    """A submission that another process has made visible."""

    submission_id: int
    ranges: tuple[tuple[int, int], ...]  # (first id, count)
    age_s: float  # since it was written, on the database's clock
