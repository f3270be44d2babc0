"""Plans the numbers of pilots to start and of queued pilots to cancel, by place. Pure.

A *place* is a shape of pilots of one community at an element: cores, memory and time. A *demand* is
a number of waiting jobs that the same places could run. Jobs with the smallest choice of places
come first. Queued pilots of a place count as if they were running. New pilots for the other jobs
are spread so that the elements have pilots in proportion to their pledges.

Communities take turns. Each has its share of the pilots at each element, counting those that it
already has there, and unused shares go to the others. If an element is full while a community below
its share has waiting jobs, queued pilots of communities above their share are cancelled.

An element that has not reported its pilots is unknown: it gets no pilot and loses none. If the
pilots of a place found no work although jobs waited, the place is *in doubt*: its queued pilots are
neither counted on nor cancelled.

A queue may stand still. Pilots that have been queued for long hardly count: other elements also get
pilots for their jobs, and the first pilot to start takes the job. The late pilots stay queued while
such jobs exist. Their elements get no more pilots for the same jobs, so each job has at most one
queued pilot at each element.

One function says why a place gets no pilot. The planning uses it too, so the explanation for users
matches the plan.
"""

from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from heapq import heapify, heappop, heappush
from math import ceil
from typing import Final, NamedTuple

import msgspec

from .sharing import excess, level

_HARDLY: Final = 1e-9  # a smaller part of a pilot counts as none
FEW = 16  # places that are looked at one by one


@dataclass(frozen=True)
class ElementShape:
    """A shape of pilots at an element. A whole node has the known number of cores."""

    element: int  # its number in the list of elements
    cores: int
    memory_mb: int = 0  # 0: unknown, so unbounded
    scratch_mb: int = 0  # 0: unknown, so unbounded
    gpus: int = 0
    amounts: Mapping[str, int] = field(default_factory=dict[str, int])  # named amounts
    community: str = ""  # of these pilots
    queued: int = 0  # submitted pilots that have not asked for work
    late: int = 0  # of these, pilots that waited too long to be counted on
    room: int | None = None  # most new pilots; None: as many as its element takes
    in_doubt: bool = False  # its last pilots found no work although jobs waited
    held: str = ""  # why `room` is small, such as "is suspended: …"


@dataclass(frozen=True)
class ElementState:
    """The known state of an element when a plan is made."""

    name: str
    pledge: float = 1.0  # its part of the common pilots; 0: it gets the rest
    pilots: int | None = 0  # submitted and not ended; None: unknown
    queued: int = 0  # of these, pilots that have not started
    leaving: int = 0  # of these, cancelled pilots that are still there
    quiet: int = 0  # of the pilots, silent ones
    pilots_of: Mapping[str, int] = field(default_factory=dict[str, int])  # by community
    shares: Mapping[str, float] = field(default_factory=dict[str, float])  # missing: 1
    pilots_max: int = 0
    queued_max: int = 0
    submit_max: int = 0  # in one plan
    cancel_max: int = 0  # in one plan
    is_enabled: bool = True  # by its file
    is_banned: bool = False  # only jobs of type Test run there
    is_draining: bool = False
    pause_s: float = 0.0  # time for which it gets no pilot
    trouble: str = ""  # why it is paused or unknown
    has_just_failed: bool = False  # elements without failures come first


class Demand(msgspec.Struct, frozen=True):
    """Waiting jobs that the same places could run. `places` has a bit for each place."""

    places: int
    jobs: int
    cores: int = 1  # of one job, at least
    memory_mb: int = 0  # of one job
    scratch_mb: int = 0  # of one job
    gpus: int = 0  # of one job
    whole_node: bool = False  # a pilot runs one of them
    amounts: tuple[tuple[str, int], ...] = ()  # of one job, by name


@dataclass(frozen=True)
class PlanBounds:
    """Bounds of one plan for all elements together, from the settings."""

    submit_max: int = 500
    pilots_max: int = 100_000


class PlaceBlocker(Enum):
    """The kind of obstacle that keeps pilots from a place."""

    FILE = "its site's file"
    OPERATOR = "an operator"
    TROUBLE = "its calls fail"
    HELD = "its last pilots"
    LIMIT = "a limit of 0 pilots"
    FULL = "it has as many pilots as it may have"


class ClosedReason(NamedTuple):
    """Why a place gets no pilot now: a phrase such as "is full: …"."""

    by: PlaceBlocker
    why: str


