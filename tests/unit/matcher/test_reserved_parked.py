"""A parked offer that is reserved: it is woken for what an ask would get, and for nothing else."""

import pytest

from pilotage.matcher import Matcher
from pilotage.matcher.rules import Rules
from pilotage.proto.documents.job import Need
from tests.matcher.invariants import check

from .makes import offer, spec

RUNS_S, AFTER_S = 10_000, 600.0
WIDE = Need(cores_min=4, memory_mb=14_000, wall_s=1_000)

WAITING = [
    # what waits, and whether a pilot gets it: 3 cores, 15 000 MB are free, 2 000 of these for long
    (Need(wall_s=50_000, memory_mb=5_000), False),  # more memory than the wide job leaves
    (Need(wall_s=50_000, memory_mb=1_000), True),  # long, in what it leaves
    (Need(wall_s=500, memory_mb=5_000, cores_min=3), True),  # ends before
    (Need(wall_s=50_000, cores_min=3), True),
    (Need(wall_s=500, cores_min=4), False),
]


@pytest.mark.parametrize(("need", "gets"), WAITING)
def test_a_reserved_offer_is_woken_exactly_for_jobs_that_an_ask_gets(
    need: Need, gets: bool
) -> None:
    matcher = Matcher(Rules(reserve_after_s=AFTER_S))
    whole = offer(cores=8, memory_free_mb=16_000, wall_left_s=1e6)
    matcher.add_class(spec(1, Need(cores_min=5, memory_mb=1_000, wall_s=RUNS_S)))
    matcher.add(1, 5, [1])
    (first,) = matcher.match(whole, 1, 0.0)
    matcher.confirm(first.job)
    matcher.add_class(spec(2, WIDE))
    matcher.add(2, 5, [2])
    rest = offer(cores=8, cores_free=3, memory_free_mb=15_000, wall_left_s=1e6)

    assert not matcher.match(rest, 4, AFTER_S + 1)
    assert matcher.reservations.by_pilot

    matcher.park(rest, 1, AFTER_S + 1)
    assert not matcher.wake(AFTER_S + 1)
    matcher.add_class(spec(3, need))
    matcher.add(3, 5, [3])
    check(matcher)

    assert matcher.has_work("p1", AFTER_S + 2) == gets
    assert [woken.job for woken in matcher.wake(AFTER_S + 2)] == [3] * gets

    check(matcher)
    matcher.withdraw("p1")

    assert [match.job for match in matcher.match(rest, 4, AFTER_S + 2)] == [3] * gets
