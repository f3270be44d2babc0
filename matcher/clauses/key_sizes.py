"""Estimated sizes in bytes of keys that are made from facts of offers.

Pilots choose these words. A pilot that sends other words each time must not fill the memory, so
caches are bounded by bytes, not by the number of keys.
"""

from collections.abc import Iterable
from typing import Any, Final, cast

HEAVY: Final = 32 << 10  # bytes of a key that is too large to cache

_WORD: Final = 96  # a word and its entries in sets, besides its letters
_OTHER: Final = 1_024  # the facts of a node
_KEY: Final = 256  # a key, besides its facts


def weight(facts: Iterable[Any]) -> int:
    """Return the estimated size in bytes of some facts of an offer."""
    found = _WORD
    for fact in facts:
        if isinstance(fact, str):
            found += _WORD + len(fact)
        elif isinstance(fact, frozenset):
            words = cast("frozenset[str]", fact)
            found += 2 * _WORD + _WORD * len(words)
            for word in words:
                found += len(word)
        else:
            found += _OTHER
    return found


class KeySizes:
    """Keys made of facts. Keys that share a fact store and count it once."""

    __slots__ = ("_facts", "bytes")

    def __init__(self) -> None:
        self._facts: dict[Any, Any] = {}
        self.bytes = 0

    def key(self, facts: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return an equal key that shares its facts with others; an empty key: it is too large."""
        found: list[Any] = []
        for fact in facts:
            one = self._facts.get(fact)
            if one is None:
                its = weight((fact,))
                if its > HEAVY:
                    return ()
                self.bytes += its
                one = self._facts[fact] = fact
            found.append(one)
        self.bytes += _KEY
        return tuple(found)

    def clear(self) -> None:
        self._facts.clear()
        self.bytes = 0
