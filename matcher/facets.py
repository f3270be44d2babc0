"""Facets: for each clause, which rows accept what an offer has, as bits of one integer.

A row is one alternative of one class. What many rows want alike is asked once, and what many
offers have alike is answered from memory. The clause itself gives every answer.
"""

from bisect import bisect_right, insort
from typing import Any, Final

from .clauses import Clause
from .types import LiveOffer

KNOWN_MAX: Final = 4096  # answers that a facet keeps


class Facet:
    """One clause over all rows."""

    __slots__ = ("_alike", "_clause", "_demands", "_known", "_wants")

    def __init__(self, clause: Clause[Any, Any]) -> None:
        self._clause = clause
        self._wants: list[Any] = []  # by row
        # What is wanted → the first row that wants it, and from there on the rows that do. Most
        # of what seldom is wanted is so by one row or by neighbours, and takes hardly any room.
        self._alike: dict[Any, tuple[int, int]] = {}
        self._demands: list[float] = []  # of a number: what is wanted, each once, rising
        self._known: dict[Any, tuple[int, int]] = {}  # key → how many rows were asked, the answer

    @property
    def is_number(self) -> bool:
        return self._clause.is_number

    def add(self, wants: Any) -> None:
        """Add the next row."""
        row = len(self._wants)
        found = self._alike.get(wants)
        if found is None:
            self._alike[wants] = (row, 1)
            if self.is_number:
                insort(self._demands, wants)
        else:
            first, alike = found
            self._alike[wants] = (first, alike | 1 << row - first)
        self._wants.append(wants)

    def key(self, offer: LiveOffer) -> Any:
        """Return what stands for the offer: all offers with the same key get the same answer.

        Of a number only matters which demands it meets: the highest of them stands for it.
        """
        had = self._clause.has(offer)
        if not self._clause.is_number:
            return had
        at = bisect_right(self._demands, had)
        return self._demands[at - 1] if at else -1

    def accepting(self, key: Any) -> int:
        """Return the rows that accept an offer with this key, as bits."""
        asked, rows = self._known.get(key, (-1, 0))
        if asked == len(self._wants):
            return rows
        denies = self._clause.denies
        if asked < 0:
            rows = 0
            for wants, (first, alike) in self._alike.items():
                if not denies(wants, key):
                    rows |= alike << first
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
        else:
            new = 0
            for place, wants in enumerate(self._wants[asked:]):
                if not denies(wants, key):
                    new |= 1 << place
            rows |= new << asked
        self._known[key] = (len(self._wants), rows)
        return rows
