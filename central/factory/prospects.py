"""Why no pilot comes for a job that waits, or from where one does. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pilotage.matcher.clause import Clauses
from pilotage.matcher.looks import Look, Offers
from pilotage.matcher.types import ClassSpec, LiveOffer

from .trials import Trial
from .watched import Watched, shape_name

SHOWN_MAX: Final = 5  # of one kind


@dataclass(frozen=True)
class Hold:
    """What is said of the place of an element beside what it says itself."""

    banned: bool = False
    draining: bool = False
    room: int | None = None  # how many jobs it may get now; None: as many as fit
    trial: Trial | None = None


def prospects(
    spec: ClassSpec,
    places: Sequence[tuple[Watched, int]],
    offers: Sequence[LiveOffer],
    clauses: Clauses,
    hold: Callable[[Watched, int], Hold],
    now: float,
) -> list[str]:
    """Return what the factory has to say of a job: nothing where no element is in force.

    `offers`: what a pilot of each place would offer.
    """
    if not places:
        return []
    asked = Offers(offers)
    looks = [asked.look(need, spec, clauses) for need in spec.needs]
    fits = 0
    for look in looks:
        fits |= look.fitting
    if not fits:
        return [_no_place(looks, len(places))]
    coming: list[str] = []
    next_round: list[str] = []
    closed: dict[str, None] = {}
    fitting = {id(offer) for offer in asked.of(fits)}
    for offer, (element, shape) in zip(offers, places, strict=True):
        if id(offer) not in fitting:
            continue
        why = _closed(spec, element, hold(element, shape), now)
        queued = 0 if element.found is None else element.found.queued[shape_name(shape)]
        if queued:
            coming.append(f"{queued} at {element.label}")
        elif why:
            closed[f"{element.label} {why}"] = None
        else:
            next_round.append(element.label)
    if coming:
        return [f"pilots that could run it are on their way: {_some(coming)}"]
    if next_round:
        return [f"pilots for it can be submitted to {_some(list(dict.fromkeys(next_round)))}"]
    return [f"no pilot comes: {_some(list(closed), '; ')}"]


def _no_place(looks: Sequence[Look], places: int) -> str:
    """Say what keeps it from all places: of several needs, of the one that comes nearest."""
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


def _closed(spec: ClassSpec, element: Watched, hold: Hold, now: float) -> str:
    """Say why an element gets no pilot now; empty: it does."""
    entry, found = element.entry, element.found
    if element.is_disabled:
        return "is not enabled in its file"
    if hold.draining:
        return "is draining: an operator wants no pilots there"
    if hold.banned and spec.type != "Test":
        return "is banned: only jobs of type Test run there"
    if now < element.open_at:
        return f"has a pause of {element.open_at - now:.0f} s more: {element.trouble}"
    if found is None:
        return f"does not say what it has: {element.trouble or 'it was not asked yet'}"
    if hold.room == 0:
        return "is suspended: jobs fail there one after another"
    if found.pilots >= entry.pilots_max:
        return f"is full: {found.pilots} of {entry.pilots_max} pilots"
    if found.queued.total() >= entry.queued_max:
        return f"has a full queue: {found.queued.total()} of {entry.queued_max} pilots wait in it"
    if hold.trial is not None:
        return f"is in doubt: {hold.trial.why(now)}"
    return ""


def _some(words: Sequence[str], between: str = ", ") -> str:
    more = f"{between}and {len(words) - SHOWN_MAX} more" if len(words) > SHOWN_MAX else ""
    return between.join(words[:SHOWN_MAX]) + more
