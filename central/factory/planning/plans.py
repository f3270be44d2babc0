"""How many pilots to start where, and how many that wait there to take back. Pure.

A *place* is a shape of pilots of one community at an element: so many cores, so much memory, so
much time. What waits is told as *demands*: jobs that the same places could run. Jobs with the least
choice of places are seen to first. What is on its way to a place counts as if it were there; for
the rest new pilots are spread so that the elements' pilots stand to each other as their pledges do.

Pilots of several communities come by turns: at each element each community has its share, counting
what it has there already, and what one does not ask for goes to the others. Where an element is
full, and who has less than its share waits, pilots in the queue of who has more are taken back.

What is not known is not nothing: an element that has not said what it has gets no pilot, and loses
none. Where pilots found no work though there was some, a place is *in doubt*: what is on its way
there is not counted on, nor taken back.

A queue may stand still. Pilots that have been in one for long are hardly counted on: for the jobs
that they are for, other elements get pilots as well, and who comes first has the job. They wait on
as long as there are such jobs. The elements of such pilots get no further ones for the same jobs,
so that each job has at most one pilot on its way at each element.

Why a place gets no pilot is said by one function, which planning asks too: what people are told is
what is done.
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

_HARDLY: Final = 1e-9  # so little of a pilot is none
FEW = 16  # places that are looked at one by one


@dataclass(frozen=True)
class ElementShape:
    """A shape of pilots at an element. A whole node has the cores that its nodes are known for."""

    element: int  # its number in the list of elements
    cores: int
    memory_mb: int = 0  # 0: not known, and so no bound
    scratch_mb: int = 0  # the same
    gpus: int = 0
    amounts: Mapping[str, int] = field(default_factory=dict[str, int])  # named ones
    community: str = ""  # whose pilots these are
    queued: int = 0  # pilots that were submitted and have not asked for work yet
    late: int = 0  # of these, those that waited too long to be counted on
    room: int | None = None  # how many more at most; None: as many as its element takes
    in_doubt: bool = False  # its last pilots found no work though there was some
    held: str = ""  # why it has so little room, as "is suspended: …"


@dataclass(frozen=True)
class ElementState:
    """What is known of an element when a plan is made."""

    name: str
    pledge: float = 1.0  # its part of what several elements could run; 0: takes what is left
    pilots: int | None = 0  # all that were submitted and have not ended; None: not known
    queued: int = 0  # of these, those that have not started
    leaving: int = 0  # of these, those that were taken back and are there still
    pilots_of: Mapping[str, int] = field(default_factory=dict[str, int])  # by community
    shares: Mapping[str, float] = field(default_factory=dict[str, float])  # where not said: 1
    pilots_max: int = 0
    queued_max: int = 0
    submit_max: int = 0  # in one plan
    cancel_max: int = 0  # in one plan
    is_enabled: bool = True  # by its file
    is_banned: bool = False  # only jobs of type Test run there
    is_draining: bool = False
    pause_s: float = 0.0  # for so long it gets none
    trouble: str = ""  # what it said that it has a pause for, or is not known
    has_just_failed: bool = False  # it comes after those that did not


class Demand(msgspec.Struct, frozen=True):
    """Jobs that wait and that the same places could run. `places` has a bit for each."""

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
    """How much one plan may change in all: what the settings say of all elements together."""

    submit_max: int = 500
    pilots_max: int = 100_000


class PlaceBlocker(Enum):
    """What keeps pilots from a place."""

    FILE = "its site's file"
    OPERATOR = "an operator"
    TROUBLE = "it does not do as it is asked"
    HELD = "what its pilots did"
    LIMIT = "a limit that lets none come, however few are there"
    FULL = "it has as many as it may"


class ClosedReason(NamedTuple):
    """Why a place gets no pilot now: what is said of it, as "is full: …"."""

    by: PlaceBlocker
    why: str


def why_none(
    place: ElementShape, element: ElementState, bounds: PlanBounds, in_all: int, *, is_test: bool
) -> ClosedReason | None:
    """Return why a place gets no pilot now; None: it does, where jobs want it.

    `in_all`: the pilots of all elements. `is_test`: it is for jobs of type Test.
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
        said = element.trouble or "it was not asked yet"
        return ClosedReason(PlaceBlocker.TROUBLE, f"does not say what it has: {said}")
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
        return ClosedReason(PlaceBlocker.FULL, f"is full: {pilots} of {element.pilots_max} pilots")
    if queued >= element.queued_max:
        why = f"has a full queue: {queued} of {element.queued_max} pilots wait in it"
        return ClosedReason(PlaceBlocker.FULL, why)
    if in_all >= bounds.pilots_max:
        why = f"has to wait: all sites have {in_all} pilots, factory.pilots_max is"
        return ClosedReason(PlaceBlocker.LIMIT, f"{why} {bounds.pilots_max}")
    return None


def pilots_in_all(elements: Iterable[ElementState]) -> int:
    """Return how many pilots are known of."""
    return sum(one.pilots or 0 for one in elements)


@dataclass
class FactoryPlan:
    """What is to be done: numbers of pilots by place."""

    submit: dict[int, int] = field(default_factory=dict[int, int])
    cancel: dict[int, int] = field(default_factory=dict[int, int])
    unmet_jobs: int = 0  # that no place has room for now
    unmet: int = field(default=0, compare=False)  # the places that could run them, as bits


def plan(
    places: Sequence[ElementShape],
    elements: Sequence[ElementState],
    demands: Iterable[Demand],
    bounds: PlanBounds,
) -> FactoryPlan:
    """Return how many pilots to submit and to cancel where."""
    planning = _Planning(places, elements, bounds)
    waiting = [planning.use_supply(demand) for demand in sorted(demands, key=_least_choice_first)]
    planning.meet(waiting)
    planning.meet(planning.elsewhere)
    planning.tell_unmet(waiting)
    planning.take_back()
    planning.take_back_beyond_shares(waiting)
    return planning.plan