def why_none(
    place: ElementShape, element: ElementState, bounds: PlanBounds, in_all: int, *, is_test: bool
) -> ClosedReason | None:
    """Return why a place gets no pilot now; None: it gets pilots if jobs want them.

    `in_all`: the pilots of all elements. `is_test`: the jobs are of type Test.
    """
    return (
        _why_shut(element, is_test=is_test)
        or (ClosedReason(PlaceBlocker.HELD, place.held) if place.room == 0 else None)
        or _why_never(element, bounds)
        or _why_full(element, bounds, in_all)
    )


def _why_shut(element: ElementState, *, is_test: bool) -> ClosedReason | None:
    if not element.is_enabled:
        return ClosedReason(PlaceBlocker.FILE, "is not enabled in its file")
    if element.is_draining:
        return ClosedReason(PlaceBlocker.OPERATOR, "is draining: an operator wants no pilots there")
    if element.is_banned and not is_test:
        return ClosedReason(PlaceBlocker.OPERATOR, "is banned: only jobs of type Test run there")
    if element.pause_s > 0:
        why = f"has a pause of {element.pause_s:.0f} s more: {element.trouble}"
        return ClosedReason(PlaceBlocker.TROUBLE, why)
    if element.pilots is None:
        said = element.trouble or "it has not answered yet"
        return ClosedReason(PlaceBlocker.TROUBLE, f"has not reported its pilots: {said}")
    return None


def _why_never(element: ElementState, bounds: PlanBounds) -> ClosedReason | None:
    limits = {
        "its pilots_max": element.pilots_max,
        "its queued_max": element.queued_max,
        "its submit_max": element.submit_max,
        "factory.pilots_max": bounds.pilots_max,
        "factory.submit_max": bounds.submit_max,
    }
    for name, most in limits.items():
        if most <= 0:
            return ClosedReason(PlaceBlocker.LIMIT, f"may have no pilots: {name} is {most}")
    return None


def _why_full(element: ElementState, bounds: PlanBounds, in_all: int) -> ClosedReason | None:
    pilots, queued = element.pilots or 0, element.queued
    if pilots >= element.pilots_max:
        why = f"is full: {pilots} of {element.pilots_max} pilots"
        if element.quiet:
            quiet = "all" if element.quiet == pilots else f"{element.quiet} of them"
            why += f", {quiet} silent: they count until it reports their end"
        return ClosedReason(PlaceBlocker.FULL, why)
    if queued >= element.queued_max:
        why = f"has a full queue: {queued} of {element.queued_max} pilots wait in it"
        return ClosedReason(PlaceBlocker.FULL, why)
    if in_all >= bounds.pilots_max:
        why = f"has to wait: all sites have {in_all} pilots, factory.pilots_max is"
        return ClosedReason(PlaceBlocker.LIMIT, f"{why} {bounds.pilots_max}")
    return None


def pilots_in_all(elements: Iterable[ElementState]) -> int:
    """Return the number of known pilots."""
    return sum(one.pilots or 0 for one in elements)


@dataclass
class FactoryPlan:
    """The changes to make: numbers of pilots by place."""

    submit: dict[int, int] = field(default_factory=dict[int, int])
    cancel: dict[int, int] = field(default_factory=dict[int, int])
    unmet_jobs: int = 0  # jobs without room at any place now
    unmet: int = field(default=0, compare=False)  # the places that could run them, as bits


def plan(
    places: Sequence[ElementShape],
    elements: Sequence[ElementState],
    demands: Iterable[Demand],
    bounds: PlanBounds,
) -> FactoryPlan:
    """Return the numbers of pilots to submit and to cancel, by place."""
    planning = _Planning(places, elements, bounds)
    waiting = [planning.use_supply(demand) for demand in sorted(demands, key=_least_choice_first)]
    planning.meet(waiting)
    planning.meet(planning.elsewhere)
    planning.tell_unmet(waiting)
    planning.take_back()
    planning.take_back_beyond_shares(waiting)
    return planning.plan


def merged(demands: Iterable[Demand]) -> list[Demand]:
    """Merge the demands that differ only in their number of jobs."""
    jobs: dict[Demand, int] = {}
    for one in demands:
        alike = msgspec.structs.replace(one, jobs=0)
        jobs[alike] = jobs.get(alike, 0) + one.jobs
    return [msgspec.structs.replace(alike, jobs=number) for alike, number in jobs.items()]


