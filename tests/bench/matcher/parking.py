"""How long it takes from a new job to the parked pilot that is woken for it."""

import time

import msgspec

from pilotage.matcher import Matcher
from pilotage.matcher.types import LiveOffer

from ..figures import Figure, figure, percentile
from .loads import Load, production
from .steady import as_served

PARKED = 20_000
JOBS = 5_000


def run() -> list[Figure]:
    """Add jobs one at a time while 20 000 pilots are parked; a woken pilot takes it and parks."""
    load = production(1_000)
    matcher = Matcher(load.rules)
    for spec in load.specs:
        matcher.add_class(spec)
    offers = {offer.pilot: offer for offer in many_offers(load, PARKED)}
    for offer in offers.values():
        matcher.park(offer, 1, 0.0)
    matcher.wake(0.0)
    as_served()
    times: list[float] = []
    now, classes = 1.0, [spec.class_id for spec in load.specs]
    for job in range(1, JOBS + len(classes)):
        now += 0.01
        if job == len(classes):
            times.clear()  # each class has been looked for once
        began = time.thread_time_ns()
        matcher.add(classes[job % len(classes)], 5, (job,))
        woken = matcher.wake(now)
        times.append((time.thread_time_ns() - began) / 1_000)
        for one in woken:
            offer = offers[one.pilot]
            for match in matcher.match(offer, 1, now):
                matcher.confirm(match.job)
                matcher.ended(match.job)
            matcher.park(offer, 1, now)
    return [
        figure("matcher", "new job → one of 20 000 parked offers", sum(times) / JOBS, "µs"),
        figure("matcher", "new job → parked offer, p99", percentile(times, 0.99), "µs"),
    ]


def many_offers(load: Load, count: int) -> list[LiveOffer]:
    """Return offers of so many pilots."""
    return [
        msgspec.structs.replace(
            load.offers[n % len(load.offers)],
            pilot=f"pilot{n}",
            wall_left_s=3_600.0 + 97.0 * (n * 7_919 % 12_000),
        )
        for n in range(count)
    ]
