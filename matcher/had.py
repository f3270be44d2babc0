"""What kinds of offers have of one fact, and which of them meet a wish."""

from collections.abc import Iterable
from typing import Any, Final

from .clause import Clause
from .platforms import ANY
from .tagchoices import Choices

_NO_WORDS: Final = frozenset[str]()


class Had:
    """One clause over all kinds of offers, each of them a bit.

    It is the other way round than a facet: there rows say words, and here offers have them.
    """

    __slots__ = ("_clause", "_facts", "_words", "questions")

    def __init__(self, clause: Clause[Any, Any]) -> None:
        self._clause = clause
        self._facts: dict[Any, int] = {}  # the kinds that have each
        self._words: dict[Any, int] = {}  # where sets of words are had: kinds that have a word
        self.questions = 0  # how often the clause was asked

    def add(self, fact: Any, kind: int) -> None:
        """Take up a kind, which is one bit."""
        self._facts[fact] = self._facts.get(fact, 0) | kind
        if self._clause.among or self._clause.choices is not None:
            for word in fact:
                self._words[word] = self._words.get(word, 0) | kind

    def taking(self, want: Any, kinds: int) -> int:
        """Return those of some kinds that meet a wish."""
        clause = self._clause
        if clause.idle is not None and want == clause.idle:
            return kinds
        if clause.only is not None:
            words = tuple(clause.only(want))
            return kinds & _any(self._facts, (*words, ANY)) if words else kinds
        if clause.never is not None:
            return kinds & ~_any(self._facts, clause.never(want))
        if clause.among:
            return kinds & (_any(self._words, (want, ANY)) | self._facts.get(_NO_WORDS, 0))
        if clause.choices is not None:
            return self._meeting(clause.choices(want), want, kinds)
        return self._asked(want, kinds)

    def _meeting(self, choices: Choices, want: Any, kinds: int) -> int:
        """Return those of some kinds whose words meet all choices."""
        has_any = kinds & self._words.get(ANY, 0)
        met = kinds ^ has_any
        for must, without in choices.each:
            lacking = 0
            for word in without:
                lacking |= met & ~self._words.get(word, 0)
            met &= lacking | _any(self._words, must)
        if choices.says_all and not has_any:
            return met
        unclear = has_any if choices.says_all else has_any | met
        return met & ~unclear | self._asked(want, unclear)

    def _asked(self, want: Any, kinds: int) -> int:
        """Return those of some kinds that meet a wish, by the clause itself."""
        denies, found = self._clause.denies, kinds
        for fact, its in self._facts.items():
            if its & kinds:
                self.questions += 1
                if denies(want, fact):
                    found &= ~its
        return found


def _any(kinds: dict[Any, int], words: Iterable[Any]) -> int:
    found = 0
    for word in words:
        found |= kinds.get(word, 0)
    return found
