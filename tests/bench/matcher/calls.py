"""What each call of the matcher costs, with the waiting jobs of LHCb."""

import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pilotage.matcher.types import LiveOffer, Match

from ..figures import Figure, figure
from .loads import SEED, production
from .steady import as_served

T = TypeVar("T")

TIMES = 20_000
NOW = 1.0


def run() -> list[Figure]:
    """Measure each call by itself, many times in a row."""
    load, chance = production(), random.Random(SEED)
    matcher, jobs = load.matcher(), load.next_job()
    asks = [chance.choice(load.offers) for _ in range(TIMES)]
    for ask in load.offers:  # what is learnt of each kind of offer once
        for one in matcher.match(ask, 1, NOW):
            matcher.put_back(one.job)
    as_served()
    found: list[Match] = []

    def match(ask: LiveOffer) -> None:
        found.extend(matcher.match(ask, 1, NOW))

    def add(class_id: int) -> None:
        matcher.add(class_id, 5, (next(jobs),))

    def set_priority(job: int) -> None:
        matcher.set_priority(job, 6)

    def park(ask: LiveOffer) -> None:
        matcher.park(ask, 1, NOW)
        matcher.withdraw(ask.pilot)

    its = list[tuple[str, float]]()
    its.append(("match(), one job", mean_us(match, asks)))
    half = len(found) // 2
    its.append(("put_back()", mean_us(matcher.put_back, [one.job for one in found[:half]])))
    matched = [one.job for one in found[half:]]
    its.append(("confirm()", mean_us(matcher.confirm, matched)))
    its.append(("ended()", mean_us(lambda job: matcher.ended(job, 1_000.0), matched)))
    its.append(("add(), one job", mean_us(add, [one.class_id for one in found])))
    waiting = [chance.choice(chance.choice(load.bulks)[2]) for _ in range(TIMES)]
    waiting = [job for job in dict.fromkeys(waiting) if job in matcher]
    its.append(("set_priority()", mean_us(set_priority, waiting)))
    its.append(("remove()", mean_us(matcher.remove, waiting)))
    its.append(("park() and withdraw()", mean_us(park, asks)))
    return [figure("matcher", name, took, "µs") for name, took in its]


def mean_us(call: Callable[[T], object], given: Sequence[T]) -> float:
    """Return how long a call takes on average."""
    began = time.thread_time()
    for one in given:
        call(one)
    return (time.thread_time() - began) * 1e6 / len(given)
