"""Parked offers: pilots that found nothing, and the best of them for a new job."""

from bisect import bisect_left, insort
from typing import Any

from .classes import JobClass
from .clauses import Clauses
from .index import Index
from .types import LiveOffer

# Order of the free offers of one kind: the one that leaves least unused comes first.
Size = tuple[int, int, float, str]


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

    __slots__ = ("ask", "doubted", "kind", "offer", "woken")

    def __init__(self, offer: LiveOffer, ask: int, kind: Kind) -> None:
        self.offer = offer
        self.ask = ask
        self.kind = kind
        self.woken = False
        self.doubted = 0  # running number of the doubt

    @property
    def size(self) -> Size:
        offer = self.offer
        return (offer.cores_free, offer.memory_free_mb, offer.wall_left_s, offer.pilot)


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
        parked = ParkedOffer(offer, ask, self.kinds.get(key) or Kind(key))
        self.by_pilot[offer.pilot] = parked
        self._free(parked)
        insort(parked.kind.fresh, parked.size)

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
        parked.woken = False
        self._doubts += 1
        parked.doubted = self._doubts
        self._free(parked)
        parked.kind.doubtful[parked.offer.pilot] = parked

    def best_for(self, cls: JobClass) -> ParkedOffer | None:
        """Return the free offer that fits a class of jobs and leaves least unused."""
        takers = [kind for kind in self.kinds.values() if self._accepts(kind, cls)]
        fresh = [size for kind in takers if (size := self._smallest(kind, cls)) is not None]
        if fresh:
            return self.by_pilot[min(fresh)[-1]]
        doubtful = [found for kind in takers if (found := self._longest_untried(kind, cls))]
        return min(doubtful, key=lambda parked: parked.doubted, default=None)

    def _accepts(self, kind: Kind, cls: JobClass) -> int:
        """Return the needs of a class that take this kind of offer, numbers aside, as bits."""
        if kind.rows_known != self._index.size:
            kind.rows, kind.rows_known = self._index.accepting_kind(kind.key), self._index.size
        return self._index.needs_among(kind.rows, cls)

    def _smallest(self, kind: Kind, cls: JobClass) -> Size | None:
        fewest = min(need.cores_min for need in cls.spec.needs)
        for at in range(bisect_left(kind.fresh, (fewest,)), len(kind.fresh)):
            if self._suffices(self.by_pilot[kind.fresh[at][-1]], cls):
                return kind.fresh[at]
        return None

    def _longest_untried(self, kind: Kind, cls: JobClass) -> ParkedOffer | None:
        return next((it for it in kind.doubtful.values() if self._suffices(it, cls)), None)

    def _suffices(self, parked: ParkedOffer, cls: JobClass) -> bool:
        """Whether there is a need that this kind takes and that no number refuses."""
        takes = self._accepts(parked.kind, cls)
        return any(
            takes >> place & 1
            and not any(clause.refuses(need, cls.spec, parked.offer) for clause in self._numbers)
            for place, need in enumerate(cls.spec.needs)
        )

    def _free(self, parked: ParkedOffer) -> None:
        """Put an offer among the free ones; whether it is fresh or doubtful the caller says."""
        parked.kind = self.kinds.setdefault(parked.kind.key, parked.kind)
        self.unsettled[parked.offer.pilot] = parked

    def _take(self, parked: ParkedOffer) -> None:
        """Take an offer out of the free ones."""
        pilot, kind = parked.offer.pilot, parked.kind
        self.unsettled.pop(pilot, None)
        if kind.doubtful.pop(pilot, None) is None:
            del kind.fresh[bisect_left(kind.fresh, parked.size)]
        if not kind:
            del self.kinds[kind.key]
