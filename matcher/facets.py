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
        self._alike: dict[Any, int] = {}  # what is wanted → rows that want it
        self._demands: list[float] = []  # of a number: what is wanted, each once, rising
        self._known: dict[Any, tuple[int, int]] = {}  # key → how many rows were asked, the answer

    @property
    def is_number(self) -> bool:
        return self._clause.is_number

    def add(self, wants: Any) -> None:
        """Add the next row."""
        if wants not in self._alike:
            self._alike[wants] = 0
            if self.is_number:
                insort(self._demands, wants)
        self._alike[wants] |= 1 << len(self._wants)
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
            for wants, alike in self._alike.items():
                if not denies(wants, key):
                    rows |= alike
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
        else:
            for row in range(asked, len(self._wants)):
                if not denies(self._wants[row], key):
                    rows |= 1 << row
        self._known[key] = (len(self._wants), rows)
        return rows
