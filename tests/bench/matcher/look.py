"""How long an explanation takes."""

import time

from ..figures import Figure, figure, percentile
from .loads import production
from .parking import many_offers
from .steady import as_served

OFFERS = 20_000
NOW = 1_000.0


def run() -> list[Figure]:
    """Explain a job of each class against 20 000 live offers."""
    load = production()
    matcher = load.matcher()
    offers = many_offers(load, OFFERS)
    first = {class_id: jobs[0] for class_id, _, jobs in reversed(load.bulks)}
    as_served()
    times: list[float] = []
    for spec in load.specs[::10]:
        began = time.thread_time()
        matcher.explain(first[spec.class_id], spec, offers, NOW)
        times.append((time.thread_time() - began) * 1_000)
    return [
        figure("matcher", "explain a job against 20 000 offers", percentile(times, 0.5), "ms"),
        figure("matcher", "explain, the slowest class", max(times), "ms"),
    ]
