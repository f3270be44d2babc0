"""Pools: amounts that limits alone provide, such as licences, and limits of other amounts."""

import pytest

from pilotage.matcher import Matcher
from pilotage.matcher.rules import Rules, RunningLimit, StartLimit
from pilotage.matcher.types import Ceiling, LiveOffer
from pilotage.proto.documents.job import Need
from tests.matcher.again import again, held
from tests.matcher.invariants import check

from .makes import offer, spec

LICENCES = RunningLimit(by="amount", value="licence.x", most=5)
AT_PIC = RunningLimit(where="PIC", by="amount", value="licence.x", most=3)


def waiting(
    *limits: RunningLimit, takes: tuple[int, ...] = (1,), name: str = "licence.x"
) -> Matcher:
    """Return a matcher in which ten jobs wait of each class: each takes so much."""
    matcher = Matcher(Rules(running=limits))
    for class_id, amount in enumerate(takes, start=1):
        matcher.add_class(spec(class_id, Need(amounts={name: amount})))
        matcher.add(class_id, 5, range(100 * class_id, 100 * class_id + 10))
    return matcher


def started(matcher: Matcher, there: LiveOffer, jobs_max: int = 8) -> list[int]:
    """Return the class of each job that starts on an offer."""
    found = matcher.match(there, jobs_max, 0.0)
    for match in found:
        matcher.confirm(match.job)
    check(matcher)
    return [match.class_id for match in found]


#    limits at most      each takes  starts at PIC, then at CSCS
BOUNDED = """
     all=5               1           5 0
     all=5               2           2 0
     all=5               6           0 0
     all=0               1           0 0
     PIC=3               1           3 0
     PIC=3,CSCS=1        1           3 1
     all=5,PIC=3         1           3 2
     all=5,PIC=3,CSCS=9  1           3 2
     -                   1           0 0
"""


@pytest.mark.parametrize("line", BOUNDED.strip().splitlines())
def test_all_running_jobs_together_take_no_more_than_each_limit(line: str) -> None:
    words, takes, *counts = line.split()
    pairs = [] if words == "-" else [word.split("=") for word in words.split(",")]
    limits = [
        RunningLimit(
            where="" if where == "all" else where, by="amount", value="licence.x", most=int(most)
        )
        for where, most in pairs
    ]
    matcher = waiting(*limits, takes=(int(takes),))
    found = [len(started(matcher, offer(site, site=site))) for site in ("PIC", "CSCS")]

    assert found == list(map(int, counts))


def test_a_job_that_takes_less_starts_where_too_little_is_left_for_another() -> None:
    matcher = waiting(LICENCES, takes=(3, 2))

    assert started(matcher, offer()) == [1, 2]


def test_what_ended_jobs_took_is_free_again_and_a_parked_pilot_is_woken() -> None:
    matcher = waiting(LICENCES, takes=(5,))
    (match,) = matcher.match(offer("p1"), 8, 0.0)
    matcher.confirm(match.job)
    matcher.park(offer("p2"), 1, 0.0)
    assert matcher.wake(0.0) == []
    matcher.ended(match.job)

    assert [one.pilot for one in matcher.wake(0.0)] == ["p2"]
    check(matcher)


def test_a_match_that_is_not_written_gives_back_what_it_took() -> None:
    matcher = waiting(LICENCES, takes=(5,))
    for _ in range(3):
        (match,) = matcher.match(offer(), 8, 0.0)
        matcher.put_back(match.job)

    assert started(matcher, offer()) == [1]


def test_what_running_jobs_take_is_counted_after_a_restart_and_after_a_change() -> None:
    matcher = waiting(LICENCES, takes=(2,))
    assert started(matcher, offer()) == [1, 1]
    later = again(matcher.rules, held(matcher), 1.0)
    assert started(later, offer()) == []
    later.change(Rules(running=(RunningLimit(by="amount", value="licence.x", most=7),)), 1.0)

    assert started(later, offer()) == [1]


