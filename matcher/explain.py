"""Why a job waits: clause by clause, by the same rule that matches."""

from collections.abc import Sequence
from typing import Any

import msgspec

from pilotage.proto.api import Explanation, Obstacle
from pilotage.proto.ids import ID_MAX
from pilotage.proto.job import Need
from pilotage.proto.job_states import JobState

from .backlog import Backlog
from .classes import rank
from .clauses import Clause, Clauses
from .index import Index
from .ledger import ABSENT, KEPT, PENDING
from .types import ClassSpec, LiveOffer


class _Miss(msgspec.Struct, frozen=True, kw_only=True):
    """One clause that refuses some of the offers."""

    clause: Clause[Any, Any]
    wants: Any
    refused: list[Any]  # what the offers have that it refuses, one for each
    alone: list[Any]  # and of those that nothing else refuses


class _Look(msgspec.Struct, frozen=True, kw_only=True):
    """One need against all offers."""

    fits: list[bool]  # by offer
    misses: list[_Miss]


def explain(
    job: int | None,
    spec: ClassSpec,
    offers: Sequence[LiveOffer],
    *,
    priority: int,
    clauses: Clauses,
    backlog: Backlog,
    index: Index,
) -> Explanation:
    """Return which clauses exclude how many of the offers, and what would help.

    Of several needs the one that comes nearest is shown.
    """
    looks = [_look(need, spec, offers, clauses) for need in spec.needs]
    place = max(range(len(looks)), key=lambda at: (*_nearness(looks[at]), -at))
    fitting = [offer for at, offer in enumerate(offers) if any(look.fits[at] for look in looks)]
    ahead = _ahead(job, priority, fitting, backlog, index)
    notes = [
        *_of_the_queue(job, len(offers), len(fitting), ahead, backlog),
        *_of_alternatives(place, len(looks)),
        *_of_misses(looks[place].misses),
        *_of_busy(spec.needs[place], looks[place], offers),
    ]
    return Explanation(
        job=job,
        state=_state(job, backlog),
        offers=len(offers),
        fitting=len(fitting),
        obstacles=[_obstacle(miss) for miss in looks[place].misses],
        ahead=ahead,
        notes=notes,
    )


def _look(need: Need, spec: ClassSpec, offers: Sequence[LiveOffer], clauses: Clauses) -> _Look:
    refusals = [0] * len(offers)  # by offer
    hits: list[tuple[Clause[Any, Any], Any, list[tuple[int, Any]]]] = []
    for clause in clauses:
        wants = clause.wants(need, spec)
        had = [clause.has(offer) for offer in offers]
        refused = {it for it in set(had) if clause.denies(wants, it)}
        if refused:
            hits.append((clause, wants, [(at, it) for at, it in enumerate(had) if it in refused]))
            for at, _ in hits[-1][2]:
                refusals[at] += 1
    misses = [
        _Miss(
            clause=clause,
            wants=wants,
            refused=[it for _, it in found],
            alone=[it for at, it in found if refusals[at] == 1],
        )
        for clause, wants, found in hits
    ]
    misses.sort(key=lambda miss: (-len(miss.alone), -len(miss.refused)))
    return _Look(fits=[not count for count in refusals], misses=misses)


def _nearness(look: _Look) -> tuple[int, int, int]:
    """Return how near a need is to being met: the more fit, the more nearly do, the better."""
    near = sum(len(miss.alone) for miss in look.misses)
    return sum(look.fits), near, -sum(len(miss.refused) for miss in look.misses)


def _obstacle(miss: _Miss) -> Obstacle:
    return Obstacle(
        clause=miss.clause.name,
        wanted=miss.clause.wanted(miss.wants),
        excludes=len(miss.refused),
        best=miss.clause.best(miss.wants, miss.alone or miss.refused),
        would_fit=len(miss.alone),
    )


def _state(job: int | None, backlog: Backlog) -> str:
    """Return the job's state as far as it is known here: empty where it is not."""
    state = ABSENT if job is None else backlog.state(job)
    if state == ABSENT:
        return ""
    return str((JobState.MATCHED if state == PENDING else JobState.WAITING).value)


def _ahead(
    job: int | None,
    priority: int,
    fitting: Sequence[LiveOffer],
    backlog: Backlog,
    index: Index,
) -> int:
    """Count the waiting jobs that come first on the offers that fit."""
    place = rank(priority, ID_MAX)
    if job is not None and backlog.state(job) != ABSENT:
        place = rank(backlog.priority(job), job)
    rows = 0
    for key in {index.key(offer) for offer in fitting}:
        rows |= index.accepting(key)
    return sum(cls.before(place) for cls in index.classes_of(rows))


def _of_the_queue(
    job: int | None, offers: int, fitting: int, ahead: int, backlog: Backlog
) -> list[str]:
    if job is not None and backlog.state(job) == PENDING:
        return ["it is being handed to a pilot"]
    if job is not None and backlog.state(job) == KEPT:
        return ["it is kept for a pilot that was woken for it"]
    if not offers:
        return ["no pilot offers anything now"]
    if fitting and not ahead:
        return ["it is the next for the offers that fit"]
    return []


def _of_alternatives(place: int, count: int) -> list[str]:
    if count == 1:
        return []
    return [f"of its {count} alternative needs the nearest is shown: number {place + 1}"]


def _of_misses(misses: Sequence[_Miss]) -> list[str]:
    """Say for each clause that stands alone in the way how it would have to be."""
    notes: list[str] = []
    for miss in misses:
        if not miss.alone:
            continue
        name = miss.clause.name.replace("_", " ")
        if miss.clause.is_number:
            most = int(max(miss.alone))
            count = sum(had >= most for had in miss.alone)
            best = miss.clause.best(miss.wants, miss.alone)
            notes.append(f"with {name} ≤ {best}: {_offers(count)}")
        else:
            notes.append(f"without its demand on {name}: {_offers(len(miss.alone))}")
    return notes


def _of_busy(need: Need, look: _Look, offers: Sequence[LiveOffer]) -> list[str]:
    """Tell machines that are too small from those that are only taken."""
    if any(look.fits):
        return []
    busy = sum(offer.cores_free < need.cores_min <= offer.cores for offer in offers)
    return [f"wide enough, but taken by other jobs: {_offers(busy)}"] if busy else []


def _offers(count: int) -> str:
    return "1 offer" if count == 1 else f"{count} offers"
