"""Finds the offers that accept the demands of classes, as bits; the first is the lowest bit.

The matcher's index holds classes and answers for an offer. This module is the reverse: it holds
offers, either live ones or those of pilots to start, and answers for a class. Demands repeat, so
each answer is computed once for all classes.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

from pilotage.proto.documents.job import Need

from ..clauses.clause import Clause, Clauses
from ..clauses.fact_bits import Column
from ..clauses.word_bits import selected
from ..types import ClassSpec, LiveOffer

KNOWN_MAX: Final = 200_000  # cached answers; classes come and go


class Miss(NamedTuple):
    """One clause that refuses some of the offers."""

    clause: Clause[Any, Any]
    wants: Any
    excludes: int  # how many it refuses
    alone: list[Any]  # the facts of the offers that only this clause refuses
    # The same; if there are none, or the clause shows all, the facts of all refused offers.
    nearest: list[Any]


class OfferFit(NamedTuple):
    """One need compared with all offers."""

    fitting: int  # the fitting offers, as bits
    misses: list[Miss]  # clauses that alone refuse most offers first


class OfferBits:
    """Some offers, for questions of classes."""

    def __init__(self, clauses: Clauses, offers: Sequence[LiveOffer]) -> None:
        self.offers = offers
        self.all: int = (1 << len(offers)) - 1
        self._columns: dict[str, Column] = {}  # by fact
        self._rows = [_Row(clause, self) for clause in clauses]
        self._of_class = [row for row in self._rows if row.clause.is_of_class]
        self._of_need = [row for row in self._rows if not row.clause.is_of_class]
        self._needs: dict[Need, int] = {}
        self._classes: dict[int, int] = {}

    def some(self, bits: int) -> list[LiveOffer]:
        """Return the offers of these bits."""
        return list(selected(self.offers, bits))

    def column(self, clause: Clause[Any, Any]) -> Column:
        """Return the fact of a clause for each offer."""
        found = self._columns.get(clause.fact)
        if found is None:
            had = list(map(attrgetter(clause.fact), self.offers))
            found = self._columns[clause.fact] = clause.column(had)
        return found

    # -- for plans --------------------------------------------------------------------------------

    def of(self, spec: ClassSpec) -> int:
        """Return the offers that could take a job of this class by any of its needs, as bits."""
        found = self._classes.get(spec.class_id)
        if found is None:
            if len(self._classes) >= KNOWN_MAX:
                self._classes.clear()
            found = self._classes[spec.class_id] = self._find(spec)
        return found

    def learn(self, specs: Iterable[ClassSpec]) -> None:
        """Compute the answers for many classes at once, clause by clause, which is much faster.

        `of` gives the same answers without this. If there are more than the cache holds, the first
        are learnt.
        """
        fresh = [spec for spec in specs if spec.class_id not in self._classes][:KNOWN_MAX]
        if len(fresh) + len(self._classes) > KNOWN_MAX:
            self._classes.clear()
        asking = {need: spec for spec in fresh for need in spec.needs if need not in self._needs}
        if len(asking) + len(self._needs) > KNOWN_MAX:
            self._needs.clear()
            asking = {need: spec for spec in fresh for need in spec.needs}
        needs, specs = list(asking), list(asking.values())
        bits = [self.all] * len(needs)
        for row in self._of_need:
            bits = row.narrowed(bits, needs, specs)
        self._needs.update(zip(needs, bits, strict=True))
        found: list[int] = []
        for spec in fresh:
            any_of: int = 0
            for need in spec.needs:
                any_of |= self._needs[need]
            found.append(any_of)
        firsts = [spec.needs[0] for spec in fresh]
        for row in self._of_class:
            found = row.narrowed(found, firsts, fresh)
        for spec, answer in zip(fresh, found, strict=True):
            self._classes[spec.class_id] = answer

    def _find(self, spec: ClassSpec) -> int:
        found: int = 0
        for need in spec.needs:
            bits = self._needs.get(need)
            if bits is None:
                if len(self._needs) >= KNOWN_MAX:
                    self._needs.clear()
                bits = self._needs[need] = _all_of(self._of_need, need, spec, self.all)
            found |= bits
        return found and _all_of(self._of_class, spec.needs[0], spec, found)

    # -- for explanations -------------------------------------------------------------------------

    def look(self, need: Need, spec: ClassSpec) -> OfferFit:
        """Find the offers that each clause refuses."""
        refusals: list[tuple[Clause[Any, Any], Any, int]] = []
        once: int = 0  # offers refused at least once
        twice: int = 0  # offers refused at least twice
        for row in self._rows:
            wants = row.clause.wants(need, spec)
            if not row.clause.asks(wants):
                continue
            refused = self.all & ~row.accepting(wants)
            if refused:
                refusals.append((row.clause, wants, refused))
                twice |= once & refused
                once |= refused
        misses = [self._miss(*refusal, once & ~twice) for refusal in refusals]
        misses.sort(key=lambda miss: (-len(miss.alone), -miss.excludes))
        return OfferFit(self.all & ~once, misses)

    def _miss(self, clause: Clause[Any, Any], wants: Any, refused: int, once: int) -> Miss:
        had = self.column(clause).had
        alone = list(selected(had, refused & once))
        nearest = list(selected(had, refused)) if clause.shows_all or not alone else alone
        return Miss(clause, wants, refused.bit_count(), alone, nearest)


def _all_of(rows: Sequence["_Row"], need: Need, spec: ClassSpec, bits: int) -> int:
    for row in rows:
        bits &= row.accepting(row.clause.wants(need, spec))
        if not bits:
            break
    return bits


class _Row:
    """One clause: for each demand, the offers that meet it."""

    def __init__(self, clause: Clause[Any, Any], offers: OfferBits) -> None:
        self.clause, self._offers = clause, offers
        self._answers: dict[Any, int] = {}

    def accepting(self, wanted: Any) -> int:
        """Return the offers that do not refuse this demand, as bits."""
        found = self._answers.get(wanted)
        if found is None:
            if len(self._answers) >= KNOWN_MAX:
                self._answers.clear()
            found = self._answers[wanted] = self._answer(wanted)
        return found

    def narrowed(
        self, bits: list[int], needs: Sequence[Need], specs: Sequence[ClassSpec]
    ) -> list[int]:
        """Return each set of bits, reduced to the offers that this clause accepts."""
        if len(self._answers) >= KNOWN_MAX:
            self._answers.clear()
        clause, answers, every = self.clause, self._answers, self._offers.all
        wanted = [clause.wants(need, spec) for need, spec in zip(needs, specs, strict=True)]
        distinct = set(wanted)
        for one in distinct:
            if one not in answers:
                answers[one] = self._answer(one)
        if all(answers[one] == every for one in distinct):
            return bits
        return [before & answers[one] for before, one in zip(bits, wanted, strict=True)]

    def _answer(self, wanted: Any) -> int:
        if not self.clause.asks(wanted):
            return self._offers.all
        return self._offers.column(self.clause).accepting(self.clause, wanted)
