"""How many pilots to start where, and how many that wait there to take back. Pure.

A *place* is a shape of pilots at an element: so many cores, so much memory, so much time. What
waits is told as *demands*: jobs that the same places could run. Jobs with the least choice of
places are seen to first. What is on its way to a place counts as if it were there; for the rest new
pilots are spread so that the elements' pilots stand to each other as their pledges do.

Where there is not room for all, communities get new pilots by their shares: the next one is for who
has the least by them.

What is not known is not nothing: an element that has not said what it has gets no pilot, and loses
none. Where pilots found no work though there was some, a place is *in doubt*: what is on its way
there is not counted on, nor taken back.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import ceil
from types import MappingProxyType

import msgspec

FEW = 16  # places that are looked at one by one


@dataclass(frozen=True)
class Place:
    """A shape of pilots at an element. A whole node has the cores that its nodes are known for."""

    element: int  # its number in the list of elements
    cores: int
    memory_mb: int = 0  # 0: not known, and so no bound
    queued: int = 0  # pilots that were submitted and have not asked for work yet
    room: int | None = None  # how many more at most; None: as many as its element takes
    in_doubt: bool = False  # its last pilots found no work though there was some


@dataclass(frozen=True)
class ElementState:
    """What is known of an element when a plan is made."""

    name: str
    pledge: float = 1.0  # its part of what several elements could run; 0: takes what is left
    pilots: int | None = 0  # all that were submitted and have not ended; None: not known
    queued: int = 0  # of these, those that have not started
    pilots_max: int = 0
    queued_max: int = 0
    submit_max: int = 0  # in one plan
    cancel_max: int = 0  # in one plan
    is_open: bool = True  # not banned, not draining, not backing off


class Demand(msgspec.Struct, frozen=True):
    """Jobs that wait and that the same places could run. `places` has a bit for each."""

    places: int
    jobs: int
    cores: int = 1  # of one job, at least
    memory_mb: int = 0  # of one job
    community: str = ""


@dataclass(frozen=True)
class Bounds:
    """How much one plan may change in all."""

    submit_max: int = 500
    pilots_max: int = 100_000


class Share(msgspec.Struct, frozen=True):
    """What a community is to have of pilots."""

    weight: float = 1.0  # 0: it takes what is left
    pilots: int = 0  # that it has already


NO_SHARES: Mapping[str, Share] = MappingProxyType({})


@dataclass
class Plan:
    """What is to be done: numbers of pilots by place."""

    submit: dict[int, int] = field(default_factory=dict[int, int])
    cancel: dict[int, int] = field(default_factory=dict[int, int])
    unmet_jobs: int = 0  # that no place has room for now
    unmet: int = field(default=0, compare=False)  # the places that could run them, as bits


def plan(
    places: Sequence[Place],
    elements: Sequence[ElementState],
    demands: Iterable[Demand],
    bounds: Bounds,
    shares: Mapping[str, Share] = NO_SHARES,
) -> Plan:
    """Return how many pilots to submit and to cancel where."""
    planning = _Planning(places, elements, bounds)
    unmet: dict[str, list[_Unmet]] = {}
    for demand in sorted(demands, key=_least_choice_first):
        jobs = planning.use_supply(demand)
        if jobs > 0:
            unmet.setdefault(demand.community, []).append(_Unmet(demand, jobs))
    if len(unmet) == 1:
        for waiting in unmet.values():
            planning.meet(waiting)
    else:
        _meet_in_turn(planning, unmet, shares)
    for waiting in unmet.values():
        planning.tell_unmet(waiting)
    planning.take_back()
    return planning.plan


def merged(demands: Iterable[Demand]) -> list[Demand]:
    """Return the demands with those as one that differ in nothing but their number of jobs."""
    jobs: dict[tuple[int, int, int, str], int] = {}
    for one in demands:
        key = (one.places, one.cores, one.memory_mb, one.community)
        jobs[key] = jobs.get(key, 0) + one.jobs
    return [
        Demand(places, number, cores, memory_mb, community)
        for (places, cores, memory_mb, community), number in jobs.items()
    ]


def _meet_in_turn(
    planning: "_Planning", unmet: Mapping[str, "list[_Unmet]"], shares: Mapping[str, Share]
) -> None:
    """Give pilots one by one, the next to the community that has the least by its share."""
    share_of = {one: shares.get(one, Share()) for one in unmet}
    given = {one: share.pilots for one, share in share_of.items()}
    at = dict.fromkeys(unmet, 0)

    def level(community: str) -> tuple[bool, float, str]:
        weight, has = share_of[community].weight, given[community]
        return (False, has / weight, community) if weight > 0 else (True, has, community)

    turns = [level(community) for community in unmet]
    heapify(turns)
    while turns:
        community = heappop(turns)[2]
        waiting = unmet[community]
        while at[community] < len(waiting) and not planning.start_one(waiting[at[community]]):
            at[community] += 1
        if at[community] < len(waiting):
            given[community] += 1
            heappush(turns, level(community))


def _least_choice_first(demand: Demand) -> tuple[int, int, int]:
    return demand.places.bit_count(), -demand.cores, -demand.memory_mb


@dataclass(slots=True)
class _Unmet:
    """Jobs of a demand for which no pilot is on its way."""

    demand: Demand
    jobs: int


class _Planning:
    """A plan in the making."""

    def __init__(
        self, places: Sequence[Place], elements: Sequence[ElementState], bounds: Bounds
    ) -> None:
        self.plan = Plan()
        self._places, self._elements = places, elements
        # Pilots on their way that nothing needs yet.
        self._supply = [0 if one.in_doubt else one.queued for one in places]
        self._supplied = _bits(at for at, queued in enumerate(self._supply) if queued > 0)
        self._room = [_room(one) for one in elements]
        self._pilots = [one.pilots or 0 for one in elements]
        known = sum(self._pilots)
        self._left = max(0, min(bounds.submit_max, bounds.pilots_max - known))
        self._bits_of = [0] * len(elements)
        for at, one in enumerate(places):
            self._bits_of[one.element] |= 1 << at
        self._room_at = {at: one.room for at, one in enumerate(places) if one.room is not None}
        self._open = _bits(
            at
            for at, one in enumerate(places)
            if self._room[one.element] > 0 and self._room_at.get(at) != 0
        )
        # Elements with room by how much of their pledge they have, the emptiest first.
        self._order = sorted(
            (self._level(at), at) for at, room in enumerate(self._room) if room > 0
        )

    def _level(self, element: int) -> tuple[bool, float]:
        pledge, pilots = self._elements[element].pledge, self._pilots[element]
        return (False, pilots / pledge) if pledge > 0 else (True, float(pilots))

    def meet(self, unmet: Iterable[_Unmet]) -> None:
        """Give demands new pilots, one demand after the other."""
        for one in unmet:
            while self.start_one(one):
                pass

    def tell_unmet(self, unmet: Iterable[_Unmet]) -> None:
        """Say for which jobs there was no room."""
        for one in unmet:
            if one.jobs > 0:
                self.plan.unmet_jobs += one.jobs
                self.plan.unmet |= one.demand.places

    def start_one(self, one: _Unmet) -> bool:
        """Give a demand one new pilot; False where it needs none, or there is no room for it."""
        if one.jobs <= 0 or self._left <= 0:
            return False
        at = self._best(one.demand.places & self._open)
        if at < 0:
            return False
        one.jobs -= max(1, self._holds(at, one.demand))
        self._submit(at)
        return True

    def use_supply(self, demand: Demand) -> int:
        """Give a demand what is on its way; return the number of jobs for which that is not enough.

        Call it with all demands before the first new pilot is given.
        """
        jobs, bits = demand.jobs, demand.places & self._supplied
        for at in _places(bits):
            if jobs <= 0:
                break
            holds = max(1, self._holds(at, demand))
            used = min(self._supply[at], ceil(jobs / holds))
            self._supply[at] -= used
            jobs -= used * holds
            if not self._supply[at]:
                self._supplied &= ~(1 << at)
        return jobs

    def _holds(self, at: int, demand: Demand) -> int:
        """Return how many jobs of a demand one pilot of a place runs at once."""
        place = self._places[at]
        by_cores = place.cores // max(1, demand.cores)
        if not (demand.memory_mb and place.memory_mb):
            return by_cores
        return min(by_cores, place.memory_mb // demand.memory_mb)

    def _best(self, bits: int) -> int:
        """Return the place whose element has the least of its pledge, -1 where there is none."""
        if not bits:
            return -1
        if bits.bit_count() <= FEW:
            return min(_places(bits), key=self._rank)
        for _, element in self._order:
            mine = bits & self._bits_of[element]
            if mine:
                return (mine & -mine).bit_length() - 1
        return -1

    def _rank(self, at: int) -> tuple[tuple[bool, float], int]:
        return self._level(self._places[at].element), at

    def _submit(self, at: int) -> None:
        element = self._places[at].element
        level = (self._level(element), element)
        del self._order[bisect_left(self._order, level)]
        self._pilots[element] += 1
        self._room[element] -= 1
        self._left -= 1
        self.plan.submit[at] = self.plan.submit.get(at, 0) + 1
        if at in self._room_at:
            self._room_at[at] -= 1
            if self._room_at[at] <= 0:
                self._open &= ~(1 << at)
        if self._room[element] > 0:
            insort(self._order, (self._level(element), element))
        else:
            self._open &= ~self._bits_of[element]

    def take_back(self) -> None:
        """Cancel pilots that wait for their element and that no demand needs, some at a time."""
        left = [
            0 if one.pilots is None else min(one.cancel_max, one.queued) for one in self._elements
        ]
        for at in _places(self._supplied):
            element = self._places[at].element
            number = min(self._supply[at], left[element])
            if number > 0 and at not in self.plan.submit:
                self.plan.cancel[at] = number
                left[element] -= number


def _room(element: ElementState) -> int:
    if element.pilots is None or not element.is_open:
        return 0
    room = min(
        element.pilots_max - element.pilots,
        element.queued_max - element.queued,
        element.submit_max,
    )
    return max(0, room)


def _bits(places: Iterable[int]) -> int:
    found = 0
    for at in places:
        found |= 1 << at
    return found


def _places(bits: int) -> Iterator[int]:
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low
