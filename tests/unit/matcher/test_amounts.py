"""Named amounts: pilots offer them, jobs take them and give them back, and nobody gets more."""

import pytest

from pilotage.matcher import Matcher
from pilotage.matcher.clauses.amounts import due, free_of, given_by, with_free
from pilotage.matcher.matcher import less
from pilotage.matcher.rules import Rules
from pilotage.matcher.types import Grant
from pilotage.proto.documents.job import Need
from tests.matcher.again import again, held
from tests.matcher.invariants import check

from .makes import offer, spec

NET = offer(amounts_free={"net": 100, "shm": 4})


def waiting(*needs: Need, jobs: int = 9, rules: Rules | None = None) -> Matcher:
    """Return a matcher in which jobs of one class each wait."""
    matcher = Matcher(rules or Rules())
    for class_id, need in enumerate(needs, start=1):
        matcher.add_class(spec(class_id, need))
        matcher.add(class_id, 5, range(100 * class_id, 100 * class_id + jobs))
    return matcher


#    needs                       offered                matches
FITTING = """
     net=100                     net=100                1
     net=101                     net=100                0
     net=40                      net=100                2
     net=40,shm=1                net=100,shm=1          1
     net=40,shm=1                net=100                0
     net=0                       -                      8
     net=1                       -                      0
     -                           net=1                  8
     net=9007199254740991        net=9007199254740991   1
"""


def amounts(text: str) -> dict[str, int]:
    pairs = [] if text == "-" else [pair.split("=") for pair in text.split(",")]
    return {name: int(amount) for name, amount in pairs}


@pytest.mark.parametrize("line", FITTING.strip().splitlines())
def test_as_many_jobs_start_as_the_named_amounts_allow(line: str) -> None:
    needs, offered, count = line.split()
    matcher = waiting(Need(amounts=amounts(needs)))

    found = matcher.match(offer(amounts_free=amounts(offered)), 8, 0.0)

    assert len(found) == int(count)
    assert all(match.grant.amounts == amounts(needs) for match in found)
    check(matcher)


def test_what_a_job_takes_is_gone_for_the_next_and_comes_back_with_its_end() -> None:
    matcher = waiting(Need(amounts={"net": 60}))
    (match,) = matcher.match(NET, 8, 0.0)
    left = less(NET, match.grant)
    matcher.confirm(match.job)
    assert left.amounts_free == {"net": 40, "shm": 4}
    assert matcher.match(left, 8, 0.0) == []
    matcher.ended(match.job)

    assert len(matcher.match(NET, 8, 0.0)) == 1


def test_jobs_without_named_amounts_fit_beside_those_that_take_them_all() -> None:
    matcher = waiting(Need(amounts={"net": 100}), Need())

    found = matcher.match(NET, 4, 0.0)

    assert [match.class_id for match in found] == [1, 2, 2, 2]


def test_a_job_is_charged_for_its_largest_part_of_a_named_amount() -> None:
    matcher = waiting(Need(amounts={"net": 50}))
    first, second = matcher.match(NET, 2, 0.0)

    assert (first.grant.charged_cores, second.grant.charged_cores) == (4.0, 4.0)


def test_a_parked_pilot_is_woken_for_what_it_has_enough_of() -> None:
    matcher = waiting(jobs=0)
    matcher.park(offer("less", amounts_free={"net": 10}), 1, 0.0)
    matcher.park(offer("none"), 1, 0.0)
    matcher.park(offer("enough", amounts_free={"net": 50}), 1, 0.0)
    matcher.add_class(spec(1, Need(amounts={"net": 20})))
    matcher.add(1, 5, [1, 2])

    assert [(one.pilot, one.job) for one in matcher.wake(0.0)] == [("enough", 1)]


def test_what_was_given_counts_after_a_restart() -> None:
    matcher = waiting(Need(amounts={"net": 60}))
    (match,) = matcher.match(NET, 1, 0.0)
    matcher.confirm(match.job)
    later = again(matcher.rules, held(matcher), 1.0)

    assert later.attempts.by_job[match.job].grant == match.grant


def test_the_missing_amount_is_told_with_the_most_that_is_offered() -> None:
    its = spec(1, Need(amounts={"net": 200, "shm": 1}))
    there = [NET, offer("p2", amounts_free={"net": 150}), offer("p3")]

    said = Matcher().explain(None, its, there, 0.0)

    (obstacle,) = said.obstacles
    assert (obstacle.clause, obstacle.wanted) == ("amounts", "net 200, shm 1")
    assert (obstacle.excludes, obstacle.best) == (3, "net 150, shm 4")
    assert said.notes == [
        "with net ≤ 100: 1 offer",
        "with net ≤ 150 and no shm: 1 offer",
    ]


def test_too_little_that_is_free_now_is_told_with_the_whole() -> None:
    its = spec(1, Need(amounts={"net": 80}))
    now = offer(amounts_free={"net": 30, "shm": 4})

    said = Matcher().explain(None, its, [NET], 0.0, free=lambda _: now)

    assert said.notes[0].startswith("the 1 fitting offer has too little free now: net 30 of 100")


def test_a_pilot_is_told_that_named_amounts_keep_jobs_from_it() -> None:
    matcher = waiting(Need(amounts={"net": 1}), jobs=2)

    said = matcher.explain_offer(offer(), 0.0)

    assert [(it.clause, it.excludes) for it in said.obstacles] == [("amounts", 2)]
    assert said.notes == ["without the clause amounts, 2 jobs would fit"]


def test_amounts_of_an_offer_stand_in_one_order() -> None:
    grant = Grant(1, 2, 3, 60.0, amounts={"shm": 1, "licence.x": 7})

    assert free_of(NET) == (8, 16_000, 10_000, 0, 100, 4)
    assert given_by(grant, NET) == (1, 2, 3, 0, 0, 1)
    assert due(Need(amounts={"shm": 2}), NET) == (1, 0, 0, 0, 0, 2)
    assert with_free(NET, [1, 2, 3, 0, 5, 6]).amounts_free == {"net": 5, "shm": 6}
