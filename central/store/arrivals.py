"""Submissions of other processes: a part of the store.

One process keeps the queue; others may take in submissions beside it. It learns of them from here.
A *moment* is a text that says which transactions were over when something was read.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from .records import CountRow


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


class Arrivals(Protocol):
    """What comes in by others, each exactly once, whenever it was committed.

    Where no other process writes, the moment is empty and nothing ever arrives.
    """

    async def counted(self) -> tuple[list[CountRow], str]:
        """Return `counts`, and the moment at which they were read."""
        ...

    async def arrivals(self, since: str) -> tuple[list[Arrival], str]:
        """Return what became visible after the moment `since`, and the moment of this reading.

        Transactions that others have open, however long, hide nothing of it and delay nothing.
        """
        ...

    async def arrived_runs(self, ranges: Sequence[tuple[int, int]]) -> list[Run]:
        """Return how the jobs of such ranges stand now, in order of the id."""
        ...

    async def forget_arrivals(self, before: str) -> None:
        """Remove what was visible at the moment `before`: whoever keeps the queue has it."""
        ...

    async def arrival_hint(self, within_s: float) -> None:
        """Return when somebody says that something has arrived, or after so many seconds.

        A hint: it may be lost, and come for nothing.
        """
        ...

    async def drop_abandoned(self, submission_id: int | None = None) -> int:
        """Remove unfinished submissions that nobody writes any more; return how many.

        With an id: only this one. What a process of now writes is left alone, unless it has
        written nothing for a minute.
        """
        ...
