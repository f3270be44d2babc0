"""Parked offers: pilots that found nothing, and the best of them for a new job."""

from bisect import bisect_left, insort
from operator import le
from typing import Any

from .classes import JobClass
from .clauses import Clauses
from .index import Index
from .types import LiveOffer

Numbers = tuple[float, ...]  # in the order of the table: cores, memory, …

# Order of the free offers of one kind: the one that leaves least unused comes first.
Size = tuple[Numbers, str]


class Kind:
    """Free offers that differ in numbers alone.

    A free offer that was woken before and has not asked since is *doubtful*.
    """

    __slots__ = ("doubtful", "fresh", "key", "rows", "rows_known")

    def __init__(self, key: tuple[Any, ...]) -> None:
        self.key = key
        self.fresh: list[Size] = []
        self.doubtful: dict[str, ParkedOffer] = {}  # by pilot, the longest untried first
        self.rows = 0  # that accept this kind, numbers aside
        self.rows_known = 0

    def __bool__(self) -> bool:
        return bool(self.fresh or self.doubtful)


class ParkedOffer:
    """One parked offer: free, or woken for a while."""

    __slots__ = ("ask", "doubted", "kind", "numbers", "offer", "woken")

    def __init__(self, offer: LiveOffer, ask: int, kind: Kind, numbers: Numbers) -> None:
        self.offer = offer
        self.ask = ask
        self.kind = kind
        self.numbers = numbers
        self.woken = False
        self.doubted = 0  # running number of the doubt

    @property
    def size(self) -> Size:
        return (self.numbers, self.offer.pilot)


class ParkedOffers:
    """The parked offers by pilot, and the free ones by kind.

    Doubtful ones come last, and the longest untried of them first: so a dead pilot does not draw
    every job.
    """

    def __init__(self, index: Index, clauses: Clauses) -> None:
        self._index = index
        self._numbers = tuple(clause for clause in clauses if clause.is_number)
        self._doubts = 0
        self.by_pilot: dict[str, ParkedOffer] = {}
        self.kinds: dict[tuple[Any, ...], Kind] = {}  # those with free offers
        # Free offers of which it is not known that no waiting job fits them.
        self.unsettled: dict[str, ParkedOffer] = {}

    def add(self, offer: LiveOffer, ask: int) -> None:
        """Park an offer of a pilot that has none."""
        key = self._index.kind(offer)
        numbers = tuple([clause.has(offer) for clause in self._numbers])
        kind = self.kinds.get(key)
        if kind is None:
            kind = self.kinds[key] = Kind(key)
        parked = self.by_pilot[offer.pilot] = ParkedOffer(offer, ask, kind, numbers)
        insort(kind.fresh, parked.size)
        if self._index.best(offer) is not None:
            self.unsettled[offer.pilot] = parked

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
        """Mark a woken offer as free again: it was woken and nothing came."""
        self._doubts += 1
        parked.doubted = self._doubts
        parked.woken = False
        parked.kind = self.kinds.setdefault(parked.kind.key, parked.kind)
        parked.kind.doubtful[parked.offer.pilot] = parked
        self.unsettled[parked.offer.pilot] = parked

    def best_for(self, cls: JobClass) -> ParkedOffer | None:
        """Return the free offer that fits a class of jobs and leaves least unused."""
        takers = self._takers(cls)
        fresh = [
            size
            for kind, demands in takers
            for demand in demands
            if (size := _smallest(kind.fresh, demand)) is not None
        ]
        if fresh:
            return self.by_pilot[min(fresh)[1]]
        doubtful = [
            parked
            for kind, demands in takers
            if (parked := next((it for it in kind.doubtful.values() if _meets(it, demands)), None))
        ]
        return min(doubtful, key=lambda parked: parked.doubted, default=None)

    def all_for(self, cls: JobClass) -> list[ParkedOffer]:
        """Return all free offers that fit a class of jobs, the best first.

        For many jobs of a class this is cheaper than to look for one after the other.
        """
        fresh: list[Size] = []
        doubtful: list[ParkedOffer] = []
        for kind, demands in self._takers(cls):
            for size in kind.fresh:
                if any(all(map(le, demand, size[0])) for demand in demands):
                    fresh.append(size)
            doubtful.extend(it for it in kind.doubtful.values() if _meets(it, demands))
        fresh.sort()
        doubtful.sort(key=lambda parked: parked.doubted)
        return [*(self.by_pilot[pilot] for _, pilot in fresh), *doubtful]

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

    def _take(self, parked: ParkedOffer) -> None:
        """Take an offer out of the free ones."""
        pilot, kind = parked.offer.pilot, parked.kind
        self.unsettled.pop(pilot, None)
        if kind.doubtful.pop(pilot, None) is None:
            del kind.fresh[bisect_left(kind.fresh, parked.size)]
        if not kind:
            del self.kinds[kind.key]


def _smallest(sizes: list[Size], demand: Numbers) -> Size | None:
    """Return the first of the sizes that meets a demand."""
    for at in range(bisect_left(sizes, ((demand[0],), "")), len(sizes)):
        if all(map(le, demand, sizes[at][0])):
            return sizes[at]
    return None


def _meets(parked: ParkedOffer, demands: list[Numbers]) -> bool:
    return any(all(map(le, demand, parked.numbers)) for demand in demands)
