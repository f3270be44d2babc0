"""Parked offers: pilots without a match, and the best of them for a new job."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import chain
from operator import le
from typing import Final

from ..clauses.clause import Clauses
from ..clauses.clause_kinds import joint, numbers
from ..index.class_index import FoundClass
from ..index.community_indexes import Indexes
from ..limits.running_limits import ElementLimits, LimitTable
from ..platforms import ANY
from ..queue.job_classes import JobClass
from ..types import LiveOffer
from .offer_kinds import AcceptingKinds, Joint, Numbers, OfferKind, OfferKinds, Standing

FEW: Final = 16  # sites or kinds that are searched one by one
SLACK: Final = 1_024  # kinds without offers that are not worth a sweep


class ParkedOffer:
    """One parked offer: free, or woken for a while."""

    __slots__ = (
        "ask",
        "kind",
        "numbers",
        "offer",
        "spare",
        "spare_numbers",
        "wakes",
        "whole",
        "woken",
    )

    def __init__(self, offer: LiveOffer, ask: int, kind: OfferKind, numbers: Numbers) -> None:
        self.whole = offer  # as it was parked
        self.offer = offer  # as it counts now: less, while it is reserved
        self.spare: LiveOffer | None = None  # a second form: less capacity for a longer time
        self.spare_numbers: Numbers = ()
        self.ask = ask
        self.kind = kind
        self.numbers = numbers
        self.woken = False
        self.wakes = 0  # wake-ups without an answer

    @property
    def shapes(self) -> tuple[LiveOffer, ...]:
        """The forms in which it counts: a job that fits one of them fits the offer."""
        return (self.offer,) if self.spare is None else (self.offer, self.spare)

    def meets(self, demand: Numbers, joint: Joint) -> bool:
        """Return whether its numbers meet a demand."""
        if all(map(le, demand, self.numbers)) and not _denies(joint, self.offer):
            return True
        spare = self.spare
        if spare is None or not all(map(le, demand, self.spare_numbers)):
            return False
        return not _denies(joint, spare)

    @property
    def standing(self) -> Standing:
        return (self.wakes, self.numbers, self.offer.pilot)


class FreeOffers:
    """The free offers in order: all, and those of each site."""

    def __init__(self) -> None:
        # By number of wake-ups and by cores, so that no list is long.
        self._levels: dict[tuple[int, float], list[Standing]] = {}
        self._rising: list[tuple[int, float]] = []
        self._sites: dict[str, list[Standing]] = {}

    def put(self, standing: Standing, site: str) -> None:
        level = (standing[0], standing[1][0])
        row = self._levels.get(level)
        if row is None:
            row = self._levels[level] = []
            insort(self._rising, level)
        insort(row, standing)
        insort(self._sites.setdefault(site, []), standing)

    def take(self, standing: Standing, site: str) -> None:
        level = (standing[0], standing[1][0])
        row, its = self._levels[level], self._sites[site]
        del row[bisect_left(row, standing)]
        if not row:
            del self._levels[level], self._rising[bisect_left(self._rising, level)]
        del its[bisect_left(its, standing)]
        if not its:
            del self._sites[site]

    def all(self, cores: float) -> Iterator[Standing]:
        """Yield the offers with this many cores or more in order, as long as nothing changes."""
        for level in self._rising:
            if level[1] >= cores:
                yield from self._levels[level]

    def of_site(self, site: str) -> list[Standing]:
        return self._sites.get(site, [])


class ParkedOffers:
    """The parked offers by pilot, and the free ones by kind."""

    def __init__(self, index: Indexes, limits: LimitTable, clauses: Clauses) -> None:
        self._index, self._limits = index, limits
        self._numbers = numbers(clauses)
        self.by_pilot: dict[str, ParkedOffer] = {}
        self.kinds: dict[tuple[object, ...], OfferKind] = {}  # kinds with free offers
        self.free = FreeOffers()
        self._known = OfferKinds(index.kind_clauses, self._numbers, joint(clauses))
        # Free offers that some waiting job may fit.
        self.unsettled: dict[str, ParkedOffer] = {}

    def add(self, offer: LiveOffer, ask: int) -> None:
        """Park an offer of a pilot without one."""
        parked = ParkedOffer(offer, ask, self._kind(offer), self._numbers_of(offer))
        self.by_pilot[offer.pilot] = parked
        self._put(parked)
        if self.work_for(parked) is not None:
            self.unsettled[offer.pilot] = parked
        if len(self._known) > 2 * len(self.by_pilot) + SLACK or self._known.are_heavy:
            self._known.keep(parked.kind for parked in self.by_pilot.values())

    def work_for(self, parked: ParkedOffer) -> FoundClass | None:
        """Return a class that a parked offer could run, and the index of its need; None if none."""
        for shape in parked.shapes:
            found = self._index.best(shape)
            if found is not None:
                return found
        return None

    def reshape(self, pilot: str, offer: LiveOffer | None, spare: LiveOffer | None = None) -> None:
        """Replace a pilot's parked offer by another form; None: as it was parked.

        `spare`: a second form, with less capacity but more time.
        """
        parked = self.by_pilot.get(pilot)
        if parked is None or (offer is None and parked.offer is parked.whole):
            return
        if not parked.woken:
            self._take(parked)
        parked.offer = offer if offer is not None else parked.whole
        parked.spare = spare
        parked.spare_numbers = () if spare is None else self._numbers_of(spare)
        parked.kind, parked.numbers = self._kind(parked.offer), self._numbers_of(parked.offer)
        if not parked.woken:
            self._put(parked)
            self.unsettled[pilot] = parked

    def limits_changed(self) -> None:
        """Adapt to changed limits: check all offers and their kinds again."""
        for parked in self.by_pilot.values():
            if not parked.woken:
                self._take(parked)
        self._known.keep([])
        for pilot, parked in self.by_pilot.items():
            parked.kind = self._kind(parked.offer)
            if not parked.woken:
                self._put(parked)
                self.unsettled[pilot] = parked

    def _kind(self, offer: LiveOffer) -> OfferKind:
        key = facts = self._index.kind(offer)
        if self._limits.any:
            # Limits may differ between elements, although clauses do not.
            key = (*key, offer.element)
        kind = self._known.find(key)
        if kind is None:
            kind = OfferKind(
                key,
                facts,
                offer.site,
                self._limits.place(offer.community, offer.site, offer.element),
            )
            self._known.add(kind)
        return kind

    def _numbers_of(self, offer: LiveOffer) -> Numbers:
        return tuple([clause.has(offer) for clause in self._numbers])

    def remove(self, pilot: str) -> None:
        """Forget a pilot's offer, if there is one."""
        parked = self.by_pilot.pop(pilot, None)
        if parked is not None and not parked.woken:
            self._take(parked)

    def wake(self, parked: ParkedOffer) -> None:
        """Mark a free offer as woken."""
        self._take(parked)
        parked.woken = True

    def doubt(self, parked: ParkedOffer) -> None:
        """Mark a woken offer as free again, after its time without an answer."""
        parked.woken = False
        parked.wakes += 1
        self._put(parked)
        self.unsettled[parked.offer.pilot] = parked

    def free_at(self, place: ElementLimits) -> deque[str]:
        """Return the pilots with free offers at a place."""
        kinds = [kind for kind in self.kinds.values() if kind.place is place]
        return deque(standing[2] for kind in kinds for standing in kind.free)

    def unsettle(self, pilot: str) -> None:
        """Record that a pilot's free capacity may fit a waiting job."""
        parked = self.by_pilot.get(pilot)
        if parked is not None and not parked.woken:
            self.unsettled[pilot] = parked

    # -- the best offer ---------------------------------------------------------------------------

    def best_for(self, cls: JobClass, now: float) -> ParkedOffer | None:
        """Return the free offer that fits a class of jobs best; None if none fits.

        While the class's preference counts, offers of preferred sites come first.
        """
        takers = self._known.takers(cls)
        if not takers.kinds:
            return None
        preference = cls.spec.preference
        if preference is not None and cls.prefers_until > now:
            preferred = [self.free.of_site(site) for site in preference.sites]
            found = self._best_of(preferred, takers, cls, now)
            if found is not None:
                return found
        rows = self._rows_of(takers)
        if rows is None:
            return next(self._of(self.free.all(takers.lowest), takers, cls, now), None)
        return self._best_of(rows, takers, cls, now)

    def _rows_of(self, takers: AcceptingKinds) -> list[list[Standing]] | None:
        """Return a few lists that contain all offers that accept a class; None: too many lists."""
        if takers.sites is not None and len(takers.sites) <= FEW:
            return [row for site in (*takers.sites, ANY) if (row := self.free.of_site(site))]
        if takers.kinds.bit_count() <= FEW:
            return [kind.free for kind in self._known.some(takers.kinds) if kind.free]
        return None

    def _best_of(
        self, rows: list[list[Standing]], takers: AcceptingKinds, cls: JobClass, now: float
    ) -> ParkedOffer | None:
        """Return the first offer of all lists that fits.

        No list is read further than that offer.
        """
        by_pilot, kinds, best = self.by_pilot, takers.kinds, None
        joint = takers.joint[0]
        is_plain = len(takers.needs) == 1 and not self._limits.any and not joint
        demand = takers.demands[0] if is_plain else None
        least = (0, (takers.lowest,), "")
        for row in rows:
            for at in range(bisect_left(row, least), len(row)):
                standing = row[at]
                if best is not None and standing > best:
                    break
                parked = by_pilot[standing[2]]
                if kinds >> parked.kind.serial & 1 and (
                    all(map(le, demand, standing[1]))
                    or (parked.spare and parked.meets(demand, joint))
                    if demand is not None
                    else self._fits(parked, takers, cls, now)
                ):
                    best = standing
                    break
        return by_pilot[best[2]] if best is not None else None

    def all_for(self, cls: JobClass, now: float) -> Iterator[ParkedOffer]:
        """Yield the free offers that fit a class of jobs, the best first.

        The caller must skip offers that were woken since or come twice.
        """
        takers = self._known.takers(cls)
        preference = cls.spec.preference
        if preference is None or cls.prefers_until <= now:
            return self._anywhere(takers, cls, now)
        rows = [self.free.of_site(site) for site in preference.sites]
        preferred = self._of(_ordered(rows, takers), takers, cls, now)
        return chain(preferred, self._anywhere(takers, cls, now))

    def _anywhere(self, takers: AcceptingKinds, cls: JobClass, now: float) -> Iterator[ParkedOffer]:
        rows = self._rows_of(takers)
        if rows is None:
            return self._of(list(self.free.all(takers.lowest)), takers, cls, now)
        return self._of(_ordered(rows, takers), takers, cls, now)

    def _of(
        self, standings: Iterable[Standing], takers: AcceptingKinds, cls: JobClass, now: float
    ) -> Iterator[ParkedOffer]:
        """Yield the fitting offers."""
        by_pilot, kinds = self.by_pilot, takers.kinds
        if len(takers.needs) == 1 and not self._limits.any:  # the same as below, for the usual case
            (demand,), (joint,) = takers.demands, takers.joint
            for standing in standings:
                parked = by_pilot[standing[2]]
                if kinds >> parked.kind.serial & 1 and parked.meets(demand, joint):
                    yield parked
            return
        for standing in standings:
            parked = by_pilot[standing[2]]
            if kinds >> parked.kind.serial & 1 and self._fits(parked, takers, cls, now):
                yield parked

    def _fits(self, parked: ParkedOffer, takers: AcceptingKinds, cls: JobClass, now: float) -> bool:
        kind, closed = parked.kind, 0
        if kind.place is not None and (shut := kind.place.look(now)):
            closed = self._index.closed_needs(shut, cls)
        for place, kinds in enumerate(takers.needs):
            if kinds >> kind.serial & 1 and not closed >> place & 1:
                if parked.meets(takers.demands[place], takers.joint[place]):
                    return True
        return False

    def needs_met(self, parked: ParkedOffer, cls: JobClass) -> int:
        """Return which needs of a class an offer meets, without limits, as bits.

        For checks only.
        """
        takers, met = self._known.takers(cls), 0
        for place, kinds in enumerate(takers.needs):
            demand, joint = takers.demands[place], takers.joint[place]
            if kinds >> parked.kind.serial & 1 and parked.meets(demand, joint):
                met |= 1 << place
        return met

    # -- the free offers --------------------------------------------------------------------------

    def _put(self, parked: ParkedOffer) -> None:
        """Add an offer to the free ones."""
        self.kinds[parked.kind.key] = parked.kind
        insort(parked.kind.free, parked.standing)
        self.free.put(parked.standing, parked.offer.site)

    def _take(self, parked: ParkedOffer) -> None:
        """Remove an offer from the free ones."""
        free = parked.kind.free
        del free[bisect_left(free, parked.standing)]
        if not free:
            del self.kinds[parked.kind.key]
        self.free.take(parked.standing, parked.offer.site)
        self.unsettled.pop(parked.offer.pilot, None)


def _denies(joint: Joint, offer: LiveOffer) -> bool:
    return any(clause.denies(wants, clause.has(offer)) for clause, wants in joint)


def _ordered(rows: list[list[Standing]], takers: AcceptingKinds) -> Iterable[Standing]:
    """Merge several lists in order, each from the first offer with enough cores on."""
    least = (0, (takers.lowest,), "")
    return merge(*[row[bisect_left(row, least) :] for row in rows])
