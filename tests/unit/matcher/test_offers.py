"""Parked offers: who is woken for which job, and for how long the job is kept."""

from collections.abc import Sequence

import pytest

from pilotage.matcher import Matcher
from pilotage.matcher.rules import Rules
from pilotage.matcher.types import ParkedWake
from pilotage.proto.documents.job import Need
from tests.matcher.invariants import check

from .makes import offer, spec

SMALL = spec(1, Need(cores_min=1, memory_mb=1000, wall_s=3600))
WIDE = spec(2, Need(cores_min=4, memory_mb=1000, wall_s=3600))
AT_CSCS = spec(3, Need(sites=("CSCS",)))


def prepared() -> Matcher:
    matcher = Matcher(Rules(keep_s=2.0))
    for its in (SMALL, WIDE, AT_CSCS):
        matcher.add_class(its)
    return matcher


def pairs(woken: Sequence[ParkedWake]) -> list[tuple[str, int]]:
    return [(one.pilot, one.job) for one in woken]


def jobs(matcher: Matcher, pilot: str, now: float) -> list[int]:
    return [match.job for match in matcher.match(offer(pilot), 1, now)]


def test_a_new_job_wakes_the_parked_pilot_with_its_ask() -> None:
    matcher = prepared()
    matcher.park(offer("p1"), 17, 0.0)
    assert matcher.wake(0.0) == []
    matcher.add(1, 5, [1])

    assert matcher.wake(0.1) == [ParkedWake(pilot="p1", ask=17, job=1)]
    assert matcher.parked_ask("p1") == 17
    assert matcher.parked_ask("p2") == 0
    check(matcher)


def test_the_offer_that_leaves_least_unused_is_woken_first() -> None:
    matcher = prepared()
    matcher.park(offer("large", cores_free=8), 1, 0.0)
    matcher.park(offer("small", cores_free=1), 1, 0.0)
    matcher.park(offer("lean", cores_free=4, memory_free_mb=2000), 1, 0.0)
    matcher.park(offer("rich", cores_free=4, memory_free_mb=9000), 1, 0.0)
    matcher.add(1, 5, [10])
    matcher.add(2, 5, [11, 12, 13, 14])

    assert pairs(matcher.wake(0.0)) == [("small", 10), ("lean", 11), ("rich", 12), ("large", 13)]
    check(matcher)


def test_the_best_job_is_served_first_when_pilots_are_few() -> None:
    matcher = prepared()
    matcher.park(offer("p1"), 1, 0.0)
    matcher.add(1, 5, [1])
    matcher.add(2, 9, [2])

    assert pairs(matcher.wake(0.0)) == [("p1", 2)]


def test_a_kept_job_goes_to_its_pilot_and_to_nobody_else_for_two_seconds() -> None:
    matcher = prepared()
    matcher.park(offer("p1"), 1, 0.0)
    matcher.add(1, 5, [1])
    matcher.wake(0.0)

    assert len(matcher) == 1
    assert 1 in matcher
    assert jobs(matcher, "p2", 1.9) == []
    assert jobs(matcher, "p1", 1.9) == [1]
    check(matcher)


def test_a_kept_job_is_for_anyone_once_the_time_is_over() -> None:
    matcher = prepared()
    matcher.park(offer("p1"), 1, 0.0)
    matcher.add(1, 5, [1])
    matcher.wake(0.0)

    assert jobs(matcher, "p2", 2.0) == [1]
    check(matcher)


def test_a_woken_pilot_that_asks_is_matched_like_any_other() -> None:
    matcher = prepared()
    matcher.park(offer("p1"), 1, 0.0)
    matcher.add(1, 5, [5])
    matcher.wake(0.0)
    matcher.add(1, 5, [3])

    assert jobs(matcher, "p1", 0.1) == [3]
    assert jobs(matcher, "p2", 0.1) == [5]
    check(matcher)


def test_a_woken_pilot_is_not_woken_again_while_its_time_runs() -> None:
    matcher = prepared()
    matcher.park(offer("p1"), 1, 0.0)
    matcher.add(1, 5, [1, 2])

    assert pairs(matcher.wake(0.0)) == [("p1", 1)]
    assert matcher.wake(1.0) == []
    assert pairs(matcher.wake(2.0)) == [("p1", 1)]


def test_a_pilot_that_did_not_come_is_tried_after_those_that_were_not_woken() -> None:
    matcher = prepared()
    matcher.park(offer("dead", cores_free=1), 1, 0.0)
    matcher.park(offer("alive", cores_free=8), 1, 0.0)
    matcher.park(offer("alive too", cores_free=8), 1, 0.0)
    matcher.add(1, 5, [1])

    tried = [matcher.wake(now)[0].pilot for now in (0.0, 2.0, 4.0, 6.0, 8.0)]

    assert tried == ["dead", "alive", "alive too", "dead", "alive"]
    check(matcher)


