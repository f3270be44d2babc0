"""Finds the job whose turn it is on an offer, as a match does, without handing it out."""

import enum

from ..index.exact_fit import accepts
from ..limits.running_limits import shuts
from ..queue.job_classes import job_of
from ..queue.ledger import WAITING
from ..reservations.reservation_table import Reservation
from ..types import ClassSpec, LiveOffer
from .matcher_view import MatcherState


class NextMatch(enum.Enum):
    """The effect of an offer's next match on a job that fits it."""

    ITS = "its"  # the job is next, or would be if it waited
    OTHERS = "others"  # another job comes first
    NOBODYS = "nobodys"  # limits block it there, or no job comes next
    KEPT = "kept"  # the pilot was woken for a job, and its offer is kept for that job
    RESERVED = "reserved"  # the offer is reserved for another class, which leaves too little
    LEFT = "left"  # the offer is reserved, but the job fits into the rest or ends before


def turn(job: int | None, spec: ClassSpec, offer: LiveOffer, known: MatcherState) -> NextMatch:
    """Return whether the next match of an offer gives a job.

    For kept and reserved offers, the next match is not computed. A job that does not wait here is
    next only if no other job waits for the offer.
    """
    if offer.pilot in known.kept_for:
        return NextMatch.KEPT
    held = known.reservations.by_pilot.get(offer.pilot)
    if held is not None:
        return _on_reserved(spec, offer, held, known)
    cls = known.backlog.classes.find(spec.class_id)
    found = known.indexes.best(offer)
    if cls is None or job is None or known.backlog.state(job) != WAITING:
        if found is not None:
            return NextMatch.OTHERS
        return NextMatch.ITS if may_start(spec, offer, known) else NextMatch.NOBODYS
    if found is None:
        return NextMatch.NOBODYS
    if found[0] is cls and cls.entry is not None and job_of(cls.entry[0]) == job:
        return NextMatch.ITS
    return NextMatch.OTHERS if may_start(spec, offer, known) else NextMatch.NOBODYS


def _on_reserved(
    spec: ClassSpec, offer: LiveOffer, held: Reservation, known: MatcherState
) -> NextMatch:
    """Return whether a reservation keeps a job from an offer."""
    if held.class_id == spec.class_id or not may_start(spec, offer, known):
        return NextMatch.NOBODYS
    its = known.reservations
    left = (its.spare(held, offer), its.until(held, offer))
    return NextMatch.LEFT if any(may_start(spec, it, known) for it in left) else NextMatch.RESERVED


def may_start(spec: ClassSpec, offer: LiveOffer, known: MatcherState) -> bool:
    """Return whether one need of a class fits an offer, and limits let it start there now."""
    cls = known.backlog.classes.find(spec.class_id)
    if cls is not None and cls.is_shut:
        return False
    place = known.limits.place(offer.community, offer.site, offer.element)
    now = known.backlog.now
    return any(
        not shuts(place, known.limits.kinds_of(spec, need), now)
        and accepts(need, spec, offer, known.clauses)
        for need in spec.needs
    )
