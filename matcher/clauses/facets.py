"""Facets: for each clause, the rows that accept a fact of an offer, as bits of one integer.

A row is one alternative need of one class. A demand that many rows share is checked once. Answers
for a fact are cached, and only new rows are checked and added to an answer. The answer always comes
from the clause itself, or from the words of rows (`word_facets`), with the same result.
"""

from abc import ABC, abstractmethod
from array import array
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from pilotage.proto.documents.job import Need

from ..types import NOBODYS
from .key_sizes import weight
from .word_bits import FEW_MAX, bits

if TYPE_CHECKING:
    from .clause import Clause

KNOWN_MAX: Final = 4_096  # cached answers of a facet
KNOWN_BYTES_MAX: Final = 64 << 20  # of the rows in these answers
KEYS_BYTES_MAX: Final = 8 << 20  # of the keys, which pilots choose
NEW_MAX: Final = 32  # new rows that are checked one by one, even if words could answer for all


class Facet(ABC):
    """One clause for all rows."""

    __slots__ = ("_keys_bytes", "answers", "asks", "clause", "questions", "wants")

    def __init__(self, clause: "Clause[Any, Any]") -> None:
        self.clause = clause
        self.asks = False  # whether any row may be refused
        self.wants: list[Any] = []  # by row
        # Key → number of rows that were checked, and the answer.
        self.answers: dict[Any, tuple[int, int]] = {}
        self._keys_bytes = 0
        self.questions = 0  # calls of the clause's rule

    def add(self, wants: Any) -> None:
        """Add the next row."""
        row = len(self.wants)
        self.wants.append(wants)
        self.asks = self.asks or self.clause.asks(wants)
        self._take_up(row, wants)

    def accepting(self, key: Any) -> int:
        """Return the rows that accept an offer with this key, as bits."""
        size, key = len(self.wants), self._told(key)
        asked, rows = self.answers.get(key, (0, 0))
        if asked != size:
            if not asked:
                self._make_room(weight((key,)), size)
            rows = self._answer(key, asked, rows)
            self.answers[key] = (size, rows)
        return rows

    def _make_room(self, key_bytes: int, size: int) -> None:
        """Clear the cache if one more answer would make it too large."""
        self._keys_bytes += key_bytes
        most = min(KNOWN_MAX, KNOWN_BYTES_MAX // (size // 8 + 1))
        if len(self.answers) >= most or self._keys_bytes > KEYS_BYTES_MAX:
            self.answers.clear()
            self._keys_bytes = key_bytes

    def _told(self, key: Any) -> Any:
        """Return the part of a key that can matter to any row."""
        return key

    @abstractmethod
    def _take_up(self, row: int, wants: Any) -> None:
        """Record the demand of a new row."""

    @abstractmethod
    def _answer(self, key: Any, asked: int, rows: int) -> int:
        """Return the rows that accept this key, given the answer for the first rows."""

    def _one_by_one(self, key: Any, asked: int, rows: int) -> int:
        denies, new = self.clause.denies, self.wants[asked:]
        self.questions += len(new)
        accept = bits([at for at, wants in enumerate(new) if not denies(wants, key)], len(new))
        return rows | accept << asked

    def check(self) -> None:
        """Raise AssertionError if an answer differs from the clause's. For checks only."""
        for key, (asked, rows) in self.answers.items():
            answers = [not self.clause.denies(wants, key) for wants in self.wants[:asked]]
            exact = sum(answer << row for row, answer in enumerate(answers))
            assert rows == exact, f"{self.clause.name}: {key}"


class ByDemand(Facet):
    """A facet that checks each different demand once."""

    __slots__ = ("_few", "_many", "_usual")

    def __init__(self, clause: "Clause[Any, Any]") -> None:
        super().__init__(clause)
        # The demand of a need that does not mention it: rows in no other set have it.
        self._usual = clause.wants(Need(), NOBODYS)
        # Other demands → their rows: one by one while there are few, because bits of distant rows
        # take more memory; then the first of them, and all of them as bits from there.
        self._few: dict[Any, array[int]] = {}
        self._many: dict[Any, tuple[int, int]] = {}

    def _take_up(self, row: int, wants: Any) -> None:
        if wants is self._usual or wants == self._usual:
            return
        many = self._many.get(wants)
        if many is not None:
            first, alike = many
            self._many[wants] = (first, alike | 1 << row - first)
            return
        few = self._few.get(wants)
        if few is None:
            self._few[wants] = array("I", (row,))
        elif len(few) < FEW_MAX:
            few.append(row)
        else:
            del self._few[wants]
            few.append(row)
            self._many[wants] = (few[0], bits(few, row + 1) >> few[0])

    def _answer(self, key: Any, asked: int, rows: int) -> int:
        size = len(self.wants)
        if size - asked <= len(self._few) + len(self._many):
            return self._one_by_one(key, asked, rows)
        self.questions += len(self._few) + len(self._many)
        denies = self.clause.denies
        usual_is_denied = denies(self._usual, key)
        # The rows whose answer differs from the usual one.
        few = [its for wants, its in self._few.items() if denies(wants, key) != usual_is_denied]
        unlike = bits(chain.from_iterable(few), size)
        for wants, (first, alike) in self._many.items():
            if denies(wants, key) != usual_is_denied:
                unlike |= alike << first
        return unlike if usual_is_denied else (1 << size) - 1 ^ unlike