def test_a_pilot_that_does_not_come_is_woken_less_and_less_often_but_its_job_is_free() -> None:
    matcher = prepared()
    matcher.park(offer("deaf"), 1, 0.0)
    matcher.add(1, 5, [1])

    woken = [now for now in range(200) if matcher.wake(float(now))]

    assert woken == [0, 2, 6, 14, 30, 62, 94, 126, 158, 190]
    assert matcher.has_work("deaf", 195.0)
    assert jobs(matcher, "p2", 195.0) == [1]
    check(matcher)


def test_a_pilot_that_asks_and_parks_again_may_be_woken_at_once() -> None:
    matcher = prepared()
    matcher.park(offer("p1"), 1, 0.0)
    matcher.add(1, 5, [1])
    matcher.wake(0.0)
    matcher.withdraw("p1")
    assert jobs(matcher, "p2", 0.1) == [1]
    matcher.park(offer("p1"), 2, 0.2)
    matcher.add(1, 5, [2])

    assert matcher.wake(0.3) == [ParkedWake(pilot="p1", ask=2, job=2)]
    check(matcher)


def test_a_withdrawn_offer_leaves_no_trace_and_frees_its_job() -> None:
    matcher = prepared()
    matcher.park(offer("p1"), 1, 0.0)
    matcher.park(offer("p2"), 1, 0.0)
    matcher.add(1, 5, [1])
    assert pairs(matcher.wake(0.0)) == [("p1", 1)]
    matcher.withdraw("p1")
    matcher.withdraw("p1")

    assert pairs(matcher.wake(0.1)) == [("p2", 1)]
    assert matcher.parked_ask("p1") == 0
    assert not matcher.has_work("p1", 0.1)
    matcher.withdraw("p2")
    assert matcher.wake(9.0) == []
    check(matcher)


def test_a_newer_offer_replaces_the_older_one() -> None:
    matcher = prepared()
    matcher.park(offer("p1", cores_free=8), 1, 0.0)
    matcher.park(offer("p1", cores_free=1), 2, 0.0)
    matcher.add(2, 5, [1])

    assert matcher.wake(0.0) == []
    assert matcher.parked_ask("p1") == 2
    check(matcher)


def test_a_kept_job_that_is_removed_is_gone() -> None:
    matcher = prepared()
    matcher.park(offer("p1"), 1, 0.0)
    matcher.add(1, 5, [1])
    matcher.wake(0.0)

    assert matcher.remove(1)
    assert (len(matcher), 1 in matcher) == (0, False)
    assert jobs(matcher, "p1", 0.1) == []
    assert jobs(matcher, "p2", 5.0) == []
    check(matcher)


def test_a_kept_job_that_is_raised_comes_back_raised() -> None:
    matcher = prepared()
    matcher.park(offer("p1"), 1, 0.0)
    matcher.add(1, 5, [9])
    matcher.wake(0.0)
    matcher.add(1, 7, [3])
    assert matcher.set_priority(9, 8)

    assert jobs(matcher, "p2", 2.0) == [9]
    check(matcher)


def test_an_offer_that_is_parked_while_a_job_waits_is_found_too() -> None:
    matcher = prepared()
    matcher.add(3, 5, [1])
    matcher.wake(0.0)
    matcher.park(offer("p1", site="PIC"), 1, 0.0)
    matcher.park(offer("p2", site="CSCS"), 1, 0.0)

    assert pairs(matcher.wake(0.1)) == [("p2", 1)]
    check(matcher)


def test_a_job_that_is_put_back_wakes_as_a_new_one_does() -> None:
    matcher = prepared()
    matcher.add(1, 5, [1])
    assert jobs(matcher, "p1", 0.0) == [1]
    matcher.park(offer("p2"), 1, 0.0)
    assert matcher.wake(0.0) == []
    matcher.put_back(1)

    assert pairs(matcher.wake(0.1)) == [("p2", 1)]


def test_has_work_counts_the_own_job_and_free_ones_but_none_that_is_kept_for_another() -> None:
    matcher = prepared()
    matcher.park(offer("p1", cores_free=1), 1, 0.0)
    matcher.park(offer("p2", cores_free=8), 1, 0.0)
    assert not matcher.has_work("p1", 0.0)
    matcher.add(1, 5, [1])
    assert matcher.has_work("p2", 0.0)
    matcher.wake(0.0)

    assert matcher.has_work("p1", 1.0)
    assert not matcher.has_work("p2", 1.0)
    assert matcher.has_work("p2", 2.0)
    assert not matcher.has_work("nobody", 2.0)


def test_jobs_that_fit_no_parked_offer_do_not_hide_those_that_do() -> None:
    matcher = prepared()
    matcher.park(offer("p1", site="PIC"), 1, 0.0)
    matcher.add(3, 10, range(1, 100))
    matcher.add(1, 0, [100])

    assert pairs(matcher.wake(0.0)) == [("p1", 100)]


