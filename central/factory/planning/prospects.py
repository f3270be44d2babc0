"""Why no pilot comes for a waiting job, or where one comes from. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

from pilotage.matcher.clauses.clause import Clauses
from pilotage.matcher.explanation.offer_bits import OfferBits, OfferFit
from pilotage.matcher.types import ClassSpec, LiveOffer

from .communities import CommunityShape
from .plans import ClosedReason, PlaceBlocker

SHOWN_MAX: Final = 5  # items of one kind


def prospects(
    spec: ClassSpec,
    places: Sequence[CommunityShape],
    offers: Sequence[LiveOffer],
    clauses: Clauses,
    why_none: Callable[[CommunityShape], ClosedReason | None],
) -> list[str]:
    """Return the factory's remarks about a job; empty if no element is in use.

    `offers`: the offer of a pilot of each place. `why_none`: why a place gets no pilot for the job.
    """
    if not places:
        return []
    asked = OfferBits(clauses, offers)
    looks = [asked.look(need, spec) for need in spec.needs]
    fits = 0
    for look in looks:
        fits |= look.fitting
    if not fits:
        return [_no_place(looks, len(places))]
    coming: list[str] = []
    next_round: list[str] = []
    closed: dict[str, None] = {}
    fitting = {id(offer) for offer in asked.some(fits)}
    for offer, place in zip(offers, places, strict=True):
        if id(offer) not in fitting:
            continue
        why, element = why_none(place), place.element
        queued = 0 if element.found is None else element.found.queued[place.sort]
        if queued and (why is None or why.by is not PlaceBlocker.OPERATOR):  # others are cancelled
            coming.append(f"{queued} at {element.label}")
        elif why is not None:
            closed[f"{element.label} {why.why}"] = None
        else:
            next_round.append(element.label)
    if coming:
        return [f"pilots that could run it are on their way: {_some(coming)}"]
    if next_round:
        return [f"pilots for it can be submitted to {_some(list(dict.fromkeys(next_round)))}"]
    return [f"no pilot comes: {_some(list(closed), '; ')}"]


def _no_place(looks: Sequence[OfferFit], places: int) -> str:
    """Return why a need excludes all places; of several needs, the one closest to fitting."""
    near = max(looks, key=lambda look: -sum(miss.excludes for miss in look.misses))
    misses = sorted(near.misses, key=lambda miss: -miss.excludes)
    said = [
        f"{miss.clause.name.replace('_', ' ')}: it wants {miss.clause.wanted(miss.wants)}, "
        f"there is {miss.clause.best(miss.wants, miss.nearest) or 'none'} "
        f"({miss.excludes} of {places})"
        for miss in misses
    ]
    return (
        f"no pilot comes: no shape of pilots in the sites' files could run it: {_some(said, '; ')}"
    )


def _some(words: Sequence[str], between: str = ", ") -> str:
    more = f"{between}and {len(words) - SHOWN_MAX} more" if len(words) > SHOWN_MAX else ""
    return between.join(words[:SHOWN_MAX]) + more
