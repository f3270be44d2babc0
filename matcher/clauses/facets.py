"""Facets: for each clause, which rows accept what an offer has, as bits of one integer.

A row is one alternative of one class. What many rows want alike is asked once, and what many
offers have alike is answered from memory: rows that are new since are added to the answer. The
clause itself gives every answer, or the words that rows say (`word_facets`), which is the same.
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

KNOWN_MAX: Final = 4_096  # answers that a facet keeps
KNOWN_BYTES_MAX: Final = 64 << 20  # that their rows may take
KEYS_BYTES_MAX: Final = 8 << 20  # that what offers said may take: pilots choose it
NEW_MAX: Final = 32  # rows of which each is asked, where words would say it of all


class Facet(ABC):
    """One clause over all rows."""

    __slots__ = ("_keys_bytes", "answers", "asks", "clause", "questions", "wants")

    def __init__(self, clause: "Clause[Any, Any]") -> None:
        self.clause = clause
        self.asks = False  # whether any row may refuse anything
        self.wants: list[Any] = []  # by row
        self.answers: dict[Any, tuple[int, int]] = {}  # key → how many rows were asked, the answer
        self._keys_bytes = 0
        self.questions = 0  # how often the clause was asked

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
        """One more answer comes: forget all where they would become too many."""
        self._keys_bytes += key_bytes
        most = min(KNOWN_MAX, KNOWN_BYTES_MAX // (size // 8 + 1))
        if len(self.answers) >= most or self._keys_bytes > KEYS_BYTES_MAX:
            self.answers.clear()
            self._keys_bytes = key_bytes

    def _told(self, key: Any) -> Any:
        """Return what of a key makes a difference to any row."""
        return key

    @abstractmethod
    def _take_up(self, row: int, wants: Any) -> None:
        """Note what a new row wants."""

    @abstractmethod
    def _answer(self, key: Any, asked: int, rows: int) -> int:
        """Return the rows that accept this key; of so many of them these are known to do so."""

    def _one_by_one(self, key: Any, asked: int, rows: int) -> int:
        denies, new = self.clause.denies, self.wants[asked:]
        self.questions += len(new)
        accept = bits([at for at, wants in enumerate(new) if not denies(wants, key)], len(new))
        return rows | accept << asked

    def check(self) -> None:
        """Raise AssertionError where an answer is not the clause's: for checks."""
        for key, (asked, rows) in self.answers.items():
            answers = [not self.clause.denies(wants, key) for wants in self.wants[:asked]]
            exact = sum(answer << row for row, answer in enumerate(answers))
            assert rows == exact, f"{self.clause.name}: {key}"


class ByDemand(Facet):
    """Each different thing that is wanted is asked once."""

    __slots__ = ("_few", "_many", "_usual")

    def __init__(self, clause: "Clause[Any, Any]") -> None:
        super().__init__(clause)
        # What a need wants that does not say anything of it: the rows that are in no other set.
        self._usual = clause.wants(Need(), NOBODYS)
        # What else is wanted → the rows that want it: one by one while they are few, for bits of
        # rows that lie far apart take more room; then the first of them, and all as bits from it.
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
        # The rows that get another answer than the usual ones.
        few = [its for wants, its in self._few.items() if denies(wants, key) != usual_is_denied]
        unlike = bits(chain.from_iterable(few), size)
        for wants, (first, alike) in self._many.items():
            if denies(wants, key) != usual_is_denied:
                unlike |= alike << first
        return unlike if usual_is_denied else (1 << size) - 1 ^ unlike
