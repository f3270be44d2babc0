"""Why an offer gets no job: how many waiting jobs each clause excludes."""

from collections.abc import Iterable

from pilotage.proto.api.explanations import OfferExplanation, OfferObstacle

from ..clauses.clause import listed, one_of
from ..index.class_index import ClassIndex
from ..queue.job_classes import JobClass
from ..types import LiveOffer
from . import obstacles as holds
from .matcher_view import MatcherState


def explain_offer(
    offer: LiveOffer, known: MatcherState, *, empty: LiveOffer | None = None
) -> OfferExplanation:
    """Return how many waiting jobs of its community each clause excludes from an offer.

    A job with several needs is excluded by a clause if the clause excludes any of them. It fits if
    any need fits; it is counted once. `empty`: the offer with no jobs on it.
    """
    index = known.indexes.of(offer.community)
    if index is None:
        return OfferExplanation(pilot=offer.pilot, waiting=0, fitting=0)
    by_clause, mine = _asked(index, offer)
    once = twice = 0  # rows that one clause refuses, and rows that several refuse
    for rows in by_clause.values():
        refused = mine & ~rows
        twice |= once & refused
        once |= refused
    fits = mine & ~once

    def jobs(rows: int) -> int:
        return sum(cls.waiting for cls in index.classes_of(rows))

    fitting = jobs(fits)
    obstacles = [
        OfferObstacle(clause=name, excludes=excludes, would_fit=jobs(mine & ~rows & ~twice))
        for name, rows in by_clause.items()
        if (excludes := jobs(mine & ~rows))
    ]
    obstacles.sort(key=lambda it: (-it.would_fit, -it.excludes))
    startable = fits & index.startable(offer)
    held = index.classes_of(fits & ~startable)
    return OfferExplanation(
        pilot=offer.pilot,
        waiting=jobs(mine),
        fitting=fitting,
        obstacles=obstacles,
        held=fitting - jobs(startable),
        notes=[
            *_of_reservation(offer, known),
            *_of_limits(offer, held, known),
            *(() if fitting else _of_obstacles(offer, obstacles)),
        ],
        when_empty=None if empty is None else jobs(_fitting(index, empty)),
    )


def _asked(index: ClassIndex, offer: LiveOffer) -> tuple[dict[str, int], int]:
    """Return for each clause the rows that it accepts, and all rows of the community."""
    by_clause = dict(index.by_clause(offer))
    return by_clause, by_clause.pop("community") & index.live


def _fitting(index: ClassIndex, offer: LiveOffer) -> int:
    by_clause, rows = _asked(index, offer)
    for accepting in by_clause.values():
        rows &= accepting
    return rows


def _of_reservation(offer: LiveOffer, known: MatcherState) -> list[str]:
    held = known.reservations.by_pilot.get(offer.pilot)
    if held is None:
        return []
    left_s = max(0.0, held.until - known.backlog.now)
    return [
        f"it is reserved for a larger job for {left_s:.0f} s more: "
        "other jobs may use the rest, or must end before"
    ]


def _of_limits(offer: LiveOffer, held: Iterable[JobClass], known: MatcherState) -> list[str]:
    """Return notes on the limits that keep waiting jobs from an offer that fits them."""
    place = known.limits.place(offer.community, offer.site, offer.element)
    if place is None or not place.look(known.backlog.now):
        return []
    needs = [(cls.spec, need) for cls in held for need in cls.spec.needs]
    kinds = [known.limits.kinds_of(*one) for one in needs]
    unknown = listed(name for _, need in needs for name in known.limits.uncounted(need))
    notes = [text for text, _ in holds.holding(place, kinds, unknown)]
    return notes[: holds.SHOWN_MAX]


def _of_obstacles(offer: LiveOffer, obstacles: list[OfferObstacle]) -> list[str]:
    """Return notes on clauses that alone exclude jobs; none for a full offer."""
    if offer.cores_free <= 0:
        return []
    takes = {
        "group": f"it takes only jobs of group {one_of(offer.groups)}",
        "owner": f"it takes only jobs of owner {one_of(offer.owners)}",
        "type": f"it takes only jobs of type {one_of(offer.types)}",
        "required_tags": f"it takes only jobs that ask for {listed(offer.required_tags)}",
    }
    notes: list[str] = []
    for one in obstacles:
        if one.would_fit:
            jobs = "1 job" if one.would_fit == 1 else f"{one.would_fit} jobs"
            why = takes.get(one.clause)
            name = one.clause.replace("_", " ")
            notes.append(
                f"{why}: {jobs} would fit otherwise"
                if why
                else f"without the clause {name}, {jobs} would fit"
            )
    return notes
