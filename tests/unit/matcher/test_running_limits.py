"""Limits and bans of sites and elements: how many run, how fast they start, who may run there."""

from typing import Any

import pytest

from pilotage.matcher import Matcher
from pilotage.matcher.rules import Rules, RunningLimit, StartLimit
from pilotage.matcher.types import Grant, LiveOffer, RunningAttempt
from pilotage.proto.documents.job import Need
from tests.matcher.again import again as again_of, held
from tests.matcher.invariants import check

from .makes import offer, spec


def with_users(*limits: RunningLimit, **rules: Any) -> Matcher:
    """Return a matcher in which a hundred jobs of ada and of bob wait."""
    matcher = Matcher(Rules(running=limits, **rules))
    matcher.add_class(spec(1, owner="ada"))
    matcher.add_class(spec(2, owner="bob", type="Test"))
    matcher.add(1, 5, range(1, 101))
    matcher.add(2, 5, range(101, 201))
    return matcher


def wide(site: str = "PIC", element: str = "ce1", pilot: str = "p1") -> LiveOffer:
    return offer(pilot, site=site, element=element, cores=500, cores_free=500)


def counts(matcher: Matcher, there: LiveOffer, now: float = 0.0) -> dict[int, int]:
    """Return how many jobs of each class an offer gets."""
    found: dict[int, int] = {}
    for match in matcher.match(there, 500, now):
        found[match.class_id] = found.get(match.class_id, 0) + 1
    check(matcher)
    return found


def test_no_more_run_at_a_site_than_may() -> None:
    matcher = with_users(RunningLimit(where="PIC", by="type", value="User", most=7))

    assert counts(matcher, wide("PIC", "ce1")) == {1: 7, 2: 100}
    assert counts(matcher, wide("PIC", "ce2")) == {}
    assert counts(matcher, wide("CSCS")) == {1: 93}


def test_an_element_has_limits_of_its_own_beside_those_of_its_site() -> None:
    matcher = with_users(
        RunningLimit(where="PIC", by="owner", value="ada", most=5),
        RunningLimit(where="PIC/ce1", by="owner", value="ada", most=3),
        RunningLimit(where="PIC/ce1", by="owner", value="bob", most=0),
    )

    assert counts(matcher, wide("PIC", "ce1")) == {1: 3}
    assert counts(matcher, wide("PIC", "ce2")) == {1: 2, 2: 100}


def test_a_tag_is_limited_for_those_that_ask_for_it() -> None:
    matcher = Matcher(Rules(running=(RunningLimit(where="PIC", by="tag", value="cvmfs", most=2),)))
    matcher.add_class(spec(1, Need(tags="cvmfs | local"), Need()))
    matcher.add(1, 5, range(1, 11))
    tagged = offer(tags=frozenset(["cvmfs"]))

    found = matcher.match(tagged, 5, 0.0)

    assert len(found) == 5  # after two of them the alternative that asks for no tag is met
    assert sum(limit.room for limit in matcher.limits.all()) == 0
    check(matcher)


def test_a_limit_counts_pending_and_running_jobs_until_they_have_ended() -> None:
    matcher = with_users(RunningLimit(where="PIC", by="group", value="sim", most=2))
    first, second = matcher.match(offer(), 5, 0.0)
    matcher.confirm(first.job)
    assert matcher.match(offer("p2"), 5, 1.0) == []
    matcher.ended(first.job, 10.0)
    assert len(matcher.match(offer("p2"), 5, 2.0)) == 1
    matcher.put_back(second.job)
    assert [match.job for match in matcher.match(offer("p2"), 5, 3.0)] == [second.job]
    matcher.drop(second.job)

    assert len(matcher.match(offer("p2"), 5, 4.0)) == 1
    check(matcher)


def at_pic(job: int, pilot: str = "") -> RunningAttempt:
    """Return an active attempt of the first class at PIC/ce1."""
    grant = Grant(1, 0, 0, 100.0)
    return RunningAttempt(job=job, class_id=1, site="PIC", element="ce1", grant=grant, pilot=pilot)


def test_what_runs_at_a_restart_counts_even_where_it_is_more_than_may() -> None:
    matcher = with_users(RunningLimit(where="PIC", by="owner", value="ada", most=2))
    for job in (901, 902, 903):
        matcher.running(at_pic(job), 0.0)
    assert counts(matcher, wide()) == {2: 100}
    matcher.ended(901)
    assert counts(matcher, wide()) == {}
    matcher.ended(902)

    assert counts(matcher, wide()) == {1: 1}


