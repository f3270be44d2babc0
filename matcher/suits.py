"""Which of many offers could take jobs of a class, as bits: what planning asks of the rule.

The matcher's index keeps classes and is asked with an offer. Here it is the other way round: the
offers, which stand for pilots that could be started, are few and known, and each class asks. What
classes want repeats itself, so that each answer is made once for all of them.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any, Final

from pilotage.proto.job import Need

from .clause import Clause, Clauses
from .platforms import ANY
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

    def learn(self, specs: Iterable[ClassSpec]) -> None:
        """Find the answers for many classes at once: clause by clause, in a fraction of the time.

        `of` gives the same answers without. Of more than are kept the first ones are learnt.
        """
        fresh = [spec for spec in specs if spec.class_id not in self._classes][:KNOWN_MAX]
        if len(fresh) + len(self._classes) > KNOWN_MAX:
            self._classes.clear()
        asking = {need: spec for spec in fresh for need in spec.needs if need not in self._needs}
        if len(asking) + len(self._needs) > KNOWN_MAX:
            self._needs.clear()
            asking = {need: spec for spec in fresh for need in spec.needs}
        needs = list(asking)
        bits = self._narrowed(self._of_need, needs, list(asking.values()))
        self._needs.update(zip(needs, bits, strict=True))
        known = self._needs
        firsts = [spec.needs[0] for spec in fresh]
        found: list[int] = []
        for spec in fresh:
            any_of = known[spec.needs[0]]
            for need in spec.needs[1:]:
                any_of |= known[need]
            found.append(any_of)
        for row in self._of_class:
            found = row.narrowed(found, firsts, fresh)
        for spec, answer in zip(fresh, found, strict=True):
            self._classes[spec.class_id] = answer

    def _narrowed(
        self, rows: Sequence["_Row"], needs: Sequence[Need], specs: Sequence[ClassSpec]
    ) -> list[int]:
        found = [self._all] * len(needs)
        for row in rows:
            found = row.narrowed(found, needs, specs)
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
        self._wants, self._denies, self._is_number = clause.wants, clause.denies, clause.is_number
        self._idle, self._only = clause.idle, clause.only
        by_fact: dict[Any, int] = {}
        for place, offer in enumerate(offers):
            fact = clause.has(offer)
            by_fact[fact] = by_fact.get(fact, 0) | 1 << place
        self._by_fact = by_fact
        self._all = (1 << len(offers)) - 1
        # Of a number: what is had, the least first, and the offers that have so much or more.
        self._numbers: list[Any] = sorted(by_fact) if clause.is_number else []
        self._so_much: list[int] = [0] * (len(self._numbers) + 1)
        for at in range(len(self._numbers) - 1, -1, -1):
            self._so_much[at] = self._so_much[at + 1] | by_fact[self._numbers[at]]
        self._answers: dict[Any, int] = {}

    def taken(self, need: Need, spec: ClassSpec) -> int:
        """Return the bits of the offers that do not refuse this."""
        wanted = self._wants(need, spec)
        found = self._answers.get(wanted)
        if found is None:
            self._bound()
            found = self._answers[wanted] = self._answer(wanted)
        return found

    def narrowed(
        self, bits: list[int], needs: Sequence[Need], specs: Sequence[ClassSpec]
    ) -> list[int]:
        """Return of each of some bits what is left by this clause."""
        self._bound()
        wants, answers = self._wants, self._answers
        wanted = [wants(need, spec) for need, spec in zip(needs, specs, strict=True)]
        distinct = set(wanted)
        for one in distinct:
            if one not in answers:
                answers[one] = self._answer(one)
        if all(answers[one] == self._all for one in distinct):
            return bits
        return [before & answers[one] for before, one in zip(bits, wanted, strict=True)]

    def _bound(self) -> None:
        if len(self._answers) >= KNOWN_MAX:
            self._answers.clear()

    def _answer(self, wanted: Any) -> int:
        if self._is_number:
            return self._so_much[bisect_left(self._numbers, wanted)]
        if wanted == self._idle:
            return self._all
        found = 0
        if self._only is not None:  # these words will do, and ANY
            for had in {*self._only(wanted), ANY}:
                found |= self._by_fact.get(had, 0)
            return found
        denies = self._denies
        for had, bits in self._by_fact.items():
            if not denies(wanted, had):
                found |= bits
        return found
