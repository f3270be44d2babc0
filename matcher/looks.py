"""One job's needs against many offers: who refuses, by itself or with others.

Offers are looked at fact by fact, in columns, and who is refused is a bit in one integer: what is
done for each offer is done in C, and alternatives share what they ask alike.
"""

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any, Final

import msgspec

from pilotage.proto.job import Need

from .clause import Clause, Clauses
from .types import ClassSpec, LiveOffer

_AS_DIGITS: Final = bytes.maketrans(b"\0\1", b"01")
_AS_FLAGS: Final = bytes.maketrans(b"01", b"\0\1")


class Miss(msgspec.Struct, frozen=True, kw_only=True):
    """One clause that refuses some of the offers."""

    clause: Clause[Any, Any]
    wants: Any
    excludes: int  # how many it refuses
    alone: list[Any]  # what those offers have that nothing else refuses
    nearest: list[Any]  # the same, or what all of the refused have: where there is none, of tags


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One need against all offers."""

    fitting: int  # which offers fit, as bits
    misses: list[Miss]  # those that alone refuse most first


class Offers:
    """Many offers, to be looked at for several needs."""

    def __init__(self, offers: Sequence[LiveOffer]) -> None:
        self.offers = offers
        self._columns: dict[str, list[Any]] = {}
        self._values: dict[str, set[Any]] = {}
        self._refused: dict[tuple[str, Any], int] = {}
        self.all = (1 << len(offers)) - 1

    def of(self, bits: int) -> list[LiveOffer]:
        """Return the offers of these bits."""
        return list(self._select(self.offers, bits))

    def look(self, need: Need, spec: ClassSpec, clauses: Clauses) -> Look:
        """Ask each clause of the table what it says to each offer."""
        refusals: list[tuple[Clause[Any, Any], Any, int]] = []
        once = twice = 0  # the offers that were refused, and those that were again
        for clause in clauses:
            wants = clause.wants(need, spec)
            if wants == clause.idle:
                continue
            refused = self._refused_by(clause, wants)
            if refused:
                refusals.append((clause, wants, refused))
                twice |= once & refused
                once |= refused
        misses = [self._miss(*refusal, once & ~twice) for refusal in refusals]
        misses.sort(key=lambda miss: (-len(miss.alone), -miss.excludes))
        return Look(fitting=self.all & ~once, misses=misses)

    def _miss(self, clause: Clause[Any, Any], wants: Any, refused: int, once: int) -> Miss:
        had = self._column(clause)
        alone = list(self._select(had, refused & once))
        # Where tags alone stand in the way there may be none: others show which there are.
        nearest = list(self._select(had, refused)) if clause.name == "tags" or not alone else alone
        excludes = refused.bit_count()
        return Miss(clause=clause, wants=wants, excludes=excludes, alone=alone, nearest=nearest)

    def _refused_by(self, clause: Clause[Any, Any], wants: Any) -> int:
        """Return the offers that a clause refuses, as bits."""
        found = self._refused.get((clause.name, wants))
        if found is None:
            had = self._column(clause)
            if clause.is_number:
                flags = bytes([it < wants for it in had])
            else:
                denied = {it for it in self._values[clause.fact] if clause.denies(wants, it)}
                flags = bytes(map(denied.__contains__, had)) if denied else b""
            digits = flags.translate(_AS_DIGITS)
            found = self._refused[clause.name, wants] = int(digits, 2) if digits else 0
        return found

    def _column(self, clause: Clause[Any, Any]) -> list[Any]:
        """Return what each offer has of what a clause looks at."""
        column = self._columns.get(clause.fact)
        if column is None:
            column = self._columns[clause.fact] = list(map(clause.has, self.offers))
            if not clause.is_number:
                self._values[clause.fact] = set(column)
        return column

    def _select(self, items: Sequence[Any], bits: int) -> Iterable[Any]:
        """Yield the items at these bits; the last item is the lowest bit."""
        if not bits:
            return ()
        return compress(items, format(bits, f"0{len(items)}b").encode().translate(_AS_FLAGS))