@pytest.mark.parametrize("end", ["drop", "put_back", "confirm"])
def test_an_attempt_that_is_back_counts_whatever_becomes_of_the_match_meanwhile(end: str) -> None:
    matcher = with_users(RunningLimit(where="PIC", by="owner", value="ada", most=1))
    matcher.match(offer("p2", cores_free=1), 1, 0.0)
    matcher.running(at_pic(1, "p1"), 1.0)
    getattr(matcher, end)(1)
    assert counts(matcher, wide(), 2.0) == {2: 100}
    assert set(matcher.attempts.by_job) - set(range(101, 201)) == {1}
    matcher.ended(1, 50.0)

    assert counts(matcher, wide(), 3.0) == {1: 1}
    assert 1 not in matcher


def test_an_attempt_that_is_told_twice_is_charged_once() -> None:
    matcher = with_users()
    for _ in range(2):
        matcher.running(at_pic(1_000), 0.0)

    assert matcher.shares.levels(0.0) == {"ctao/sim": 100.0, "ctao/sim/ada": 100.0}


def test_after_a_restart_a_job_counts_for_whatever_it_may_run_by() -> None:
    rules = Rules(running=(RunningLimit(where="PIC", by="tag", value="lic", most=1),))
    matcher = Matcher(rules)
    matcher.add_class(spec(1, Need(sites=("nowhere",)), Need(tags="lic")))
    matcher.add(1, 5, range(1, 10))
    there = offer(tags=frozenset(["lic"]))
    (match,) = matcher.match(there, 8, 0.0)
    matcher.confirm(match.job)
    again = again_of(rules, held(matcher), 1.0)

    assert again.match(there, 8, 1.0) == []
    again.ended(match.job)
    assert len(again.match(there, 8, 2.0)) == 1


def test_starts_come_in_a_burst_and_then_at_the_rate() -> None:
    rate = StartLimit(where="PIC", by="owner", value="ada", per_s=0.5, burst=3)
    matcher = with_users(starts=(rate,))
    started = [counts(matcher, wide(), now).get(1, 0) for now in (0.0, 1.0, 2.0, 2.5, 8.0, 100.0)]

    assert started == [3, 0, 1, 0, 3, 3]


def test_a_start_that_is_put_back_is_given_back() -> None:
    rate = StartLimit(where="PIC", by="owner", value="ada", per_s=0.001, burst=1)
    matcher = with_users(starts=(rate,))
    matcher.remove(1)
    (match,) = [one for one in matcher.match(wide(), 500, 0.0) if one.class_id == 1]
    matcher.put_back(match.job)

    assert counts(matcher, wide(), 1.0) == {1: 1}


def test_after_a_restart_rates_begin_empty() -> None:
    rate = StartLimit(where="PIC", by="owner", value="ada", per_s=1.0, burst=5)
    matcher = with_users(starts=(rate,))
    matcher.begin(10.0)

    assert counts(matcher, wide(), 10.0) == {2: 100}
    assert counts(matcher, wide(), 12.0) == {1: 2}


def test_banned_places_run_only_tests() -> None:
    matcher = with_users(banned=frozenset(["CSCS", "PIC/ce2"]))

    assert counts(matcher, wide("CSCS")) == {2: 100}
    assert counts(matcher, wide("PIC", "ce2")) == {}
    assert counts(matcher, wide("PIC", "ce1")) == {1: 100}


def test_a_parked_pilot_is_woken_when_a_limit_lets_its_job_start_again() -> None:
    matcher = with_users(RunningLimit(where="PIC", by="group", value="sim", most=1))
    (match,) = matcher.match(offer(), 5, 0.0)
    matcher.confirm(match.job)
    for pilot in ("p2", "p3"):
        matcher.park(offer(pilot), 1, 0.0)
    assert matcher.wake(0.0) == []
    matcher.ended(match.job)

    assert len(matcher.wake(1.0)) == 1  # one place is free, so one pilot hears of it
    check(matcher)


def test_a_parked_pilot_is_woken_when_time_lets_a_job_start() -> None:
    rate = StartLimit(where="PIC", by="group", value="sim", per_s=0.1)
    matcher = with_users(starts=(rate,))
    assert len(matcher.match(offer(), 5, 0.0)) == 1
    matcher.park(offer("p2"), 1, 0.0)

    woken = [bool(matcher.wake(now)) for now in (0.0, 9.0, 10.0)]

    assert woken == [False, False, True]


def test_a_parked_pilot_is_woken_though_another_question_saw_first_that_jobs_may_start() -> None:
    rate = StartLimit(where="PIC", by="group", value="sim", per_s=0.1)
    matcher = with_users(starts=(rate,))
    assert len(matcher.match(offer(), 5, 0.0)) == 1
    matcher.park(offer("p2"), 1, 0.0)
    assert matcher.wake(9.0) == []

    assert matcher.has_work("p2", 10.0)
    check(matcher)
    assert [one.pilot for one in matcher.wake(10.0)] == ["p2"]


