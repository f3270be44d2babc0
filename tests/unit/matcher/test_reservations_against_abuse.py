"""Reservations take nothing from others: shares, limits, bans and other communities hold."""

import heapq
import random

import msgspec
import pytest

from pilotage.matcher import Matcher
from pilotage.matcher.reservations.reservation_table import OF_AN_OWNER_MAX
from pilotage.matcher.rules import Rules, RunningLimit, StartLimit
from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.documents.job import Need
from tests.matcher.invariants import check

from .makes import offer, spec

HOUR_S, DAY_S = 3_600.0, 86_400.0
RULES = Rules(reserve_after_s=600.0)


def wide(class_id: int, owner: str, cores: int = 8, wall_s: int = 1_000, **more: str) -> ClassSpec:
    return spec(class_id, Need(cores_min=cores, wall_s=wall_s), owner=owner, **more)


def narrow(class_id: int, owner: str, wall_s: int, **more: str) -> ClassSpec:
    return spec(class_id, Need(wall_s=wall_s), owner=owner, **more)


def eight(pilot: str = "p1", cores_free: int = 8, community: str = "ctao") -> LiveOffer:
    there = offer(pilot, cores=8, cores_free=cores_free, wall_left_s=400 * DAY_S)
    return msgspec.structs.replace(there, community=community)


def start(matcher: Matcher, there: LiveOffer, now: float, jobs_max: int = 8) -> list[int]:
    """Return the classes of the jobs that an offer gets and starts."""
    found = matcher.match(there, jobs_max, now)
    for match in found:
        matcher.confirm(match.job)
    return [match.class_id for match in found]


def held_by(matcher: Matcher) -> list[int]:
    """Return the class of each reservation."""
    return sorted(held.class_id for held in matcher.reservations.by_pilot.values())


def with_one_job(rules: Rules, its: ClassSpec, wall_s: float = HOUR_S) -> Matcher:
    """Return a matcher that has one job of another owner on a pilot of eight cores for a time."""
    matcher = Matcher(rules)
    matcher.add_class(narrow(1, "ada", int(wall_s), type="Test"))
    matcher.add(1, 5, [1])
    assert start(matcher, eight(), 0.0, 1) == [1]
    matcher.add_class(its)
    matcher.add(its.class_id, 5, range(1_000, 1_010))
    return matcher


# -- shares -------------------------------------------------------------------------------------


