"""Parked offers: pilots that found nothing, and the best of them for a new job."""

from bisect import bisect_left, insort
from operator import le
from typing import Any

from .classes import JobClass
from .clauses import Clauses
from .index import Index
from .types import LiveOffer

Numbers = tuple[float, ...]  # in the order of the table: cores, memory, …

# Order of the free offers of one kind. Those that were woken least often without an answer come
# first, so that a dead pilot does not draw every job; then those that leave least unused.
Place = tuple[int, Numbers, str]


class Kind:
    """Free offers that differ in numbers alone."""

    __slots__ = ("free", "key", "rows", "rows_known")

    def __init__(self, key: tuple[Any, ...]) -> None:
        self.key = key
        self.free: list[Place] = []
        self.rows = 0  # that accept this kind, numbers aside
        self.rows_known = 0


class ParkedOffer:
    """One parked offer: free, or woken for a while."""

    __slots__ = ("ask", "kind", "numbers", "offer", "wakes", "woken")

    def __init__(self, offer: LiveOffer, ask: int, kind: Kind, numbers: Numbers) -> None:
        self.offer = offer
        self.ask = ask
        self.kind = kind
        self.numbers = numbers
        self.woken = False
        self.wakes = 0  # that were not answered

    @property
    def place(self) -> Place:
        return (self.wakes, self.numbers, self.offer.pilot)


class ParkedOffers:
    """The parked offers by pilot, and the free ones by kind."""

    def __init__(self, index: Index, clauses: Clauses) -> None:
        self._index = index
        self._numbers = tuple(clause for clause in clauses if clause.is_number)
        self.by_pilot: dict[str, ParkedOffer] = {}
        self.kinds: dict[tuple[Any, ...], Kind] = {}  # those with free offers
        # Free offers of which it is not known that no waiting job fits them.
        self.unsettled: dict[str, ParkedOffer] = {}

    def add(self, offer: LiveOffer, ask: int) -> None:
        """Park an offer of a pilot that has none."""
        key = self._index.kind(offer)
        numbers = tuple([clause.has(offer) for clause in self._numbers])
        parked = ParkedOffer(offer, ask, self.kinds.get(key) or Kind(key), numbers)
        self.by_pilot[offer.pilot] = parked
        self._put(parked)
        if self._index.best(offer) is not None:
            self.unsettled[offer.pilot] = parked

    def remove(self, pilot: str) -> None:
        """Forget a pilot's offer, if there is one."""
        parked = self.by_pilot.pop(pilot, None)
        if parked is not None and not parked.woken:
            self._take(parked)

    def renumber(self) -> None:
        """The rows of the index have changed: look again which of them accept each kind."""
        for parked in self.by_pilot.values():
            parked.kind.rows = parked.kind.rows_known = 0

    def wake(self, parked: ParkedOffer) -> None:
        """Mark a free offer as woken."""
        self._take(parked)
        parked.woken = True

    def doubt(self, parked: ParkedOffer) -> None:
        """Mark a woken offer as free again: its time is over and nothing came."""
        parked.woken = False
        parked.wakes += 1
        self._put(parked)
        self.unsettled[parked.offer.pilot] = parked

    def best_for(self, cls: JobClass) -> ParkedOffer | None:
        """Return the free offer that fits a class of jobs best, or None."""
        places = [
            place
            for kind, demands in self._takers(cls)
            for demand in demands
            if (place := _first(kind.free, demand)) is not None
        ]
        return self.by_pilot[min(places)[2]] if places else None

    def all_for(self, cls: JobClass) -> list[ParkedOffer]:
        """Return all free offers that fit a class of jobs, the best first.

        For many jobs of a class this is cheaper than to look for one after the other.
        """
        places = [
            place
            for kind, demands in self._takers(cls)
            for place in kind.free
            if any(all(map(le, demand, place[1])) for demand in demands)
        ]
        places.sort()
        return [self.by_pilot[pilot] for _, _, pilot in places]

    def _takers(self, cls: JobClass) -> list[tuple[Kind, list[Numbers]]]:
        """Return the kinds that take the class, numbers aside, with what it then demands."""
        spec, size = cls.spec, self._index.size
        demands = [
            tuple([clause.wants(need, spec) for clause in self._numbers]) for need in spec.needs
        ]
        takers: list[tuple[Kind, list[Numbers]]] = []
        for kind in self.kinds.values():
            if kind.rows_known != size:
                kind.rows, kind.rows_known = self._index.accepting_kind(kind.key), size
            takes = self._index.needs_among(kind.rows, cls)
            if takes:
                its = [demand for place, demand in enumerate(demands) if takes >> place & 1]
                takers.append((kind, its))
        return takers

    def _put(self, parked: ParkedOffer) -> None:
        """Put an offer among the free ones."""
        parked.kind = self.kinds.setdefault(parked.kind.key, parked.kind)
        insort(parked.kind.free, parked.place)

    def _take(self, parked: ParkedOffer) -> None:
        """Take an offer out of the free ones."""
        free = parked.kind.free
        del free[bisect_left(free, parked.place)]
        if not free:
            del self.kinds[parked.kind.key]
        self.unsettled.pop(parked.offer.pilot, None)


def _first(places: list[Place], demand: Numbers) -> Place | None:
    """Return the first place whose offer meets a demand."""
    at, wakes = 0, -1
    while at < len(places):
        place = places[at]
        if place[0] != wakes:  # of those woken as often, the first with as many cores
            wakes = place[0]
            at = bisect_left(places, (wakes, demand[:1], ""), at)
        elif all(map(le, demand, place[1])):
            return place
        else:
            at += 1
    return None
