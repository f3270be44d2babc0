"""Why a job waits, clause by clause, from the same rule that matches."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from pilotage.proto.api.explanations import Explanation, Obstacle
from pilotage.proto.documents.job import PRIORITY_MIN
from pilotage.proto.ids import ID_MAX
from pilotage.proto.job_states import JobState

from ..index.class_index import ClassIndex
from ..queue.job_classes import rank
from ..queue.ledger import ABSENT, KEPT, PENDING, WAITING
from ..types import ClassSpec, LiveOffer
from . import obstacles
from .advice import advise
from .free_capacity import FittingOffers, Free, look_at_room
from .matcher_view import MatcherState
from .nearest_words import meant
from .next_match import NextMatch, turn
from .offer_bits import Miss, OfferBits, OfferFit

SAMPLE_MAX: Final = 512  # fitting offers that are asked which jobs come before
TURNS_MAX: Final = 128  # fitting offers with room that are asked whose turn it is
QUESTIONS_MAX: Final = 10_000  # checks of single needs, after which no more offers are checked


class _Turns(msgspec.Struct, frozen=True, kw_only=True):
    """The answers of some offers to the question whose turn it is."""

    on: Counter[NextMatch]  # how many of them have each answer
    is_now: bool  # offers in their present state; otherwise as they would be when empty
    free_in_s: float  # when the last reservation ends that keeps the job away; 0: no reservation

    @property
    def asked(self) -> int:
        return self.on.total()

    @property
    def its(self) -> int:
        return self.on[NextMatch.ITS]


def explain(
    job: int | None,
    spec: ClassSpec,
    offers: Sequence[LiveOffer],
    known: MatcherState,
    *,
    priority: int,
    free: Free | None = None,
) -> Explanation:
    """Return how many offers each clause excludes, what holds the job, and what would help.

    If there are several needs, the nearest one is shown. If `free` gives the present state of an
    offer, then `offers` are the offers when empty.
    """
    backlog = known.backlog
    state = ABSENT if job is None else backlog.state(job)
    asked = OfferBits(known.clauses, offers)
    looks = [asked.look(need, spec) for need in spec.needs]
    place = max(range(len(looks)), key=lambda at: (*_nearness(looks[at]), -at))
    fits = 0
    for look in looks:
        fits |= look.fitting
    fitting = asked.some(fits)
    if state == WAITING and job is not None:
        priority = backlog.priority(job)
    fits_of = [look.fitting for look in looks]
    held, limits, anywhere = obstacles.by_limits(spec, offers, fits_of, known.limits, backlog.now)
    if capped := obstacles.by_submission(spec, backlog):
        held, limits, anywhere = len(fitting), [*capped, *limits], True
    groups, owners, shares = obstacles.by_shares(spec, known.shares, backlog.now)
    room = look_at_room(spec, offers, looks, known.clauses, free)
    candidates = (room.enough or fitting) if state in (ABSENT, WAITING) else ()
    turns = _turns(job, spec, candidates, known, is_now=bool(room.enough))
    is_its = bool(turns.asked) and turns.its == turns.asked
    is_held = anywhere and 0 < held == len(fitting)  # more offers would not help
    advice = [] if is_held else advise(spec, place, looks, asked, known.clauses)
    notes = [
        *_of_the_queue(job, state, offers),
        *_of_room(room, len(fitting)),
        *_of_turns(turns, room, len(fitting), is_here=state == WAITING),
        *_of_kept(turns),
        *_of_priority(priority, fitting),
        *obstacles.reservation(spec, known.reservations, backlog),
        *limits,
        *(shares if fitting else ()),
        *obstacles.by_preference(job, spec, offers, fitting, backlog, is_its=is_its),
        *_of_alternatives(place, len(looks)),
        *meant(looks[place].misses, asked),
        *[one.text for one in advice],
    ]
    return Explanation(
        job=job,
        state=_state(state),
        offers=len(offers),
        fitting=len(fitting),
        obstacles=[_obstacle(miss) for miss in looks[place].misses],
        ahead=_ahead(job, spec, priority, fitting, known),
        notes=notes if state != PENDING else ["it is being handed to a pilot"],
        groups_ahead=groups,
        owners_ahead=owners,
        held=held,
        with_room=len(room.enough),
        next_on=turns.its if turns.is_now else 0,
        advice=advice,
    )


def _nearness(look: OfferFit) -> tuple[int, int, int]:
    """Return how near a need is to being met: offers that fit, then offers that nearly fit."""
    near = sum(len(miss.alone) for miss in look.misses)
    return look.fitting.bit_count(), near, -sum(miss.excludes for miss in look.misses)


def _obstacle(miss: Miss) -> Obstacle:
    return Obstacle(
        clause=miss.clause.name,
        wanted=miss.clause.wanted(miss.wants),
        excludes=miss.excludes,
        best=miss.clause.best(miss.wants, miss.nearest),
        would_fit=len(miss.alone),
    )


def _state(state: int) -> str:
    """Return the job's state as far as the matcher knows it; otherwise an empty text."""
    if state == ABSENT:
        return ""
    return str((JobState.MATCHED if state == PENDING else JobState.WAITING).value)


