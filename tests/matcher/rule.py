"""The exact rule as tests ask it: clause by clause, without index or short cut."""

from pilotage.matcher.clauses.clause import Clauses
from pilotage.matcher.types import NOBODYS, ClassSpec, LiveOffer
from pilotage.proto.documents.job import Need


def misfits(
    need: Need, offer: LiveOffer, *, clauses: Clauses, spec: ClassSpec | None = None
) -> list[str]:
    """Return the names of the clauses that refuse; none: it fits.

    Without a class only the need's own clauses are asked.
    """
    return [
        clause.name
        for clause in clauses
        if not (spec is None and clause.is_of_class)
        and clause.refuses(need, NOBODYS if spec is None else spec, offer)
    ]


def first_fitting(spec: ClassSpec, offer: LiveOffer, *, clauses: Clauses) -> int | None:
    """Return the place of the first of the alternatives that fits, or None."""
    for place, need in enumerate(spec.needs):
        if not misfits(need, offer, clauses=clauses, spec=spec):
            return place
    return None
