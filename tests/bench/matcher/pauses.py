"""The longest that one operation takes, which everybody else waits for."""

import random
import time
from collections.abc import Callable

import msgspec

from pilotage.matcher import Matcher
from pilotage.matcher.types import LiveOffer

from ..figures import Figure, figure
from .loads import SEED, Load, production
from .mixes import all_clauses, few_classes
from .steady import as_served

JOBS = 1_000_000
OPERATIONS = 300_000
CLASSES = 10_000


def run() -> list[Figure]:
    """Measure a mix of operations, a class that is emptied, and classes that come and go."""
    return [
        figure("matcher", "longest operation, 10^6 jobs of LHCb", mixed_ms(production(JOBS)), "ms"),
        figure("matcher", "longest operation, one class of 10^6", emptied_ms(), "ms"),
        figure("matcher", "longest operation, classes come and go", churned_ms(), "ms"),
    ]


class Longest:
    """The longest CPU time of a call: what other processes take away does not count."""

    def __init__(self) -> None:
        self.ms = 0.0

    def __call__(self, call: Callable[..., object], *words: object) -> None:
        began = time.thread_time_ns()
        call(*words)
        self.ms = max(self.ms, (time.thread_time_ns() - began) / 1e6)


def mixed_ms(load: Load) -> float:
    """Do everything that a dispatch does, in a random order."""
    matcher, chance, longest = load.matcher(), random.Random(SEED), Longest()
    jobs, bulks = load.next_job(), load.bulks
    for offer in load.offers:  # what is learnt of each kind once is no pause of the steady state
        for match in matcher.match(offer, 1, 0.0):
            matcher.put_back(match.job)
    as_served()
    running: list[int] = []
    for n in range(OPERATIONS):
        now, offer = 1.0 + n / 1_000, chance.choice(load.offers)
        word = chance.random()
        if word < 0.5:
            longest(_match, matcher, offer, now, running)
        elif word < 0.6:
            class_id, priority, _ = chance.choice(bulks)
            longest(matcher.add, class_id, priority, (next(jobs),))
        elif word < 0.7:
            job = chance.choice(chance.choice(bulks)[2])
            longest(matcher.remove, job)
        elif word < 0.8:
            job = chance.choice(chance.choice(bulks)[2])
            longest(matcher.set_priority, job, chance.randrange(11))
        elif word < 0.9:
            for match in matcher.match(offer, 1, now):
                longest(matcher.put_back, match.job)
        elif running:
            longest(matcher.ended, running.pop(), 1_000.0)
    return longest.ms


def _match(matcher: Matcher, offer: LiveOffer, now: float, running: list[int]) -> None:
    for match in matcher.match(offer, 1, now):
        matcher.confirm(match.job)
        running.append(match.job)


def emptied_ms() -> float:
    """Remove most of a class of a million jobs, one by one, in a random order."""
    load = few_classes(JOBS, 1)
    matcher, longest = load.matcher(), Longest()
    jobs = [job for _, _, its in load.bulks for job in its]
    random.Random(SEED).shuffle(jobs)
    as_served()
    for job in jobs[: JOBS * 9 // 10]:
        longest(matcher.remove, job)
    return longest.ms


def churned_ms() -> float:
    """Make and forget more classes than there are, one by one, with a million jobs waiting."""
    load = all_clauses(JOBS, CLASSES)
    matcher, longest, jobs = load.matcher(), Longest(), load.next_job()
    as_served()
    for n, job in zip(range(CLASSES + CLASSES // 10), jobs, strict=False):
        spec = msgspec.structs.replace(load.specs[n % CLASSES], class_id=CLASSES + n + 1)
        longest(matcher.add_class, spec)
        longest(matcher.add, spec.class_id, 5, (job,))
        longest(matcher.remove, job)
        longest(matcher.forget_class, spec.class_id)
    return longest.ms
