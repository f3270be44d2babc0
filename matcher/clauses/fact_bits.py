"""Facts of many offers: which offers have a fact, as bits of an integer.

It is the reverse of a facet: there rows have words, here offers have facts. The first offer is the
lowest bit.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from .word_bits import of_flags, selected

if TYPE_CHECKING:
    from .clause import Clause

OFTEN: Final = 32  # checks that cost as much as the bits of all offers
NO_WORDS: Final = frozenset[str]()


class FactBits:
    """One fact of offers that are added one by one."""

    __slots__ = ("_saying", "all", "having", "questions")

    def __init__(self, facts: Iterable[Any] = ()) -> None:
        self.having: dict[Any, int] = {}  # fact → offers with it
        self._saying: dict[str, int] = {}  # if facts are sets of words: word → offers with it
        self.all: int = 0
        self.questions = 0  # calls of a clause's rule
        for fact in facts:
            self.add(fact)

    def add(self, fact: Any) -> None:
        """Add the next offer."""
        offer = self.all + 1
        self.all |= offer
        self.having[fact] = self.having.get(fact, 0) | offer
        if isinstance(fact, frozenset):
            for word in cast("frozenset[str]", fact):
                self._saying[word] = self._saying.get(word, 0) | offer

    def any(self, facts: Iterable[Any]) -> int:
        """Return the offers that have one of some facts."""
        found: int = 0
        for fact in facts:
            found |= self.having.get(fact, 0)
        return found

    def saying(self, words: Iterable[str]) -> int:
        """Return the offers that have one of some words in their sets."""
        found: int = 0
        for word in words:
            found |= self._saying.get(word, 0)
        return found


class Column(ABC):
    """One fact of a fixed list of offers."""

    __slots__ = ("all", "had")

    def __init__(self, had: list[Any]) -> None:
        self.had = had  # by offer
        self.all: int = (1 << len(had)) - 1

    @abstractmethod
    def accepting(self, clause: "Clause[Any, Any]", wanted: Any) -> int:
        """Return the offers that do not refuse this demand of a clause, as bits."""


class FactColumn(Column):
    """A column that checks each different fact once, or, if asked often, has bits of all offers."""

    __slots__ = ("_asked", "_bits", "_different")

    def __init__(self, had: list[Any]) -> None:
        super().__init__(had)
        self._different = list(dict.fromkeys(had))
        self._bits = FactBits()  # of the different facts, or of all offers
        self._asked = 0  # calls so far

    def accepting(self, clause: "Clause[Any, Any]", wanted: Any) -> int:
        if self._asked in (0, OFTEN):
            self._bits = FactBits(self.had if self._asked else self._different)
        self._asked += 1
        found = clause.accepting(wanted, self._bits, self._bits.all)
        if self._asked > OFTEN or not found:
            return found
        if found == self._bits.all:
            return self.all
        return of_flags(map(set(selected(self._different, found)).__contains__, self.had))


class NumberColumn(Column):
    """A column of numbers, for demands of at least some number."""

    __slots__ = ("_at_least", "_rising")

    def __init__(self, had: list[Any]) -> None:
        super().__init__(had)
        self._rising: list[Any] = sorted(set(had))
        self._at_least: dict[int, int] = {}  # index in the sorted numbers → offers from there on

    def accepting(self, clause: "Clause[Any, Any]", wanted: Any) -> int:
        place = bisect_left(self._rising, wanted)
        if not place:
            return self.all
        if place == len(self._rising):
            return 0
        found = self._at_least.get(place)
        if found is None:
            found = self._at_least[place] = of_flags([it >= wanted for it in self.had])
        return found
