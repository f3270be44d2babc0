"""Weights: about how many bytes it takes to keep what an offer said as a key.

Pilots choose these words. One that says others each time must not fill the memory: what is kept of
them is bounded by bytes, and not by how many keys there are.
"""

from collections.abc import Iterable
from typing import Any, Final, cast

HEAVY: Final = 32 << 10  # bytes of a key that is not worth keeping

_WORD: Final = 96  # a word and its places in sets, beside its letters
_OTHER: Final = 1_024  # the facts of a node
_KEY: Final = 256  # a key, beside its facts


def weight(facts: Iterable[Any]) -> int:
    """Return about how many bytes some facts of an offer take."""
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


class Keys:
    """Keys made of facts: many keys share a fact, and it is kept and weighed once."""

    __slots__ = ("_facts", "bytes")

    def __init__(self) -> None:
        self._facts: dict[Any, Any] = {}
        self.bytes = 0

    def key(self, facts: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return an equal key that is made of facts that are kept; an empty one: too heavy."""
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