def test_of_many_parked_pilots_some_are_looked_at_for_each_place_that_is_free_again() -> None:
    matcher = Matcher(
        Rules(running=(RunningLimit(where="PIC", by="owner", value="ada", most=1),), keep_s=1e6)
    )
    matcher.add_class(spec(1, Need(cores_min=2), owner="ada"))
    matcher.add(1, 5, range(1, 10))
    (match,) = matcher.match(offer(), 5, 0.0)
    matcher.confirm(match.job)
    for number in range(200):
        matcher.park(offer(f"narrow{number}", cores_free=1), 1, 0.0)
    matcher.park(offer("wide", cores_free=2), 1, 0.0)
    assert matcher.wake(0.0) == []
    matcher.ended(match.job)

    woken = [one.pilot for now in range(10) for one in matcher.wake(float(now))]

    assert woken == ["wide"]
    check(matcher)


def test_what_limits_hold_is_told() -> None:
    matcher = with_users(
        RunningLimit(where="PIC", by="owner", value="ada", most=1), banned=frozenset(["CSCS"])
    )
    matcher.match(wide(), 500, 0.0)
    there = [wide("PIC"), wide("CSCS"), wide("DESY")]

    said = matcher.explain(50, spec(1, owner="ada"), there, 1.0)

    assert (said.fitting, said.held) == (3, 2)
    assert (
        "at PIC, at most 1 job of owner ada may run at once, "
        "and as many are running: 1 of the offers" in said.notes
    )
    assert "CSCS/ce1 is banned: only jobs of type Test run there: 1 of the offers" in said.notes
    of_offer = matcher.explain_offer(wide("PIC"), 1.0)
    assert (of_offer.waiting, of_offer.fitting, of_offer.held) == (99, 99, 99)
    assert of_offer.notes == [
        "at PIC, at most 1 job of owner ada may run at once, and as many are running"
    ]
    of_offer = matcher.explain_offer(wide("CSCS"), 1.0)
    assert of_offer.notes == ["CSCS/ce1 is banned: only jobs of type Test run there"]


def test_a_limit_that_keeps_no_waiting_job_away_is_not_told() -> None:
    matcher = with_users(banned=frozenset(["CSCS"]))
    for job in range(1, 101):
        matcher.remove(job)

    said = matcher.explain_offer(wide("CSCS"), 1.0)

    assert (said.waiting, said.fitting, said.held, said.notes) == (100, 100, 0, [])


def test_it_is_told_how_many_more_the_limits_let_run() -> None:
    matcher = with_users(
        RunningLimit(where="PIC", by="owner", value="ada", most=5),
        RunningLimit(where="PIC/ce1", by="tag", value="gold", most=2),
        starts=(StartLimit(where="CSCS", by="owner", value="ada", per_s=1.0),),
    )
    gold, ada = Need(tags="gold"), frozenset({"ada"})
    either = spec(3, Need(tags="gold"), Need(), owner="bob")
    before = [(one.where, one.jobs) for one in matcher.ceilings(spec(1, gold, owner="ada"))]
    counts(matcher, offer("p1", site="PIC", element="ce2", cores=3, cores_free=3, owners=ada))
    after = [(one.where, one.jobs) for one in matcher.ceilings(spec(1, owner="ada"))]

    assert before == [("PIC", 5), ("PIC/ce1", 2)]
    assert after == [("PIC", 2)]
    assert matcher.ceilings(either) == [], "its other need is not limited"


# -- all sites, communities, changes ------------------------------------------------------------


def test_a_limit_without_a_site_counts_at_all_sites_together() -> None:
    matcher = with_users(RunningLimit(by="owner", value="ada", most=7))

    assert counts(matcher, wide("PIC")) == {1: 7, 2: 100}
    assert counts(matcher, wide("CSCS", pilot="p2")) == {}
    (ceiling,) = matcher.ceilings(spec(1, owner="ada"))
    assert (ceiling.where, ceiling.jobs) == ("", 0)


def test_an_end_at_one_site_wakes_a_pilot_of_another_for_a_limit_of_all_sites() -> None:
    matcher = with_users(RunningLimit(by="owner", value="ada", most=1))
    matcher.match(wide(), 101, 0.0)
    for job in (1, *range(101, 201)):
        matcher.confirm(job)
    matcher.park(wide("CSCS", pilot="p2"), 1, 0.0)
    assert matcher.wake(0.0) == []

    matcher.ended(1)

    assert [parked.pilot for parked in matcher.wake(0.0)] == ["p2"]
    check(matcher)


def in_two_communities(*limits: RunningLimit) -> Matcher:
    matcher = Matcher(Rules(running=limits))
    for class_id, community in enumerate(("ctao", "lhcb"), 1):
        matcher.add_class(spec(class_id, owner="ada", group="users", community=community))
        matcher.add(class_id, 5, range(class_id * 100, class_id * 100 + 50))
    return matcher


