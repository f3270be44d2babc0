"""How many pilots to start where, and how many that wait there to take back. Pure.

A *place* is a shape of pilots at an element: so many cores, so much memory, so much time. What
waits is told as *demands*: jobs that the same places could run. Jobs with the least choice of
places are seen to first. What is on its way to a place counts as if it were there; for the rest new
pilots are spread so that the elements' pilots stand to each other as their pledges do.

What is not known is not nothing: an element that has not said what it has gets no pilot, and loses
none.
"""

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil

FEW = 16  # places that are looked at one by one


@dataclass(frozen=True)
class Place:
    """A shape of pilots at an element. A whole node has the cores that its nodes are known for."""

    element: int  # its number in the list of elements
    cores: int
    memory_mb: int = 0  # 0: not known, and so no bound
    queued: int = 0  # pilots that were submitted and have not asked for work yet


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


@dataclass(frozen=True)
class Demand:
    """Jobs that wait and that the same places could run. `places` has a bit for each."""

    places: int
    jobs: int
    cores: int = 1  # of one job, at least
    memory_mb: int = 0  # of one job


@dataclass(frozen=True)
class Bounds:
    """How much one plan may change in all."""

    submit_max: int = 500
    pilots_max: int = 100_000


@dataclass
class Plan:
    """What is to be done: numbers of pilots by place."""

    submit: dict[int, int] = field(default_factory=dict[int, int])
    cancel: dict[int, int] = field(default_factory=dict[int, int])
    unmet_jobs: int = 0  # that no place has room for now


def plan(
    places: Sequence[Place],
    elements: Sequence[ElementState],
    demands: Iterable[Demand],
    bounds: Bounds,
) -> Plan:
    """Return how many pilots to submit and to cancel where."""
    planning = _Planning(places, elements, bounds)
    for demand in sorted(demands, key=_least_choice_first):
        planning.meet(demand)
    planning.take_back()
    return planning.plan


def merged(demands: Iterable[Demand]) -> list[Demand]:
    """Return the demands with those as one that differ in nothing but their number of jobs."""
    jobs: dict[tuple[int, int, int], int] = {}
    for one in demands:
        key = (one.places, one.cores, one.memory_mb)
        jobs[key] = jobs.get(key, 0) + one.jobs
    return [Demand(places, number, cores, mb) for (places, cores, mb), number in jobs.items()]


def _least_choice_first(demand: Demand) -> tuple[int, int, int]:
    return demand.places.bit_count(), -demand.cores, -demand.memory_mb


class _Planning:
    """A plan in the making."""

    def __init__(
        self, places: Sequence[Place], elements: Sequence[ElementState], bounds: Bounds
    ) -> None:
        self.plan = Plan()
        self._places, self._elements = places, elements
        self._supply = [one.queued for one in places]  # pilots on their way that nothing needs yet
        self._supplied = _bits(at for at, one in enumerate(places) if one.queued > 0)
        self._room = [_room(one) for one in elements]
        self._pilots = [one.pilots or 0 for one in elements]
        known = sum(self._pilots)
        self._left = max(0, min(bounds.submit_max, bounds.pilots_max - known))
        self._of_element: list[list[int]] = [[] for _ in elements]
        for at, one in enumerate(places):
            self._of_element[one.element].append(at)
        self._open = _bits(at for at, one in enumerate(places) if self._room[one.element] > 0)
        # Elements with room by how much of their pledge they have, the emptiest first.
        self._order = sorted(
            (self._level(at), at) for at, room in enumerate(self._room) if room > 0
        )

    def _level(self, element: int) -> tuple[bool, float]:
        pledge, pilots = self._elements[element].pledge, self._pilots[element]
        return (False, pilots / pledge) if pledge > 0 else (True, float(pilots))

    def meet(self, demand: Demand) -> None:
        """Give a demand what is on its way, then new pilots."""
        jobs = self._use_supply(demand)
        while jobs > 0 and self._left > 0 and (at := self._best(demand.places & self._open)) >= 0:
            jobs -= max(1, self._holds(at, demand))
            self._submit(at)
        self.plan.unmet_jobs += max(0, jobs)

    def _use_supply(self, demand: Demand) -> int:
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
            for at in self._of_element[element]:
                if bits >> at & 1:
                    return at
        return -1

    def _rank(self, at: int) -> tuple[tuple[bool, float], int]:
        return self._level(self._places[at].element), at

    def _submit(self, at: int) -> None:
        element = self._places[at].element
        self._order.remove((self._level(element), element))
        self._pilots[element] += 1
        self._room[element] -= 1
        self._left -= 1
        self.plan.submit[at] = self.plan.submit.get(at, 0) + 1
        if self._room[element] > 0:
            insort(self._order, (self._level(element), element))
        else:
            self._open &= ~_bits(self._of_element[element])

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