def test_a_thousand_parked_pilots_share_a_thousand_jobs() -> None:
    matcher = prepared()
    for number in range(1000):
        matcher.park(offer(f"p{number}", wall_left_s=3600.0 + number), 1, 0.0)
    matcher.add(1, 5, range(1, 1501))

    woken = pairs(matcher.wake(0.0))

    assert [job for _, job in woken] == list(range(1, 1001))
    assert [pilot for pilot, _ in woken] == [f"p{number}" for number in range(1000)]
    assert len(matcher) == 1500
    assert matcher.wake(0.1) == []


def test_the_time_of_an_offer_that_was_withdrawn_does_not_touch_the_next_one() -> None:
    matcher = prepared()
    matcher.park(offer("p1"), 1, 0.0)
    matcher.add(1, 5, [1])
    matcher.wake(0.0)
    matcher.park(offer("p1", site="CSCS"), 2, 0.5)
    assert pairs(matcher.wake(1.0)) == [("p1", 1)]

    assert jobs(matcher, "p2", 2.5) == []
    check(matcher)
    assert pairs(matcher.wake(3.0)) == [("p1", 1)]
    matcher.park(offer("p1"), 3, 3.5)
    assert jobs(matcher, "p2", 9.0) == [1]
    assert matcher.wake(9.0) == []
    check(matcher)


def test_an_offer_of_any_site_is_woken_for_a_job_that_names_sites() -> None:
    for jobs_new in (1, 50):
        matcher = prepared()
        matcher.park(offer("p1", site="PIC"), 1, 0.0)
        matcher.park(offer("p2", site="ANY"), 1, 0.0)
        matcher.add(3, 5, range(1, jobs_new + 1))

        assert pairs(matcher.wake(0.0)) == [("p2", 1)]
        check(matcher)


# Offers for WIDE, which asks for 4 cores and 1000 MB: pilot, cores and memory.
FOR_WIDE = (("few", 3, 9000), ("poor", 4, 999), ("just", 4, 1000), ("more", 5, 9000))


@pytest.mark.parametrize("jobs_new", [1, 2, 50], ids=lambda jobs: f"{jobs} jobs")
@pytest.mark.parametrize("sites", [(), ("PIC",)], ids=["anywhere", "at one site"])
@pytest.mark.parametrize("kinds", [1, 40], ids=lambda kinds: f"{kinds} kinds")
def test_who_has_just_enough_is_found_and_who_has_less_is_not(
    jobs_new: int, sites: tuple[str, ...], kinds: int
) -> None:
    matcher = Matcher()
    matcher.add_class(spec(1, Need(sites=sites, cores_min=4, memory_mb=1000)))
    for kind in range(kinds):  # that are full
        full = offer(f"full {kind}", cores_free=0, tags=frozenset([f"rack{kind}"]))
        matcher.park(full, 1, 0.0)
    for pilot, cores, memory_mb in FOR_WIDE:
        matcher.park(offer(pilot, cores_free=cores, memory_free_mb=memory_mb), 1, 0.0)
    matcher.add(1, 5, range(1, jobs_new + 1))

    assert pairs(matcher.wake(0.0)) == [("just", 1), ("more", 2)][:jobs_new]
    check(matcher)


@pytest.mark.parametrize("jobs_new", [1, 50], ids=lambda jobs: f"{jobs} jobs")
def test_who_meets_a_later_need_with_just_enough_is_found(jobs_new: int) -> None:
    matcher = Matcher()
    matcher.add_class(spec(1, Need(cores_min=8, memory_mb=100), Need(cores_min=2, memory_mb=1000)))
    for pilot, cores, memory_mb in (("poor", 2, 999), ("just", 2, 1000), ("many", 8, 100)):
        matcher.park(offer(pilot, cores_free=cores, memory_free_mb=memory_mb), 1, 0.0)
    matcher.add(1, 5, range(1, jobs_new + 1))

    assert pairs(matcher.wake(0.0)) == [("just", 1), ("many", 2)][:jobs_new]
    check(matcher)


@pytest.mark.parametrize("kinds", [2, 40], ids=lambda kinds: f"{kinds} kinds")
def test_kinds_that_come_one_by_one_or_many_at_once_are_all_known(kinds: int) -> None:
    matcher = prepared()
    for turn in range(2):
        for kind in range(kinds):
            its = offer(f"p{turn} {kind}", tags=frozenset([f"rack{turn} {kind}"]))
            matcher.park(its, 1, 0.0)
        matcher.add(1, 5, [turn + 1])
        assert len(matcher.wake(0.0)) == 1

    matcher.add(1, 5, range(3, 2 * kinds + 9))

    assert len(matcher.wake(0.0)) == 2 * kinds - 2
    check(matcher)
