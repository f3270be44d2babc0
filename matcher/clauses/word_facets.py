"""Facets that words alone can answer, without a check of each different demand.

One submitter can have ten thousand different demands. Checking each of them for each new kind of
offer would delay everything.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from ..platforms import ANY
from .facets import NEW_MAX, Facet
from .tag_choices import TagChoices
from .word_bits import RowSet, WordRows, each

if TYPE_CHECKING:
    from .clause import Clause

_ANYTHING: Final = frozenset((ANY,))
# Stands for words that no row has. No name contains this character (proto/limits.py).
_NOTHING_SAID: Final = frozenset(("\0",))


class ByWords(Facet, ABC):
    """A facet that knows the words of each row."""

    __slots__ = ("_naming",)

    def __init__(self, clause: "Clause[Any, Any]") -> None:
        super().__init__(clause)
        self._naming = WordRows()

    def _answer(self, key: Any, asked: int, rows: int) -> int:
        if len(self.wants) - asked <= NEW_MAX:
            return self._one_by_one(key, asked, rows)
        return self._by_words(key, len(self.wants))

    @abstractmethod
    def _by_words(self, key: Any, size: int) -> int:
        """Return which of the first rows accept an offer with this key, as bits."""


class ByOneOf(ByWords):
    """Rows want one of some words, or have none."""

    __slots__ = ("_asking",)

    def __init__(self, clause: "Clause[Any, Any]") -> None:
        super().__init__(clause)
        self._asking = RowSet()

    def _take_up(self, row: int, wants: Any) -> None:
        for word in wants:
            self._naming.add(word, row)
            self._asking.add(row)

    def _by_words(self, key: Any, size: int) -> int:
        every = (1 << size) - 1
        if key == ANY:
            return every
        return every ^ self._asking.value | self._naming.rows(key, size)


class ByNoneOf(ByWords):
    """Rows want none of some words."""

    __slots__ = ()

    def _take_up(self, row: int, wants: Any) -> None:
        for word in wants:
            self._naming.add(word, row)

    def _by_words(self, key: Any, size: int) -> int:
        return (1 << size) - 1 & ~self._naming.rows(key, size)


class ByAccepted(ByWords):
    """Each row has a word, which must be among those of an offer that has any."""

    __slots__ = ("_said",)

    def __init__(self, clause: "Clause[Any, Any]") -> None:
        super().__init__(clause)
        self._said = set[Any]()

    def _take_up(self, row: int, wants: Any) -> None:
        self._naming.add(wants, row)
        self._said.add(wants)

    def _told(self, key: Any) -> Any:
        if ANY in key:
            return _ANYTHING
        return key & self._said or _NOTHING_SAID if key else key

    def _by_words(self, key: Any, size: int) -> int:
        if not key or ANY in key:
            return (1 << size) - 1
        return self._naming.any(key, size)


class ByRequiredTags(ByWords):
    """All words of an offer must be among those of a row."""

    __slots__ = ("_said",)

    def __init__(self, clause: "Clause[Any, Any]") -> None:
        super().__init__(clause)
        self._said = set[Any]()

    def _take_up(self, row: int, wants: Any) -> None:
        for word in wants:
            self._naming.add(word, row)
            self._said.add(word)

    def _told(self, key: Any) -> Any:
        return key if key <= self._said else _NOTHING_SAID  # one word that no row has is enough

    def _by_words(self, key: Any, size: int) -> int:
        rows = (1 << size) - 1
        for word in key:
            rows &= self._naming.rows(word, size)
        return rows


class ChoiceLevel:
    """The choices at the same place in their expressions."""

    __slots__ = ("asking", "naming", "shunning", "without")

    def __init__(self) -> None:
        self.asking = RowSet()  # rows with a choice here
        self.naming = WordRows()
        self.shunning = WordRows()
        self.without = RowSet()  # rows with a choice that a word must be absent, or another present

    def unmet(self, key: frozenset[str], size: int) -> int:
        met = self.without.value
        if met:
            met &= ~self.shunning.any(key, size)
        return self.asking.value & ~(met | self.naming.any(key, size))


class ByTags(Facet):
    """Rows are expressions over words. Those that choices express only in part are checked."""

    __slots__ = ("_levels", "_partly", "_said")

    def __init__(self, clause: "Clause[Any, Any]") -> None:
        super().__init__(clause)
        self._levels: list[ChoiceLevel] = []
        self._partly = RowSet()  # rows that may refuse an offer that meets their choices
        self._said = set[Any]()

    def _take_up(self, row: int, wants: Any) -> None:
        choices: TagChoices = wants.choices
        if not choices.says_all:
            self._partly.add(row)
            self._said.update(wants.words)
        while len(self._levels) < len(choices.each):
            self._levels.append(ChoiceLevel())
        for (must, without), level in zip(choices.each, self._levels, strict=False):
            level.asking.add(row)
            for word in must:
                level.naming.add(word, row)
            for word in without:
                level.shunning.add(word, row)
                level.without.add(row)
            self._said.update(must, without)

    def _told(self, key: Any) -> Any:
        return _ANYTHING if ANY in key else key & self._said

    def _answer(self, key: Any, asked: int, rows: int) -> int:
        size = len(self.wants)
        if size - asked <= NEW_MAX or ANY in key:
            return self._one_by_one(key, asked, rows)
        new = (1 << size) - (1 << asked)
        for level in self._levels:
            new &= ~level.unmet(key, size)
        new = new >> asked << asked
        denies, wants = self.clause.denies, self.wants
        answers: dict[int, bool] = {}  # by expression, which many rows may share
        for row in each(new & self._partly.value):
            its = wants[row]
            denied = answers.get(id(its))
            if denied is None:
                denied = answers[id(its)] = denies(its, key)
                self.questions += 1
            if denied:
                new ^= 1 << row
        return rows | new
