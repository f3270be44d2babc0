"""One load under one policy: pilots ask, jobs come, run and end, in virtual time."""

import heapq
import math
import operator
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec

from pilotage.matcher.clauses.amounts import AMOUNTS, AmountVector, due, free_of, with_free
from pilotage.matcher.types import LiveOffer, Match

from .load import Arrival, Load, LoadClass, Shape, less, more
from .measures import BIN_S, Outcome, OwnerKey, Waits, spread_over
from .policies import ExactRule, Policy

ASK_AGAIN_S: Final = 600.0  # a parked pilot asks by itself
TAKE_UP_S: Final = 0.2  # from a wake-up to the ask
GAP_S: Final = 240.0  # mean time from a pilot's end until its batch system starts the next one
LOOK_S: Final = 900.0  # how often idle cores are held against what waits


@dataclass(eq=False)
class Pilot:
    """A slot of the batch system, with the pilot that lives in it."""

    name: str
    shape: Shape
    offer: LiveOffer  # what is free; the wall time is that of its start
    life: int = 0
    until_s: float = 0.0
    asks: int = 0
    jobs: int = 0

    def live_offer(self, now: float) -> LiveOffer:
        return msgspec.structs.replace(self.offer, wall_left_s=self.until_s - now)


@dataclass
class Jobs:
    """What is known of each job, by its number."""

    class_ids: list[int] = field(default_factory=list[int])
    came_s: list[float] = field(default_factory=list[float])
    work_s: list[float] = field(default_factory=list[float])  # with the fewest cores