def merged(demands: Iterable[Demand]) -> list[Demand]:
    """Return the demands with those as one that differ in nothing but their number of jobs."""
    jobs: dict[Demand, int] = {}
    for one in demands:
        alike = msgspec.structs.replace(one, jobs=0)
        jobs[alike] = jobs.get(alike, 0) + one.jobs
    return [msgspec.structs.replace(alike, jobs=number) for alike, number in jobs.items()]


def _least_choice_first(demand: Demand) -> tuple[int, int, int]:
    return demand.places.bit_count(), -demand.cores, -demand.memory_mb


@dataclass(slots=True)
class _Unmet:
    """Jobs of a demand for which no pilot is on its way."""

    demand: Demand
    jobs: int


class _Supply:
    """Pilots on their way that nothing needs yet, by place."""

    def __init__(self, pilots: Iterable[int]) -> None:
        self.pilots = list(pilots)
        self.bits = _bits(at for at, count in enumerate(self.pilots) if count > 0)

    def use(self, bits: int, jobs: int, holds: Callable[[int], int]) -> int:
        """Give jobs what some places have; return the number of jobs for which it is not enough.

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
    """Up to how many pilots communities may have at elements when room is divided."""

    most: dict[str, dict[int, float]]  # community → element → pilots
    closed: dict[str, int]  # community → places of elements where it has as many
    has: Counter[str]  # at all of these


class _Turns:
    """Communities, each time the one that has the least of what it may have in all."""

    def __init__(self, levels: _Levels) -> None:
        self.most, self.closed, self._has = levels.most, levels.closed, levels.has
        self._whole = {name: max(sum(one.values()), _HARDLY) for name, one in self.most.items()}
        self._order = [(self._level(name), name) for name in self.most]
        heapify(self._order)

    def next(self) -> str:
        """Return whose turn it is; it has no further one before `had`. Empty: nobody's."""
        return heappop(self._order)[1] if self._order else ""

    def had(self, name: str) -> None:
        """It has got a pilot."""
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
        self._late = _Supply(late)  # for which other pilots are to be started
        self._kept = _Supply(late)  # that are to be taken back
        self.elsewhere: list[_Unmet] = []  # jobs that are to have other pilots than those
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
        self._slow = 0  # the places of elements with such pilots
        for at in _places(self._late.bits):
            self._slow |= self._bits_of[places[at].element]
        self._room_at = {at: one.room for at, one in enumerate(places) if one.room is not None}
        self._open = _bits(
            at
            for at, one in enumerate(places)
            # Demands know for whom a banned element is: tests may want it.
            if why_none(one, elements[one.element], bounds, in_all, is_test=True) is None
        )
        # Elements with room by how much of their pledge they have, the emptiest first.
        self._order = sorted(
            (self._level(at), at) for at, room in enumerate(self._room) if room > 0
        )

    def _level(self, element: int) -> tuple[bool, bool, float]:
        state, pilots = self._elements[element], self._pilots[element]
        if state.pledge > 0:
            return state.has_just_failed, False, pilots / state.pledge
        return state.has_just_failed, True, float(pilots)

    def meet(self, unmet: Iterable[_Unmet]) -> None:
        """Give demands new pilots, one demand after the other; of several communities by turns."""
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
        """Return whose jobs these are: their places are of one community."""
        return self._places[(demand.places & -demand.places).bit_length() - 1].community

    def _meet_by_turns(self, waiting: Mapping[str, list[_Unmet]]) -> bool:
        """Give each community what its shares are of the room that there is; False: none is left.

        Room that one does not use after all is divided anew by the next call.
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
                continue  # this time it has all that it may have
            has_given = True
            if self._pilots_of[element][name] >= turns.most[name][element] - _HARDLY:
                turns.closed[name] |= self._bits_of[element]
            turns.had(name)
        return has_given

    def _levels(self, queues: Mapping[str, Iterable[_Unmet]]) -> "_Levels":
        """Return how many pilots who wants some may have at each element where there is room."""
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
        """Say for which jobs there was no room."""
        for one in unmet:
            if one.jobs > 0:
                self.plan.unmet_jobs += one.jobs
                self.plan.unmet |= one.demand.places

    def _start_one(self, one: _Unmet, open_: int) -> int:
        """Give a demand one new pilot at one of these places, and return its element.

        -1: it needs none, or there is no room for it.
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
        """Give a demand what is on its way; return for how many jobs that is not enough.

        Call it with all demands before the first new pilot is given.
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
        """Let pilots that are late wait on: at each element as many as the jobs need."""
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
        """Cancel pilots that wait for their element and that no demand needs, some at a time."""
        for at in _places(self._supply.bits | self._kept.bits):
            self._take_back_some(at, self._supply.pilots[at] + self._kept.pilots[at])

    def take_back_beyond_shares(self, unmet: Iterable[_Unmet]) -> None:
        """Cancel pilots that wait where there is no room, of who has more than its share.

        Only as many as others wait for who have less than theirs; these come in a later plan.
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
                if not made:  # nor for the next demand
                    crowded &= ~(here & mine[place.community])
                jobs -= held * made

    def _make_room(self, place: ElementShape, pilots: int) -> int:
        """Take back pilots of others that wait, for so many of a place; return how many."""
        element, state = place.element, self._elements[place.element]
        here = list(_places(self._bits_of[element]))
        made = Counter[str]()  # room that there soon is
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
        """Return the places of elements with several communities that only fullness keeps shut."""
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
        """Cancel so many pilots of a place, if that may be; return how many."""
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
