"""What a load is: pilots, classes of jobs, and when who submits how many."""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from pilotage.matcher.types import ClassSpec, LiveOffer, Match
from pilotage.proto.documents.job import PRIORITY_DEFAULT

HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0
WEEK_S: Final = 7 * DAY_S


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Pilots of one kind at one element: so many are alive at a time."""

    offer: LiveOffer  # a fresh pilot of this shape
    count: int

    @property
    def cores(self) -> int:
        return self.offer.cores * self.count


@dataclass(frozen=True, kw_only=True)
class LoadClass:
    """A class of jobs, and how long they really run."""

    spec: ClassSpec
    kind: str  # the row of the tables that it counts in
    typical_s: float  # median with the fewest cores; most requests are longer
    spread: float  # sigma of its logarithm
    priority: int = PRIORITY_DEFAULT

    @property
    def cores(self) -> int:
        return min(need.cores_min for need in self.spec.needs)

    @property
    def mean_core_s(self) -> float:
        """Core time of a job in the mean, where none reaches its request."""
        return self.cores * self.typical_s * math.exp(self.spread**2 / 2)


@dataclass(frozen=True)
class Arrival:
    """Jobs of one class that come at once."""

    at_s: float
    class_id: int
    jobs: int


@dataclass(frozen=True, kw_only=True, repr=False)
class Load:
    """Everything that one run needs; the same for each policy."""

    name: str
    seed: int
    length_s: float
    shapes: tuple[Shape, ...]
    classes: Mapping[int, LoadClass]
    arrivals: tuple[Arrival, ...]
    shares: Mapping[str, float]

    @property
    def cores(self) -> int:
        return sum(shape.cores for shape in self.shapes)

    @property
    def community(self) -> str:
        return next(iter(self.classes.values())).spec.community

    def weight(self, *path: str) -> float:
        """Return the share of a group or an owner."""
        return self.shares.get("/".join(path), 1.0)


def less(offer: LiveOffer, match: Match) -> LiveOffer:
    """Return what is free of an offer while the matched job runs on it."""
    return msgspec.structs.replace(
        offer,
        cores_free=offer.cores_free - match.grant.cores,
        memory_free_mb=offer.memory_free_mb - match.grant.memory_mb,
        scratch_free_mb=offer.scratch_free_mb - match.grant.scratch_mb,
        gpus_free=offer.gpus_free - match.grant.gpus,
    )


def more(offer: LiveOffer, match: Match) -> LiveOffer:
    """Return what is free of an offer after the matched job."""
    return msgspec.structs.replace(
        offer,
        cores_free=offer.cores_free + match.grant.cores,
        memory_free_mb=offer.memory_free_mb + match.grant.memory_mb,
        scratch_free_mb=offer.scratch_free_mb + match.grant.scratch_mb,
        gpus_free=offer.gpus_free + match.grant.gpus,
    )


def bursts(
    classes: Sequence[LoadClass],
    *,
    core_s: float,
    mean_jobs: float,
    length_s: float,
    chance: random.Random,
    at_start: float = 0.0,
) -> Iterable[Arrival]:
    """Yield submissions that add up to `core_s`, the last ones some hours before the end.

    Their sizes are log-normal and their times those of people at work; `at_start` of the whole is
    there from the first moment on.
    """
    left_s = core_s
    while left_s > 0:
        chosen = chance.choice(classes)
        jobs = max(1, round(chance.lognormvariate(math.log(mean_jobs) - 0.5, 1.0)))
        jobs = min(jobs, max(1, math.ceil(left_s / chosen.mean_core_s)))
        is_there = core_s - left_s < at_start * core_s
        yield Arrival(
            0.0 if is_there else _at_work(0.93 * length_s, chance), chosen.spec.class_id, jobs
        )
        left_s -= jobs * chosen.mean_core_s


def _at_work(length_s: float, chance: random.Random) -> float:
    """Return a time; nights and weekends (days 5 and 6) are quiet."""
    while True:
        at_s = chance.uniform(0.0, length_s)
        is_day = 8 <= at_s % DAY_S / HOUR_S < 19
        is_weekday = at_s // DAY_S % 7 < 5
        if chance.random() < (1.0 if is_day and is_weekday else 0.25):
            return at_s
