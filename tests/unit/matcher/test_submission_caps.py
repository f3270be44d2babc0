"""Limits of submissions: how many of their jobs run at once, wherever that is."""

from pilotage.matcher import Matcher
from pilotage.matcher.rules import Rules
from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.documents.job import Need
from tests.matcher.again import again, held
from tests.matcher.invariants import check

from .makes import offer, spec


def of_submission(class_id: int, key: str, most: int, **words: str) -> ClassSpec:
    need = Need(wall_s=60, cores_min=int(words.pop("cores", "1")))
    return spec(class_id, need, submission=key, running_max=most, **words)


def wide(pilot: str = "p1", site: str = "PIC") -> LiveOffer:
    return offer(pilot, site=site, cores=500, cores_free=500, memory_free_mb=10**6)


def matcher_of(*specs: ClassSpec, rules: Rules | None = None) -> Matcher:
    """Return a matcher in which twenty jobs of each class wait."""
    matcher = Matcher(rules or Rules())
    for one in specs:
        matcher.add_class(one)
        matcher.add(one.class_id, 5, range(one.class_id * 100, one.class_id * 100 + 20))
    check(matcher)
    return matcher


def jobs_of(matcher: Matcher, there: LiveOffer, now: float = 0.0) -> list[int]:
    found = [match.job for match in matcher.match(there, 100, now)]
    check(matcher)
    return found


def test_no_more_jobs_of_a_submission_are_out_than_it_asked_for_at_all_sites_together() -> None:
    matcher = matcher_of(of_submission(1, "k", 3))

    assert jobs_of(matcher, wide()) == [100, 101, 102]
    assert jobs_of(matcher, wide("p2", "CSCS")) == []


def test_classes_of_one_submission_share_its_limit_and_others_do_not() -> None:
    one, other = of_submission(1, "k", 3), of_submission(2, "k", 3, cores="2")
    another, bobs = of_submission(3, "l", 4), of_submission(4, "k", 2, owner="bob")
    matcher = matcher_of(one, other, another, bobs)

    found = jobs_of(matcher, wide())

    assert len([job for job in found if job < 300]) == 3
    assert len([job for job in found if 300 <= job < 400]) == 4
    assert len([job for job in found if job >= 400]) == 2


def test_each_end_and_each_match_that_comes_to_nothing_lets_one_more_start() -> None:
    matcher = matcher_of(of_submission(1, "k", 3))
    jobs_of(matcher, wide())
    matcher.confirm(100)

    matcher.ended(100)
    check(matcher)
    assert len(jobs_of(matcher, wide())) == 1
    matcher.put_back(101)
    check(matcher)
    assert len(jobs_of(matcher, wide())) == 1
    matcher.drop(102)
    check(matcher)
    assert len(jobs_of(matcher, wide())) == 1


def test_a_parked_pilot_is_woken_when_a_job_of_the_submission_ends() -> None:
    matcher = matcher_of(of_submission(1, "k", 1))
    jobs_of(matcher, wide())
    matcher.confirm(100)
    matcher.park(wide("p2"), 1, 0.0)
    matcher.park(wide("p3"), 1, 0.0)
    assert matcher.wake(0.0) == []

    matcher.ended(100)

    assert len(matcher.wake(0.0)) == 1  # the kept job counts: no second pilot is woken
    check(matcher)
    matcher.remove(101)
    check(matcher)
    assert len(matcher.wake(0.0)) == 1


def test_after_a_restart_what_runs_counts() -> None:
    rules = Rules()
    matcher = matcher_of(of_submission(1, "k", 3), rules=rules)
    for job in jobs_of(matcher, wide())[:2]:
        matcher.confirm(job)

    after = again(rules, held(matcher), 0.0)

    assert len(jobs_of(after, wide("p2"))) == 1


def test_an_owner_whose_submission_runs_all_it_may_saves_no_turns_up() -> None:
    matcher = matcher_of(of_submission(1, "k", 1, owner="ada"), spec(2, owner="bob"))
    matcher.add(2, 5, range(1_000, 3_000))
    first = [match.job for match in matcher.match(wide(), 2, 0.0)]
    matcher.confirm(min(first))
    for now in range(100):
        matcher.match(wide(), 10, float(now))
    matcher.ended(min(first))
    matcher.add_class(spec(3, owner="ada"))
    matcher.add(3, 5, range(5_000, 5_100))

    after = [match.class_id for match in matcher.match(wide(), 40, 100.0)]

    assert abs(after.count(2) - 20) <= 2


def test_a_job_says_that_its_submission_holds_it_and_the_factory_starts_no_pilots_for_it() -> None:
    one = of_submission(1, "k", 3)
    matcher = matcher_of(one)
    assert matcher.waiting() == [(one, 3)]
    jobs_of(matcher, wide())

    said = matcher.explain(105, one, [wide("p2")], 0.0)

    assert matcher.waiting() == []
    assert (said.fitting, said.held, said.next_on) == (1, 1, 0)
    assert "its submission lets at most 3 jobs run at once, and 3 run (running_max)" in (said.notes)