class Play:
    """One run. The same seed gives the same pilots, jobs and times to each policy."""

    def __init__(self, load: Load, policy: Policy, name: str) -> None:
        self.load, self.policy = load, policy
        self.now = 0.0
        self.rule = ExactRule(load)
        self.jobs = Jobs()
        self.waiting: dict[int, int] = {}  # class → how many; only classes with any
        self.pilots: dict[str, Pilot] = {}
        self._chance_of_jobs = random.Random(load.seed)
        self._chance_of_pilots = random.Random(load.seed + 1)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._made = 0
        self._hungry: dict[OwnerKey, tuple[int, float]] = {}  # waiting jobs, since when for nothing
        bins = math.ceil(load.length_s / BIN_S)
        owners = sorted({owner_of(known) for known in load.classes.values()})
        self.outcome = Outcome(load=load, policy=name)
        self.outcome.wanted_then = {owner: [0.0] * bins for owner in owners}
        self.outcome.got_then = {owner: [0.0] * bins for owner in owners}
        self.outcome.waits = {known.kind: Waits() for known in load.classes.values()}

    def run(self) -> Outcome:
        """Play the whole length and return what is to be said of it."""
        self._begin()
        while self._events and self._events[0][0] <= self.load.length_s:
            self.now, _, happens = heapq.heappop(self._events)
            happens()
        self.now = self.load.length_s
        self._finish()
        return self.outcome

    def _begin(self) -> None:
        for known in self.load.classes.values():
            self.policy.add_class(known.spec)
        for arrival in self.load.arrivals:
            self._later(arrival.at_s, partial(self._arrival, arrival))
        for shape in self.load.shapes:
            for number in range(shape.count):
                name = f"{shape.offer.site}.{shape.offer.element}.{number}"
                pilot = Pilot(name, shape, msgspec.structs.replace(shape.offer, pilot=name))
                self.pilots[name] = pilot
        for pilot in self.pilots.values():  # in the middle of their lives, as in any week
            wall_s = pilot.shape.offer.wall_left_s
            self._next_life(pilot, self._chance_of_pilots.uniform(0.0, wall_s), at_once=False)
        self._later(LOOK_S, self._look)

    def _later(self, at_s: float, happens: Callable[[], None]) -> None:
        self._made += 1
        heapq.heappush(self._events, (at_s, self._made, happens))

    # -- pilots -----------------------------------------------------------------------------------

    def _next_life(self, pilot: Pilot, wall_s: float, *, at_once: bool = True) -> None:
        """A new pilot starts in the slot."""
        pilot.life += 1
        pilot.until_s = self.now + wall_s
        # A second later, so that jobs which use all of it have ended.
        self._later(pilot.until_s + 1.0, partial(self._end_of_life, pilot, pilot.life))
        alive_s = min(pilot.until_s, self.load.length_s) - self.now
        self.outcome.alive_core_s += pilot.offer.cores * alive_s
        if at_once:
            self._ask(pilot)
        else:
            self._later(self.now + 1.0, partial(self._ask_again, pilot, pilot.life, pilot.asks))

    def _end_of_life(self, pilot: Pilot, life: int) -> None:
        """The pilot is over; its batch system starts another one after a while."""
        if pilot.life != life:
            return
        assert not pilot.jobs, "a job ran beyond the wall time of its pilot"
        self.policy.withdraw(pilot.name)
        self.outcome.alive_core_s -= pilot.offer.cores * max(
            0.0, min(pilot.until_s, self.load.length_s) - self.now
        )
        pilot.life += 1
        pilot.until_s = self.now
        gap_s = self._chance_of_pilots.expovariate(1 / GAP_S)
        wall_s = pilot.shape.offer.wall_left_s
        self._later(self.now + gap_s, partial(self._next_life, pilot, wall_s))

    def _ask(self, pilot: Pilot) -> None:
        """Ask with what is free, start what comes, and park what is left."""
        pilot.asks += 1
        self.policy.withdraw(pilot.name)
        offer = pilot.live_offer(self.now)
        if offer.wall_left_s <= 0 or not offer.cores_free:
            return
        for match in self.policy.match(offer, offer.cores_free, self.now):
            self._start(pilot, match)
        if pilot.offer.cores_free:
            self.policy.park(pilot.live_offer(self.now), pilot.asks, self.now)
            self._later(
                self.now + ASK_AGAIN_S, partial(self._ask_again, pilot, pilot.life, pilot.asks)
            )

    def _ask_again(self, pilot: Pilot, life: int, ask: int) -> None:
        if (pilot.life, pilot.asks) == (life, ask):
            self._ask(pilot)
            wall_s = pilot.shape.offer.wall_left_s
            if not pilot.jobs and pilot.until_s - self.now < wall_s / 2:
                self._end_of_life(pilot, life)  # what is left of it is of no use

    def _wake(self) -> None:
        for parked in self.policy.wake(self.now):
            pilot = self.pilots[parked.pilot]
            self._later(
                self.now + TAKE_UP_S, partial(self._ask_again, pilot, pilot.life, parked.ask)
            )

    # -- jobs -------------------------------------------------------------------------------------

    def _arrival(self, arrival: Arrival) -> None:
        known = self.load.classes[arrival.class_id]
        first = len(self.jobs.class_ids)
        owner = owner_of(known)
        wanted = self.outcome.wanted_then[owner]
        for _ in range(arrival.jobs):
            work_s = known.typical_s * self._chance_of_jobs.lognormvariate(0.0, known.spread)
            work_s = min(work_s, min(need.wall_s for need in known.spec.needs))
            self.jobs.class_ids.append(arrival.class_id)
            self.jobs.came_s.append(self.now)
            self.jobs.work_s.append(work_s)
            wanted[int(self.now // BIN_S)] += work_s * known.cores
        self.waiting[arrival.class_id] = self.waiting.get(arrival.class_id, 0) + arrival.jobs
        count, since_s = self._hungry.get(owner, (0, self.now))
        self._hungry[owner] = (count + arrival.jobs, since_s if count else self.now)
        self.policy.add(arrival.class_id, known.priority, range(first, first + arrival.jobs))
        self._wake()

    def _start(self, pilot: Pilot, match: Match) -> None:
        self.policy.confirm(match.job)
        known = self.load.classes[match.class_id]
        pilot.offer = less(pilot.offer, match)
        free = (pilot.offer.cores_free, pilot.offer.memory_free_mb, pilot.offer.gpus_free)
        assert min(free) >= 0, "more was given than was free"
        pilot.jobs += 1
        runs_s = self.jobs.work_s[match.job] * known.cores / match.grant.cores
        self._later(self.now + runs_s, partial(self._ended, pilot, match, runs_s))
        self._count_start(known, match, runs_s)

    def _count_start(self, known: LoadClass, match: Match, runs_s: float) -> None:
        outcome = self.outcome
        owner = owner_of(known)
        end_s = min(self.now + runs_s, self.load.length_s)
        outcome.busy_core_s += match.grant.cores * (end_s - self.now)
        for amount in AMOUNTS:
            given = getattr(match.grant, amount.given)
            outcome.busy[amount.given] += given * (end_s - self.now)
        spread_over(outcome.got_then[owner], self.now, end_s, match.grant.cores)
        outcome.started += 1
        waits = outcome.waits[known.kind]
        waits.started += 1
        waits.waits_s.append(self.now - self.jobs.came_s[match.job])
        self.jobs.came_s[match.job] = -1.0
        self.waiting[match.class_id] -= 1
        if not self.waiting[match.class_id]:
            del self.waiting[match.class_id]
        count, since_s = self._hungry[owner]
        outcome.dry_s[owner] = max(outcome.dry_s.get(owner, 0.0), self.now - since_s)
        self._hungry[owner] = (count - 1, self.now)

    def _ended(self, pilot: Pilot, match: Match, runs_s: float) -> None:
        self.policy.ended(match.job, runs_s * match.grant.cores)
        pilot.offer = more(pilot.offer, match)
        pilot.jobs -= 1
        self._ask(pilot)

    # -- measures ---------------------------------------------------------------------------------

    def _look(self) -> None:
        """Hold idle cores against what waits: each waiting job can fill cores once."""
        self._wake()
        left = dict(self.waiting)
        for pilot in self.pilots.values():
            offer = pilot.live_offer(self.now)
            if offer.cores_free and offer.wall_left_s > 0:
                filled = self._fillable(offer, left)
                self.outcome.wasted_core_s += LOOK_S * filled[0]
                for amount, its in zip(AMOUNTS, filled, strict=True):
                    self.outcome.wasted[amount.given] += LOOK_S * its
        self._later(self.now + LOOK_S, self._look)

    def _fillable(self, offer: LiveOffer, left: dict[int, int]) -> AmountVector:
        """Return how much of what is free of an offer waiting jobs could fill; they are used up."""
        before = free_of(offer)
        for class_id in self.rule.able(offer) & left.keys():
            needs = self.load.classes[class_id].spec.needs
            while left[class_id] and (place := self.rule.place(class_id, offer)) is not None:
                left[class_id] -= 1
                takes = due(needs[place], offer)
                offer = with_free(offer, map(operator.sub, free_of(offer), takes))
            if not left[class_id]:
                del left[class_id]
        return tuple(map(operator.sub, before, free_of(offer)))

    def _finish(self) -> None:
        for job, came_s in enumerate(self.jobs.came_s):
            if came_s >= 0:
                waits = self.outcome.waits[self.load.classes[self.jobs.class_ids[job]].kind]
                waits.waiting += 1
                waits.waits_s.append(self.now - came_s)
        for owner, (count, since_s) in self._hungry.items():
            if count:
                dry_s = self.outcome.dry_s.get(owner, 0.0)
                self.outcome.dry_s[owner] = max(dry_s, self.now - since_s)


def owner_of(known: LoadClass) -> OwnerKey:
    return known.spec.group, known.spec.owner
