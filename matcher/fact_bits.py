"""FactBits: what many offers have of one thing, and which of them have it, as bits of an integer.

It is the other way round than a facet: there rows say words, and here offers have them. The first
offer is the lowest bit.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from .words import of_flags, selected

if TYPE_CHECKING:
    from .clause import Clause

NO_WORDS: Final = frozenset[str]()


class FactBits:
    """One fact of offers that come one by one."""

    __slots__ = ("_saying", "all", "having", "questions")

    def __init__(self, facts: Iterable[Any] = ()) -> None:
        self.having: dict[Any, int] = {}  # fact → the offers that have it
        self._saying: dict[str, int] = {}  # if facts are sets of words: the offers that have a word
        self.all: int = 0
        self.questions = 0  # how often a clause was asked
        for fact in facts:
            self.add(fact)

    def add(self, fact: Any) -> None:
        """Add the next offer."""
        offer = self.all + 1
        self.all |= offer
        self.having[fact] = self.having.get(fact, 0) | offer
        if isinstance(fact, frozenset):
            for word in fact:
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


class FactColumn:
    """One fact of offers that are all known: each different fact is looked at once."""

    __slots__ = ("_different", "_facts", "all", "had")

    def __init__(self, had: list[Any]) -> None:
        self.had = had  # by offer
        self.all: int = (1 << len(had)) - 1
        self._different = list(dict.fromkeys(had))
        self._facts: FactBits | None = None  # of the different facts

    def accepting(self, clause: "Clause[Any, Any]", wanted: Any) -> int:
        """Return the offers that a clause does not let refuse this, as bits."""
        if self._facts is None:
            self._facts = FactBits(self._different)
        every = self._facts.all
        found = clause.accepting(wanted, self._facts, every)
        if found == every:
            return self.all
        if not found:
            return 0
        accepted = set(selected(self._different, found))
        return of_flags(map(accepted.__contains__, self.had))


class NumberColumn(FactColumn):
    """A number of offers: those that have so much or more."""

    __slots__ = ("_at_least", "_rising")

    def __init__(self, had: list[Any]) -> None:
        self.had = had
        self.all = (1 << len(had)) - 1
        self._rising: list[Any] = sorted(set(had))
        self._at_least: dict[int, int] = {}  # place in these numbers → the offers from there on

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
