"""Beside endless small jobs each larger one starts, whichever amount it has too little of."""

import heapq
from collections.abc import Sequence
from operator import add, sub
from typing import Any, Final

import pytest

from pilotage.matcher import Matcher
from pilotage.matcher.clauses.amounts import free_of, given_by, with_free
from pilotage.matcher.rules import Rules
from pilotage.matcher.types import Match
from pilotage.proto.documents.job import Need
from tests.matcher.invariants import check

from .makes import offer, spec

WALL_S: Final = 7_200
PILOT = offer(
    cores=8,
    memory_free_mb=16_000,
    scratch_free_mb=80_000,
    gpus=2,
    gpus_free=2,
    wall_left_s=1e7,
    amounts_free={"net": 100},
)
# What the small jobs ask for, and the large one. What it lacks is the only thing that runs out.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "cores": ({}, {"cores_min": 8}),
    "memory": ({"memory_mb": 2_000}, {"memory_mb": 16_000}),
    "memory beside free cores": ({"memory_mb": 4_000}, {"memory_mb": 16_000}),
    "memory per core": ({"memory_mb": 2_000}, {"cores_min": 2, "memory_per_core_mb": 8_000}),
    "scratch": ({"scratch_mb": 20_000}, {"scratch_mb": 80_000}),
    "GPUs": ({"gpus_min": 1}, {"gpus_min": 2}),
    "a named amount": ({"amounts": {"net": 25}}, {"amounts": {"net": 100}}),
    "a little more memory": ({"memory_mb": 2_000}, {"memory_mb": 2_500}),
    "all of it": (
        {"memory_mb": 2_000, "scratch_mb": 10_000},
        {"cores_min": 8, "memory_mb": 16_000, "scratch_mb": 80_000, "gpus_min": 2},
    ),
    "a whole node": ({"memory_mb": 2_000}, {"whole_node": True, "memory_per_core_mb": 2_000}),
}


def wait_s(small: Sequence[Need], large: Need) -> float:
    """Return how long one large job waits, which comes when small ones run all over a pilot.

    The pilot asks at each end of a job, and from time to time until the first ones end.
    """
    matcher = Matcher(Rules(reserve_after_s=600.0))
    matcher.add_class(spec(1, large, owner="bob"))
    for class_id, need in enumerate(small, start=2):
        matcher.add_class(spec(class_id, need, owner="ada"))
        matcher.add(class_id, 5, range(1_000 * class_id, 1_000 * class_id + 900))
    free = PILOT
    asks: list[tuple[float, int, Match | None]] = [(at * WALL_S / 13, at, None) for at in range(13)]
    came_s = 2.0 * WALL_S
    while asks and asks[0][0] < came_s + 10 * WALL_S:
        now, _, ended = heapq.heappop(asks)
        if ended is not None:
            matcher.ended(ended.job)
            free = with_free(free, map(add, free_of(free), given_by(ended.grant, free)))
        if now >= came_s and len(matcher) and 1 not in matcher:
            matcher.add(1, 5, [1])
        for match in matcher.match(free, 1 if now < WALL_S else 8, now):
            matcher.confirm(match.job)
            free = with_free(free, map(sub, free_of(free), given_by(match.grant, free)))
            heapq.heappush(asks, (now + WALL_S, match.job, match))
            if match.class_id == 1:
                check(matcher)
                return now - came_s
    return float("inf")


@pytest.mark.parametrize("case", CASES)
def test_a_job_that_fits_an_empty_pilot_starts_beside_endless_small_ones(case: str) -> None:
    small, large = CASES[case]

    assert wait_s([Need(wall_s=WALL_S, **small)], Need(wall_s=WALL_S, **large)) <= 3 * WALL_S


def test_jobs_for_gpus_that_fit_nowhere_keep_no_pilot_from_others() -> None:
    small = Need(wall_s=WALL_S, gpus_min=1, memory_mb=2_000)
    too_large = Need(wall_s=WALL_S, gpus_min=2, memory_mb=1_000_000)

    assert wait_s([small, too_large], Need(wall_s=WALL_S, memory_mb=16_000)) <= 3 * WALL_S
