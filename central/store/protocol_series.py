"""The verbs of a store for what is counted: series, accounts, failures. See `protocol`."""

from collections.abc import Sequence
from typing import Protocol

from .failures import FailureCounts
from .series import AccountRow, AccountSearch, Entry, Point, Sample, SeriesSearch


class SeriesStore(FailureCounts, Protocol):
    """What outlives the jobs."""

    async def keep_counts(
        self, at: int, samples: Sequence[Sample], entries: Sequence[Entry], *, drop: bool = True
    ) -> None:
        """Keep the slot of ten seconds that began at `at`, and add to the accounts of its day.

        Coarser slots that are complete are made. With `drop` goes what is older than `series.STEPS`
        says; slots of the future, which a wrong clock has made, stay and are in nobody's way.
        A slot that is kept twice has the later levels and the sum of both sums.
        """
        ...

    async def series_slots(self, search: SeriesSearch, *, limit: int) -> list[int]:
        """Return when the slots began that were counted; in the others the central was down."""
        ...

    async def series(self, search: SeriesSearch) -> list[Point]:
        """Return what was counted, in order of label and time; points of zeros are left out."""
        ...

    async def accounts(self, search: AccountSearch, *, limit: int) -> list[AccountRow]:
        """Return sums out of the accounts, in order of the label."""
        ...
