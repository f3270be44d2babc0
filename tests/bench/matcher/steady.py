"""A steady state: what is matched is confirmed, ends later, and as much is submitted anew."""

import gc
import random
import time
from collections import Counter, deque

import msgspec

from pilotage.matcher.types import LiveOffer, Match

from ..figures import percentile
from .loads import SEED, Load

RUNNING = 10_000  # attempts at a time
ROUND = 1_000  # asks between two submissions
ASK_S = 0.001  # of the caller's clock, between two asks
USED = 0.7  # of what a match gave


def as_served() -> None:
    """Set the collector of garbage as `pilotage serve` does."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


class Steady:
    """A matcher under a steady load."""

    def __init__(self, load: Load, *, refills: bool = True) -> None:
        self.matcher = load.matcher()
        self.now = 1_000.0
        self.matches = 0
        self._offers = load.offers
        self._chance = random.Random(SEED)
        self._running: deque[Match] = deque()
        self._taken: list[Match] = []
        self._next = next(load.next_job())
        self._refills = refills
        as_served()
        self._round([self._later(offer) for offer in self._offers])  # each pilot has asked before

    def rate(self, rounds: int) -> float:
        """Return matches per second over all that they cost: match, confirm, ended, add."""
        took, before = 0.0, self.matches
        for _ in range(rounds):
            asks = self._asks()
            began = time.thread_time()
            self._round(asks)
            took += time.thread_time() - began
        return (self.matches - before) / took

    def calls_us(self, rounds: int) -> list[float]:
        """Return how long each call of `match` took."""
        times: list[float] = []
        for _ in range(rounds):
            for ask in self._asks():
                self.now += ASK_S
                began = time.thread_time_ns()
                matches = self.matcher.match(ask, 1, self.now)
                times.append((time.thread_time_ns() - began) / 1_000)
                self._take(matches)
            self._refill()
        return times

    def p99_us(self, rounds: int) -> float:
        return percentile(self.calls_us(rounds), 0.99)

    def _round(self, asks: list[LiveOffer]) -> None:
        match, now = self.matcher.match, self.now
        for ask in asks:
            now += ASK_S
            self._take(match(ask, 1, now))
        self.now = now
        self._refill()

    def _asks(self) -> list[LiveOffer]:
        """Return asks of pilots whose capacity and time left are not what they last said."""
        return [self._later(self._chance.choice(self._offers)) for _ in range(ROUND)]

    def _later(self, offer: LiveOffer) -> LiveOffer:
        chance = self._chance.random()
        return msgspec.structs.replace(
            offer,
            cores_free=1 + int((offer.cores_free - 1) * chance),
            memory_free_mb=int(offer.memory_free_mb * (0.5 + chance / 2)),
            wall_left_s=offer.wall_left_s * (0.5 + chance / 2),
            # As from a message: equal, but not the same, so that nothing of them is known.
            tags=frozenset(tuple(offer.tags)),
            node=msgspec.structs.replace(offer.node),
        )

    def _take(self, matches: list[Match]) -> None:
        running, matcher = self._running, self.matcher
        for match in matches:
            matcher.confirm(match.job)
            self._taken.append(match)
            running.append(match)
            if len(running) > RUNNING:
                old = running.popleft()
                matcher.ended(old.job, USED * old.grant.cores * old.grant.wall_s)

    def _refill(self) -> None:
        """Submit as many jobs of each class as were taken."""
        self.matches += len(self._taken)
        gone = Counter([(match.class_id, match.priority) for match in self._taken])
        self._taken.clear()
        if self._refills:
            for (class_id, priority), count in gone.items():
                self.matcher.add(class_id, priority, range(self._next, self._next + count))
                self._next += count