def test_a_limit_bounds_an_amount_of_pilots_too() -> None:
    matcher = waiting(
        RunningLimit(where="PIC", by="amount", value="net", most=25), takes=(10,), name="net"
    )
    rich = offer(amounts_free={"net": 1_000})

    assert started(matcher, offer()) == [], "no pilot offers it there"
    assert started(matcher, rich) == [1, 1]
    assert len(started(matcher, offer(site="CSCS", amounts_free={"net": 1_000}))) == 8


def test_nothing_is_there_of_a_pool_that_no_limit_counts_until_one_does() -> None:
    matcher = Matcher(Rules())
    matcher.park(offer("p1"), 1, 0.0)
    matcher.add_class(spec(1, Need(amounts={"licence.x": 1})))
    matcher.add(1, 5, [7])
    assert matcher.wake(0.0) == []
    assert matcher.ceilings(spec(1, Need(amounts={"licence.x": 1})))[0].jobs == 0
    said = matcher.explain(7, spec(1, Need(amounts={"licence.x": 1})), [offer("p1")], 0.0)
    assert (said.fitting, said.held, said.next_on) == (1, 1, 0)
    assert "no limit sets the total of licence.x: 1 of the offers" in said.notes
    matcher.change(Rules(running=(LICENCES,)), 0.0)

    assert [one.job for one in matcher.wake(0.0)] == [7]
    check(matcher)


def test_what_holds_a_job_is_told_with_the_limit_and_what_is_left() -> None:
    matcher = waiting(LICENCES, AT_PIC, takes=(2, 4))
    assert started(matcher, offer()) == [1]
    there = [offer("p1"), offer("p2", site="CSCS")]

    first = matcher.explain(105, spec(1, Need(amounts={"licence.x": 2})), there, 0.0)
    second = matcher.explain(200, spec(2, Need(amounts={"licence.x": 4})), there, 0.0)

    at_pic = "at PIC, at most 3 licence.x may be in use: {} needed, 1 left"
    everywhere = "at all sites together, at most 5 licence.x may be in use: {} needed, "
    assert (first.held, second.held) == (1, 2)
    assert f"{at_pic.format(2)}: 1 of the offers" in first.notes
    assert f"{at_pic.format(4)}: 1 of the offers" in second.notes
    assert f"{everywhere.format(4)}3 left: 2 of the offers" in second.notes


def test_a_pilot_is_told_that_a_pool_holds_its_jobs() -> None:
    matcher = waiting(RunningLimit(where="CSCS", by="amount", value="licence.x", most=3))

    said = matcher.explain_offer(offer(), 0.0)

    assert (said.fitting, said.held) == (10, 10)
    assert said.notes == ["no limit sets the total of licence.x at PIC/ce1"]


def test_planning_hears_how_many_jobs_a_pool_lets_run_and_where_there_is_none() -> None:
    matcher = waiting(AT_PIC, takes=(2,))

    left, elsewhere = matcher.ceilings(spec(1, Need(amounts={"licence.x": 2})))

    assert (left.where, left.room, left.takes, left.jobs) == ("PIC", 3, 2, 1)
    assert elsewhere == Ceiling(number=0, where="", room=0, but=("PIC",))
    assert elsewhere.holds_at("CSCS", "ce1") and not elsewhere.holds_at("PIC", "ce1")
    assert matcher.ceilings(spec(1)) == []


def test_starts_are_not_limited_by_amounts_and_names_are_checked() -> None:
    with pytest.raises(ValueError, match="cores is built in: use the field cores_min"):
        RunningLimit(by="amount", value="cores", most=1)
    with pytest.raises(ValueError, match="found the name 'Licence', expected"):
        RunningLimit(by="amount", value="Licence", most=1)

    assert StartLimit(by="tag", value="x", per_s=1.0).by == "tag"
