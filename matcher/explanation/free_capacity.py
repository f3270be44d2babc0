"""The free capacity of the fitting offers: which have enough, and what the others lack."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from pilotage.proto.api.explanations import ROOM_ASKED_MAX

from ..clauses.clause import Clauses
from ..clauses.clause_kinds import Capacity, joint, numbers
from ..clauses.word_bits import flags, selected
from ..types import ClassSpec, LiveOffer
from .offer_bits import OfferFit

KINDS_MAX: Final = 3  # lacking resources in a message

# What offers lack, unless it is called "too little free …".
_LACKS: Final = {
    "cores": "too few free cores",
    "GPUs": "too few free GPUs",
    "whole node": "no whole node free",
    "amounts": "too little of a named amount",
    "wall": "too little time left",
    "cpu work": "too little CPU work left",
}
# The present state of an offer, from its state when empty. Both belong to the same pilot.
Free = Callable[[LiveOffer], LiveOffer]
_Asked = tuple[Capacity[Any, Any], Any]  # a clause and its demand


class FittingOffers(msgspec.Struct, frozen=True, kw_only=True):
    """The fitting offers in their present state."""

    asked: int  # number of offers that were checked
    enough: list[LiveOffer]  # those of them that could take the job now
    lacks: list[str]  # what the others lack, the most frequent first


def look_at_room(
    spec: ClassSpec,
    offers: Sequence[LiveOffer],
    looks: Sequence[OfferFit],
    clauses: Clauses,
    free: Free | None,
) -> FittingOffers:
    """Return which of the offers that fit when they are empty have room for a job now."""
    fits = 0
    for look in looks:
        fits |= look.fitting
    places = list(selected(range(len(offers)), fits))
    places = places[:: len(places) // ROOM_ASKED_MAX + 1]
    if free is None:
        return FittingOffers(
            asked=len(places), enough=[offers[place] for place in places], lacks=[]
        )
    capacities: Sequence[Capacity[Any, Any]] = (*numbers(clauses), *joint(clauses))
    needs: list[tuple[str, list[_Asked]]] = []
    for need, look in zip(spec.needs, looks, strict=True):
        wanted = [(clause, clause.wants(need, spec)) for clause in capacities]
        asked: list[_Asked] = [(clause, wants) for clause, wants in wanted if clause.asks(wants)]
        needs.append((flags(look.fitting, len(offers)), asked))
    enough: list[LiveOffer] = []
    lacks: Counter[str] = Counter()
    words: list[str] = []
    for place in places:
        empty = offers[place]
        now = free(empty)
        its = [asked for fits_it, asked in needs if fits_it[place] == "1"]
        missing = [] if now is empty else _least(its, now)
        if missing:
            lacks.update(clause.label for clause, _ in missing)
            words = [clause.lack(wants, now, empty) for clause, wants in missing]
        else:
            enough.append(now)
    if len(places) > 1:
        words = [_too_small(name, count) for name, count in lacks.most_common(KINDS_MAX)]
    return FittingOffers(asked=len(places), enough=enough, lacks=words)


def _too_small(name: str, count: int) -> str:
    """Return how many offers lack a resource, in words."""
    lack = _LACKS.get(name, f"too little free {name}")
    return f"{count} {'has' if count == 1 else 'have'} {lack}"


def _least(needs: Sequence[Sequence[_Asked]], now: LiveOffer) -> list[_Asked]:
    """Return what is lacking for the need that lacks least."""
    return min(
        (
            [(clause, wants) for clause, wants in asked if clause.denies(wants, clause.has(now))]
            for asked in needs
        ),
        key=len,
    )