@pytest.mark.parametrize(
    ("by", "value", "whose", "ctao", "lhcb"),
    [
        ("group", "users", "", 7, 7),
        ("owner", "ada", "", 7, 7),
        ("type", "User", "", 7, 0),
        ("group", "users", "*", 7, 0),
        ("group", "users", "lhcb", 50, 7),
        ("type", "User", "ctao", 7, 50),
        ("type", "User", "other", 50, 50),
    ],
)
def test_whose_jobs_a_limit_counts(by: Any, value: str, whose: str, ctao: int, lhcb: int) -> None:
    limit = RunningLimit(where="PIC", by=by, value=value, most=7, community=whose)
    matcher = in_two_communities(limit)

    for class_id, community, most in ((1, "ctao", ctao), (2, "lhcb", lhcb)):
        there = offer(f"p{class_id}", community=community, cores=500, cores_free=500)
        assert counts(matcher, there) == ({class_id: most} if most else {})
        assert (
            sum(one.jobs for one in matcher.ceilings(matcher.backlog.classes.get(class_id).spec))
            == 0
        )


def test_a_changed_limit_counts_what_runs_and_holds_from_the_next_match_on() -> None:
    matcher = with_users()
    assert counts(matcher, offer(cores=4, cores_free=4)) == {1: 2, 2: 2}
    for job in (1, 2, 101, 102):
        matcher.confirm(job)

    limit = RunningLimit(by="owner", value="ada", most=3)
    matcher.change(Rules(running=(limit,)), 1.0)
    assert counts(matcher, wide("CSCS", pilot="p2"), 1.0) == {1: 1, 2: 98}

    limit = RunningLimit(by="owner", value="ada", most=1)
    matcher.change(Rules(running=(limit,)), 2.0)
    matcher.confirm(3)
    for job in (1, 2):
        assert counts(matcher, wide(pilot="p3"), 2.0) == {}
        matcher.ended(job)
    matcher.ended(3)
    assert counts(matcher, wide(pilot="p3"), 2.0) == {1: 1}

    matcher.change(Rules(), 3.0)
    assert counts(matcher, wide(pilot="p3"), 3.0) == {1: 96}


def test_a_parked_pilot_is_woken_when_a_limit_is_lifted() -> None:
    matcher = with_users(RunningLimit(where="PIC", by="type", value="User", most=0))
    matcher.match(wide(), 500, 0.0)
    matcher.park(wide(pilot="p2"), 1, 0.0)
    assert matcher.wake(0.0) == []

    matcher.change(Rules(), 0.0)

    assert [parked.pilot for parked in matcher.wake(0.0)] == ["p2"]
    check(matcher)


def test_a_rate_that_is_new_begins_empty() -> None:
    matcher = with_users()
    rate = StartLimit(where="PIC", by="owner", value="ada", per_s=0.5, burst=10)

    matcher.change(Rules(starts=(rate,)), 100.0)

    assert counts(matcher, wide(), 100.0) == {2: 100}
    assert counts(matcher, wide(), 104.0) == {1: 2}


def test_a_limit_of_starts_that_stays_is_as_it_was_though_no_offer_has_come_before() -> None:
    rules = Rules(starts=(StartLimit(where="PIC", by="owner", value="ada", per_s=0.5),))
    matcher = Matcher(rules)
    matcher.add_class(spec(1))
    matcher.add(1, 5, [1, 2])
    matcher.change(rules, 0.0)

    assert len(matcher.match(offer(), 2, 0.0)) == 1


def test_a_rate_for_another_community_begins_empty() -> None:
    rate = StartLimit(where="PIC", by="owner", value="ada", per_s=0.5, community="other")
    mine = StartLimit(where="PIC", by="owner", value="ada", per_s=0.5, community="ctao")
    matcher = Matcher(Rules(starts=(rate,)))
    matcher.add_class(spec(1))
    matcher.add(1, 5, [1, 2])
    matcher.change(Rules(starts=(mine,)), 100.0)

    assert matcher.match(offer(), 2, 100.0) == []
    assert len(matcher.match(offer(), 2, 102.0)) == 1


def test_a_rate_that_comes_back_begins_empty() -> None:
    rate = StartLimit(where="PIC", by="owner", value="ada", per_s=0.5, burst=10)
    matcher = Matcher(Rules(starts=(rate,)))
    matcher.add_class(spec(1))
    matcher.add(1, 5, [1, 2, 3])
    assert len(matcher.match(offer(), 1, 0.0)) == 1
    matcher.change(Rules(), 10.0)
    matcher.change(Rules(starts=(rate,)), 100.0)

    assert matcher.match(offer(), 2, 100.0) == []