def _ahead(
    job: int | None,
    spec: ClassSpec,
    priority: int,
    fitting: Sequence[LiveOffer],
    known: MatcherState,
) -> int:
    """Count the owner's jobs that come first on the fitting offers, from a sample of them."""
    index = known.indexes.of(spec.community)
    owner = known.shares.find(spec.community, spec.group, spec.owner)
    if index is None or owner is None or not fitting:
        return 0
    is_here = job is not None and known.backlog.state(job) != ABSENT
    place = rank(priority, job if is_here and job is not None else ID_MAX)
    rows, all_rows = 0, index.rows_of_owner(owner)
    for offer in _sample(fitting, SAMPLE_MAX, index):
        rows |= index.startable(offer, closed=True) & all_rows
        if rows == all_rows:
            break
    return sum(other.before(place) for other in index.classes_of(rows))


def _sample(
    offers: Sequence[LiveOffer], most: int, index: ClassIndex | None
) -> Iterator[LiveOffer]:
    """Yield offers from all over the list; the more each costs, the fewer.

    An offer costs much if very many jobs have demands that must be checked one by one.
    """
    before = index.questions if index is not None else 0
    for offer in offers[:: len(offers) // most + 1]:
        yield offer
        if index is not None and index.questions - before > QUESTIONS_MAX:
            return


def _turns(
    job: int | None,
    spec: ClassSpec,
    offers: Sequence[LiveOffer],
    known: MatcherState,
    *,
    is_now: bool,
) -> _Turns:
    """Ask some offers whose turn it is there."""
    index = known.indexes.of(spec.community)
    looked = _sample(offers, TURNS_MAX, index)
    on: Counter[NextMatch] = Counter()
    until = known.backlog.now
    for offer in looked:
        found = turn(job, spec, offer, known)
        on[found] += 1
        if found is NextMatch.RESERVED:
            until = max(until, known.reservations.by_pilot[offer.pilot].until)
    return _Turns(on=on, is_now=is_now, free_in_s=until - known.backlog.now)


def _of_the_queue(job: int | None, state: int, offers: Sequence[LiveOffer]) -> list[str]:
    if state == ABSENT and job is not None:
        return ["the dispatch has not queued the job yet"]
    if state == KEPT:
        return ["it is kept for a pilot that was woken for it"]
    return [] if offers else ["no pilot offers capacity now"]


def _of_room(room: FittingOffers, fitting: int) -> list[str]:
    """Distinguish offers that are too small from offers that other jobs occupy."""
    if room.enough or not fitting:
        return []
    if fitting == 1:
        lacks = ", ".join(room.lacks)
        return [
            f"the 1 fitting offer has too little free now: {lacks}; "
            "the job waits until jobs there end"
        ]
    checked = "" if room.asked == fitting else f" ({room.asked} were checked)"
    lacks = ", ".join(room.lacks)
    return [
        f"none of the {fitting} fitting offers has enough free now{checked}: {lacks}; "
        "the job waits until jobs there end"
    ]


def _of_turns(turns: _Turns, room: FittingOffers, fitting: int, *, is_here: bool) -> list[str]:
    """Return notes on the offers where the job is next, or where other jobs come first."""
    if not turns.its:
        if not turns.is_now or not turns.on[NextMatch.OTHERS]:
            return []
        other = "other jobs come first on" if is_here else "other jobs also wait for"
        return [f"{other} the offers with room now"]
    if not turns.is_now:
        if turns.its < turns.asked:
            return []
        return ["it is next when there is room" if is_here else "no other job waits for room"]
    if turns.its < turns.asked:
        checked = "" if turns.asked == len(room.enough) else " that were checked"
        which = f"{turns.its} of the {turns.asked} offers with room now{checked}"
    else:
        which = f"the {'fitting offers' if len(room.enough) == fitting else 'offers with room now'}"
    if is_here:
        return [f"it is next for {which}"]
    return [f"no other job waits for {which}: it would start there at once"]


def _of_alternatives(place: int, count: int) -> list[str]:
    if count == 1:
        return []
    return [f"of its {count} alternative needs, number {place + 1} is the nearest and is shown"]


def _of_kept(turns: _Turns) -> list[str]:
    """Return notes with the number of offers that are kept or reserved for other jobs."""
    if not turns.is_now:
        return []
    of = f"of the {turns.asked} offers with room now" if turns.asked > 1 else "offer with room now"
    notes: list[str] = []
    if count := turns.on[NextMatch.RESERVED]:
        notes.append(
            f"{count} {of} {_is(count)} reserved for a job that needs more of it, "
            f"for at most {turns.free_in_s:.0f} s: this job would not end before"
        )
    if count := turns.on[NextMatch.LEFT]:
        notes.append(
            f"{count} {of} {_is(count)} reserved for a job that needs more of it: "
            "this job may start on the rest"
        )
    if count := turns.on[NextMatch.KEPT]:
        notes.append(f"{count} {of} {_is(count)} kept for a job that its pilot was just woken for")
    return notes


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _of_priority(priority: int, fitting: Sequence[LiveOffer]) -> list[str]:
    if priority > PRIORITY_MIN or not fitting:
        return []
    return [f"its priority is {PRIORITY_MIN}: it comes after the fitting jobs of all owners"]