def parts_of(classes: int, reserve_after_s: float) -> float:
    """Return the part of ten pilots that Bob gets with so many two-core classes, beside Ada."""
    matcher = Matcher(Rules(reserve_after_s=reserve_after_s, ahead_core_s=20_000.0))
    for number in range(classes):
        matcher.add_class(wide(2 + number, "bob", 2, 3_600 + number))
        first = 10_000 * (number + 1)
        matcher.add(2 + number, 5, range(first, first + 1_500 // classes))
    matcher.add_class(narrow(1, "ada", 20_000))
    matcher.add(1, 5, range(1, 1_000))
    chance, used = random.Random(1), {True: 0.0, False: 0.0}
    free = dict.fromkeys([f"p{number}" for number in range(10)], 8)
    events = [(chance.random(), pilot, 0, 0) for pilot in free]
    while events[0][0] < DAY_S:
        now, pilot, job, cores = heapq.heappop(events)
        matcher.ended(job)
        free[pilot] += cores
        for match in matcher.match(eight(pilot, free[pilot]), 8, now):
            matcher.confirm(match.job)
            free[pilot] -= match.grant.cores
            runs_s = match.grant.wall_s * chance.uniform(0.5, 1.0)
            used[match.class_id > 1] += match.grant.cores * runs_s
            heapq.heappush(events, (now + runs_s, pilot, match.job, match.grant.cores))
    check(matcher)
    return used[True] / sum(used.values())


def test_many_classes_get_no_more_than_the_share_of_their_owner_by_reservations() -> None:
    without, few, many = parts_of(50, 1e12), parts_of(1, 600.0), parts_of(50, 600.0)

    assert abs(few - 0.5) < 0.06
    assert abs(many - 0.5) < 0.06
    assert abs(without - 0.5) < 0.06


def test_jobs_that_come_after_all_others_reserve_nothing() -> None:
    matcher = with_one_job(RULES, wide(2, "bob"))
    for job in range(1_000, 1_010):
        matcher.set_priority(job, 0)
    start(matcher, eight(cores_free=7), 700.0)

    assert held_by(matcher) == []


# -- limits and bans ----------------------------------------------------------------------------


def test_what_may_never_start_at_a_place_keeps_nobody_from_it() -> None:
    none_of_bob = RunningLimit(where="PIC", by="owner", value="bob", most=0)
    for more in (
        {"running": (none_of_bob,)},
        {"banned": frozenset({"PIC"})},
        {"starts": (StartLimit(where="PIC", by="owner", value="bob", per_s=1e-9, burst=1),)},
    ):
        matcher = with_one_job(msgspec.structs.replace(RULES, **more), wide(2, "bob"))
        matcher.begin(0.0)  # buckets of starts are empty
        assert start(matcher, eight(cores_free=7), 700.0) == []
        assert held_by(matcher) == [], more

        matcher.add(1, 5, range(10, 20))
        assert start(matcher, eight(cores_free=7), 760.0) == [1] * 7


def test_a_reservation_ends_when_a_limit_is_used_up_meanwhile() -> None:
    limit = RunningLimit(where="PIC", by="owner", value="bob", most=1)
    matcher = with_one_job(msgspec.structs.replace(RULES, running=(limit,)), wide(2, "bob"))
    start(matcher, eight(cores_free=7), 700.0)
    assert held_by(matcher) == [2]
    assert start(matcher, eight("other"), 710.0) == [2]
    matcher.wake(720.0)

    assert held_by(matcher) == []
    check(matcher)


def test_a_limit_of_starts_that_is_free_again_in_time_does_not_matter() -> None:
    rate = StartLimit(where="PIC", by="owner", value="bob", per_s=0.01, burst=1)
    matcher = with_one_job(msgspec.structs.replace(RULES, starts=(rate,)), wide(2, "bob"))
    matcher.begin(690.0)
    start(matcher, eight(cores_free=7), 700.0)

    assert held_by(matcher) == [2]


# -- others -------------------------------------------------------------------------------------


def test_classes_that_fit_nowhere_do_not_stand_before_those_of_others() -> None:
    for number in (0, 300, 3_000):
        matcher = Matcher(RULES)
        for class_id in range(10, 10 + number):  # they wait longer
            matcher.add_class(wide(class_id, "eve", 4_096, class_id))
            matcher.add(class_id, 5, [10**6 + class_id])
        matcher.add_class(narrow(1, "ada", 3_600))
        matcher.add(1, 5, [1])
        start(matcher, eight(), 0.0, 1)
        matcher.add_class(wide(2, "bob"))
        matcher.add(2, 5, [2])
        start(matcher, eight(cores_free=7), 700.0)

        assert held_by(matcher) == [2]


def test_all_of_one_owners_classes_are_looked_at_in_time() -> None:
    matcher = Matcher(RULES)
    for class_id in range(10, 1_010):
        matcher.add_class(wide(class_id, "bob", 4_096, class_id))
        matcher.add(class_id, 5, [10**6 + class_id])
    matcher.add_class(narrow(1, "ada", 3_600))
    matcher.add(1, 5, [1])
    start(matcher, eight(), 0.0, 1)
    matcher.add_class(wide(2, "bob"))
    matcher.add(2, 5, [2])
    for ask in range(5):
        start(matcher, eight(cores_free=7), 700.0 + ask)

    assert held_by(matcher) == [2]


@pytest.mark.parametrize("owners", [1, 20, 100])
def test_of_many_that_may_not_start_the_others_are_looked_at_in_time(owners: int) -> None:
    no_user = RunningLimit(where="PIC", by="type", value="User", most=0)
    matcher = Matcher(msgspec.structs.replace(RULES, running=(no_user,)))
    for number in range(300):
        matcher.add_class(wide(10 + number, f"eve{number % owners}", wall_s=500 + number))
        matcher.add(10 + number, 5, [10**6 + number])
    matcher.add_class(narrow(1, "ada", 3_600, type="Test"))
    matcher.add(1, 5, [1])
    start(matcher, eight(), 0.0, 1)
    matcher.add_class(wide(2, "bob" if owners > 1 else "eve0", type="Test"))
    matcher.add(2, 5, [2])
    for ask in range(40):
        start(matcher, eight(cores_free=7), 700.0 + ask)

    assert held_by(matcher) == [2]
    check(matcher)


def test_an_owner_reserves_only_so_much_and_a_community_nothing_of_anothers() -> None:
    matcher = Matcher(RULES)
    matcher.add_class(narrow(1, "eve", 7_200))
    matcher.add(1, 5, range(1, 200))
    for number in range(150):
        start(matcher, eight(f"p{number}"), 0.0, 1)
    for class_id in range(10, 100):
        matcher.add_class(wide(class_id, "eve", wall_s=class_id))
        matcher.add(class_id, 5, range(class_id * 1_000, class_id * 1_000 + 5))
    matcher.add_class(narrow(2, "ada", 3_600, community="lhcb"))
    matcher.add_class(wide(3, "bob", community="lhcb"))
    matcher.add(2, 5, [300])
    start(matcher, eight("theirs", community="lhcb"), 0.0, 1)
    matcher.add(3, 5, [301])
    for number in range(150):
        start(matcher, eight(f"p{number}", 7), 700.0 + number)
    start(matcher, eight("theirs", 7, community="lhcb"), 900.0)

    assert len(held_by(matcher)) == OF_AN_OWNER_MAX + 1
    assert held_by(matcher)[0] == 3
    check(matcher)


def test_nothing_is_reserved_further_ahead_than_some_days() -> None:
    matcher = with_one_job(RULES, wide(2, "bob"), wall_s=300 * DAY_S)
    start(matcher, eight(cores_free=7), 700.0)

    assert held_by(matcher) == []


def test_whose_reservation_was_in_vain_reserves_nothing_for_as_long_as_it_stood() -> None:
    matcher = with_one_job(RULES, wide(2, "bob"), wall_s=4 * HOUR_S)
    matcher.add_class(wide(3, "bob"))
    matcher.add(3, 5, [2_000])
    start(matcher, eight("p1", 7), 700.0)
    assert held_by(matcher) == [2]
    for job in range(1_000, 1_010):
        matcher.remove(job)
    matcher.wake(1_700.0)
    start(matcher, eight("p1", 7), 2_600.0)
    then = held_by(matcher)
    start(matcher, eight("p1", 7), 2_800.0)

    assert then == []
    assert held_by(matcher) == [3]


def test_who_is_served_elsewhere_may_reserve_again_at_once() -> None:
    matcher = with_one_job(RULES, wide(2, "bob"), wall_s=4 * HOUR_S)
    matcher.add_class(wide(3, "bob"))
    matcher.add(3, 5, [2_000])
    start(matcher, eight("p1", 7), 700.0)
    for job in range(1_001, 1_010):
        matcher.remove(job)
    assert start(matcher, eight("other"), 710.0) in ([2], [3])
    matcher.wake(720.0)
    start(matcher, eight("p1", 7), 730.0)

    assert len(held_by(matcher)) == 1