def _least_choice_first(demand: Demand) -> tuple[int, int, int]:
    return demand.places.bit_count(), -demand.cores, -demand.memory_mb


@dataclass(slots=True)
class _Unmet:
    """Jobs of a demand without a pilot on its way."""

    demand: Demand
    jobs: int


class _Supply:
    """Queued pilots that no demand has used yet, by place."""

    def __init__(self, pilots: Iterable[int]) -> None:
        self.pilots = list(pilots)
        self.bits = _bits(at for at, count in enumerate(self.pilots) if count > 0)

    def use(self, bits: int, jobs: int, holds: Callable[[int], int]) -> int:
        """Use the pilots of some places for jobs; return the number of jobs that are left.

        `holds`: how many of the jobs a pilot of a place runs at once.
        """
        for at in _places(bits & self.bits):
            if jobs <= 0:
                break
            held = max(1, holds(at))
            used = min(self.pilots[at], ceil(jobs / held))
            self.pilots[at] -= used
            jobs -= used * held
            if not self.pilots[at]:
                self.bits &= ~(1 << at)
        return max(0, jobs)


@dataclass(slots=True)
class _Levels:
    """The most pilots that communities may have at elements when room is divided."""

    most: dict[str, dict[int, float]]  # community → element → pilots
    closed: dict[str, int]  # community → places of elements where it has its most
    has: Counter[str]  # at all of these elements


class _Turns:
    """Turns of communities: the next is the one with the smallest part of its total."""

    def __init__(self, levels: _Levels) -> None:
        self.most, self.closed, self._has = levels.most, levels.closed, levels.has
        self._whole = {name: max(sum(one.values()), _HARDLY) for name, one in self.most.items()}
        self._order = [(self._level(name), name) for name in self.most]
        heapify(self._order)

    def next(self) -> str:
        """Return the community whose turn it is, or "". Its next turn needs a call of `had`."""
        return heappop(self._order)[1] if self._order else ""

    def had(self, name: str) -> None:
        """Note that a community has got a pilot."""
        self._has[name] += 1
        heappush(self._order, (self._level(name), name))

    def _level(self, name: str) -> float:
        return self._has[name] / self._whole[name]


