"""Which of many offers could take jobs of a class, as bits: what planning asks of the rule.

The matcher's index keeps classes and is asked with an offer. Here it is the other way round: the
offers, which stand for pilots that could be started, are few and known, and each class asks. What
classes want repeats itself, so that each answer is made once for all of them.
"""

from collections.abc import Sequence
from typing import Any, Final

from pilotage.proto.job import Need

from .clause import Clause, Clauses
from .types import ClassSpec, LiveOffer

KNOWN_MAX: Final = 200_000  # answers that are kept; classes come and go


class Suits:
    """The offers, each one a bit: the first is 1, the second 2, the third 4."""

    def __init__(self, clauses: Clauses, offers: Sequence[LiveOffer]) -> None:
        self._all = (1 << len(offers)) - 1
        self._of_class = [_Row(clause, offers) for clause in clauses if clause.is_of_class]
        self._of_need = [_Row(clause, offers) for clause in clauses if not clause.is_of_class]
        self._needs: dict[Need, int] = {}
        self._classes: dict[int, int] = {}

    def of(self, spec: ClassSpec) -> int:
        """Return the bits of the offers that could take a job of this class by any of its needs."""
        found = self._classes.get(spec.class_id)
        if found is None:
            if len(self._classes) >= KNOWN_MAX:
                self._classes.clear()
            found = self._classes[spec.class_id] = self._find(spec)
        return found

    def _find(self, spec: ClassSpec) -> int:
        found = 0
        for need in spec.needs:
            bits = self._needs.get(need)
            if bits is None:
                if len(self._needs) >= KNOWN_MAX:
                    self._needs.clear()
                bits = self._needs[need] = _all_of(self._of_need, need, spec, self._all)
            found |= bits
        return found and _all_of(self._of_class, spec.needs[0], spec, found)


def _all_of(rows: Sequence["_Row"], need: Need, spec: ClassSpec, bits: int) -> int:
    for row in rows:
        bits &= row.taken(need, spec)
        if not bits:
            break
    return bits


class _Row:
    """One clause: for each thing that can be wanted, which offers have it."""

    def __init__(self, clause: Clause[Any, Any], offers: Sequence[LiveOffer]) -> None:
        self._wants, self._denies = clause.wants, clause.denies
        self._by_fact: dict[Any, int] = {}
        for place, offer in enumerate(offers):
            fact = clause.has(offer)
            self._by_fact[fact] = self._by_fact.get(fact, 0) | 1 << place
        self._answers: dict[Any, int] = {}

    def taken(self, need: Need, spec: ClassSpec) -> int:
        wanted = self._wants(need, spec)
        found = self._answers.get(wanted)
        if found is None:
            found = sum(
                bits for had, bits in self._by_fact.items() if not self._denies(wanted, had)
            )
            self._answers[wanted] = found
        return found