class _Planning:
    """A plan in the making."""

    def __init__(
        self, places: Sequence[ElementShape], elements: Sequence[ElementState], bounds: PlanBounds
    ) -> None:
        self.plan = FactoryPlan()
        self._places, self._elements = places, elements
        self._supply = _Supply(0 if one.in_doubt else one.queued - one.late for one in places)
        late = [0 if one.in_doubt else one.late for one in places]
        self._late = _Supply(late)  # jobs that wait for these get other pilots too
        self._kept = _Supply(late)  # of these, pilots to cancel
        self.elsewhere: list[_Unmet] = []  # jobs that need other pilots than those
        self._room = [_room(one) for one in elements]
        self._pilots = [one.pilots or 0 for one in elements]
        self._pilots_of = [Counter(one.pilots_of) for one in elements]
        self._bounds = bounds
        self._cancel_left = [
            0 if one.pilots is None else min(one.cancel_max, one.queued) for one in elements
        ]
        in_all = pilots_in_all(elements)
        self._left = max(0, min(bounds.submit_max, bounds.pilots_max - in_all))
        self._bits_of = [0] * len(elements)
        for at, one in enumerate(places):
            self._bits_of[one.element] |= 1 << at
        self._slow = 0  # the places of elements with late pilots
        for at in _places(self._late.bits):
            self._slow |= self._bits_of[places[at].element]
        self._room_at = {at: one.room for at, one in enumerate(places) if one.room is not None}
        self._open = _bits(
            at
            for at, one in enumerate(places)
            # Demands know whether they can use a banned element: tests can.
            if why_none(one, elements[one.element], bounds, in_all, is_test=True) is None
        )
        # Elements with room, sorted by the used part of their pledge, the emptiest first.
        self._order = sorted(
            (self._level(at), at) for at, room in enumerate(self._room) if room > 0
        )

    def _level(self, element: int) -> tuple[bool, bool, float]:
        state, pilots = self._elements[element], self._pilots[element]
        if state.pledge > 0:
            return state.has_just_failed, False, pilots / state.pledge
        return state.has_just_failed, True, float(pilots)

    def meet(self, unmet: Iterable[_Unmet]) -> None:
        """Start pilots for demands, one after another; communities take turns."""
        waiting: dict[str, list[_Unmet]] = {}
        for one in unmet:
            if one.jobs > 0 and one.demand.places:
                waiting.setdefault(self._community(one.demand), []).append(one)
        if len(waiting) > 1:
            while self._left > 0 and self._meet_by_turns(waiting):
                pass
            return
        for demands in waiting.values():
            for one in demands:
                while self._start_one(one, self._open) >= 0:
                    pass

    def _community(self, demand: Demand) -> str:
        """Return the community of these jobs: all their places belong to it."""
        return self._places[(demand.places & -demand.places).bit_length() - 1].community

    def _meet_by_turns(self, waiting: Mapping[str, list[_Unmet]]) -> bool:
        """Give each community its share of the room; return False if no room is left.

        The next call divides room that a community did not use.
        """
        queues = {
            name: deque(one for one in demands if one.jobs > 0 and one.demand.places & self._open)
            for name, demands in waiting.items()
        }
        turns = _Turns(self._levels({name: queue for name, queue in queues.items() if queue}))
        has_given = False
        while self._left > 0 and (name := turns.next()):
            queue, element = queues[name], -1
            while queue and element < 0:
                open_ = self._open & ~turns.closed[name]
                element = self._start_one(queue[0], open_)
                if element < 0:
                    queue.popleft()
            if element < 0:
                continue  # it has all that it may have in this call
            has_given = True
            if self._pilots_of[element][name] >= turns.most[name][element] - _HARDLY:
                turns.closed[name] |= self._bits_of[element]
            turns.had(name)
        return has_given

    def _levels(self, queues: Mapping[str, Iterable[_Unmet]]) -> "_Levels":
        """Return the most pilots of each waiting community at each element with room."""
        wants: dict[str, int] = {}
        for name, queue in queues.items():
            wants[name] = 0
            for one in queue:
                wants[name] |= one.demand.places & self._open
        found = _Levels({name: {} for name in wants}, dict.fromkeys(wants, 0), Counter())
        for element, room in enumerate(self._room):
            bits = self._bits_of[element]
            active = [name for name, wanted in wants.items() if wanted & bits] if room > 0 else ()
            if not active:
                continue
            shares, has = self._elements[element].shares, self._pilots_of[element]
            most = level({name: shares.get(name, 1.0) for name in active}, has, room)
            for name in active:
                found.most[name][element] = most[name]
                found.has[name] += has[name]
                if has[name] >= most[name] - _HARDLY:
                    found.closed[name] |= bits
        return found

    def tell_unmet(self, unmet: Iterable[_Unmet]) -> None:
        """Record the jobs for which there was no room."""
        for one in unmet:
            if one.jobs > 0:
                self.plan.unmet_jobs += one.jobs
                self.plan.unmet |= one.demand.places

    def _start_one(self, one: _Unmet, open_: int) -> int:
        """Start one pilot for a demand at one of these places, and return its element.

        Return -1 if the demand needs none, or there is no room.
        """
        if one.jobs <= 0 or self._left <= 0:
            return -1
        at = self._best(one.demand.places & open_)
        if at < 0:
            return -1
        one.jobs -= max(1, self._holds(at, one.demand))
        self._submit(at)
        return self._places[at].element

    def use_supply(self, demand: Demand) -> _Unmet:
        """Use queued pilots for a demand; return the jobs that still need one.

        Call it with all demands before the first new pilot is started.
        """
        jobs, slow = demand.jobs, demand.places & self._slow

        def holds(at: int) -> int:
            return self._holds(at, demand)

        if slow:
            jobs = self._supply.use(slow, jobs, holds)
            self._keep(slow, jobs, holds)
        jobs = self._supply.use(demand.places & ~slow, jobs, holds)
        unmet = self._late.use(slow, jobs, holds) if slow else jobs
        if unmet < jobs and demand.places & ~slow:
            others = msgspec.structs.replace(demand, places=demand.places & ~slow)
            self.elsewhere.append(_Unmet(others, jobs - unmet))
        return _Unmet(demand, unmet)

    def _keep(self, slow: int, jobs: int, holds: Callable[[int], int]) -> None:
        """Keep late pilots queued: at each element as many as the jobs need."""
        left = slow & self._kept.bits
        while left:
            at = (left & -left).bit_length() - 1
            here = left & self._bits_of[self._places[at].element]
            self._kept.use(here, jobs, holds)
            left &= ~here

    def _holds(self, at: int, demand: Demand) -> int:
        """Return how many jobs of a demand one pilot of a place runs at once."""
        place = self._places[at]
        if demand.whole_node:
            return 1
        number = place.cores // max(1, demand.cores)
        for has, asks in (
            (place.memory_mb, demand.memory_mb),
            (place.scratch_mb, demand.scratch_mb),
            (place.gpus, demand.gpus),
            *((place.amounts.get(name, 0), asks) for name, asks in demand.amounts),
        ):
            if has and asks:
                number = min(number, has // asks)
        return number

    def _best(self, bits: int) -> int:
        """Return the place whose element uses the least of its pledge; -1: none."""
        if not bits:
            return -1
        if bits.bit_count() <= FEW:
            return min(_places(bits), key=self._rank)
        for _, element in self._order:
            mine = bits & self._bits_of[element]
            if mine:
                return (mine & -mine).bit_length() - 1
        return -1

    def _rank(self, at: int) -> tuple[tuple[bool, bool, float], int]:
        return self._level(self._places[at].element), at

    def _submit(self, at: int) -> None:
        element = self._places[at].element
        level = (self._level(element), element)
        del self._order[bisect_left(self._order, level)]
        self._pilots[element] += 1
        self._pilots_of[element][self._places[at].community] += 1
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
        """Cancel queued pilots that no demand needs, a limited number at a time."""
        for at in _places(self._supply.bits | self._kept.bits):
            self._take_back_some(at, self._supply.pilots[at] + self._kept.pilots[at])

    def take_back_beyond_shares(self, unmet: Iterable[_Unmet]) -> None:
        """Cancel queued pilots of communities above their share at places without room.

        Cancel only as many as communities below their share wait for; a later plan starts theirs.
        """
        crowded = self._crowded()
        mine: dict[str, int] = {}
        for at in _places(crowded):
            name = self._places[at].community
            mine[name] = mine.get(name, 0) | 1 << at
        for one in unmet:
            jobs = one.jobs
            bits = one.demand.places & crowded if jobs > 0 else 0
            while bits and jobs > 0:
                at = (bits & -bits).bit_length() - 1
                place = self._places[at]
                here = self._bits_of[place.element]
                bits &= ~here
                held = max(1, self._holds(at, one.demand))
                made = self._make_room(place, ceil(jobs / held))
                if not made:  # the next demand gets no room either
                    crowded &= ~(here & mine[place.community])
                jobs -= held * made

    def _make_room(self, place: ElementShape, pilots: int) -> int:
        """Cancel queued pilots of other communities to make room for `pilots`; return how many."""
        element, state = place.element, self._elements[place.element]
        here = list(_places(self._bits_of[element]))
        made = Counter[str]()  # room that will soon be free
        for at in here:
            made[self._places[at].community] += self.plan.cancel.get(at, 0)
        missing, beyond = excess(state.shares, self._pilots_of[element], place.community, pilots)
        wanted = missing - state.leaving - made.total()
        done = 0
        for at in here:
            other = self._places[at].community
            left = self._places[at].queued - self.plan.cancel.get(at, 0)
            most = min(wanted - done, left, beyond.get(other, 0) - made[other])
            taken = self._take_back_some(at, most)
            made[other] += taken
            done += taken
        return done

    def _crowded(self) -> int:
        """Return the full places at elements with several communities."""
        return _bits(
            at
            for at, one in enumerate(self._places)
            if len(self._elements[one.element].shares) > 1 and self._is_crowded(one)
        )

    def _is_crowded(self, place: ElementShape) -> bool:
        element, state = place.element, self._elements[place.element]
        queued = state.queued + self._pilots[element] - (state.pilots or 0)
        if self._pilots[element] < state.pilots_max and queued < state.queued_max:
            return False
        why = why_none(place, state, self._bounds, 0, is_test=True)
        return why is None or why.by is PlaceBlocker.FULL

    def _take_back_some(self, at: int, number: int) -> int:
        """Cancel up to `number` pilots of a place, if allowed; return how many."""
        element = self._places[at].element
        if at in self.plan.submit:
            return 0
        number = min(number, self._cancel_left[element])
        if number <= 0:
            return 0
        self.plan.cancel[at] = self.plan.cancel.get(at, 0) + number
        self._cancel_left[element] -= number
        return number


def _room(element: ElementState) -> int:
    if element.pilots is None:
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
