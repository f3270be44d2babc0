"""A matcher that is rebuilt as at a start goes on as the one before would have."""

from pilotage.matcher import Matcher
from pilotage.matcher.rules import Rules, RunningLimit, StartLimit
from pilotage.proto.documents.job import Need
from tests.matcher.again import again as again_of, held
from tests.matcher.invariants import check

from .makes import offer, spec

RULES = Rules(
    shares={"ctao/sim/ada": 3.0},
    running=(RunningLimit(where="PIC", by="owner", value="eve", most=4),),
)


def busy() -> Matcher:
    """Return a matcher in the middle of its work."""
    matcher = Matcher(RULES)
    for class_id, owner in enumerate(("ada", "bob", "eve"), start=1):
        matcher.add_class(spec(class_id, Need(wall_s=1000 * class_id), owner=owner))
        matcher.add(class_id, 5, range(class_id * 1000, class_id * 1000 + 50))
    matcher.add(2, 9, [10])
    matcher.add(2, 0, [11])
    for now in range(20):
        for match in matcher.match(offer(f"p{now}"), 1, float(now)):
            matcher.confirm(match.job)
            if now % 3 == 0:
                matcher.ended(match.job)  # all the time that it had asked for: nothing is learnt
    return matcher


def served(matcher: Matcher, first: float) -> list[int]:
    found: list[int] = []
    for step in range(120):
        for match in matcher.match(offer("later"), 1, first + step):
            matcher.confirm(match.job)
            found.append(match.job)
    check(matcher)
    return found


def test_a_rebuilt_matcher_hands_out_the_same_jobs_in_the_same_order() -> None:
    before = busy()
    again = again_of(RULES, held(before, 20.0), 20.0)

    check(again)
    assert len(again) == len(before)
    assert served(again, 20.0) == served(before, 20.0)


def test_a_clock_that_begins_anew_changes_nothing() -> None:
    before = busy()
    state = held(before, 20.0)
    again = again_of(RULES, state, 1e6)

    assert served(again, 1e6)[:50] == served(before, 20.0)[:50]
    assert {path: round(level) for path, level in state.levels.items()} == {
        path: round(level) for path, level in held(again_of(RULES, state, 5e5), 5e5).levels.items()
    }


def test_what_is_pending_or_kept_waits_in_a_snapshot() -> None:
    matcher = Matcher()
    matcher.add_class(spec(1))
    matcher.park(offer("p2"), 1, 0.0)
    matcher.add(1, 5, [1, 2, 3])
    matcher.match(offer("p1"), 1, 0.0)
    matcher.wake(0.0)

    assert held(matcher, 0.0).waiting == [(1, 1), (1, 2), (1, 3)]
    assert held(matcher, 0.0).running == []


def test_rates_begin_empty_and_limits_with_what_runs() -> None:
    rules = Rules(
        running=(RunningLimit(where="PIC", by="owner", value="ada", most=2),),
        starts=(StartLimit(where="CSCS", by="owner", value="ada", per_s=1.0, burst=5),),
    )
    matcher = Matcher(rules)
    matcher.add_class(spec(1, owner="ada"))
    matcher.add(1, 5, range(10))
    for match in matcher.match(offer(), 1, 0.0):
        matcher.confirm(match.job)
    again = again_of(rules, held(matcher, 10.0), 10.0)

    assert len(again.match(offer(), 5, 10.0)) == 1
    assert len(again.match(offer(site="CSCS"), 8, 10.0)) == 0
    assert len(again.match(offer(site="CSCS"), 8, 13.0)) == 3
    check(again)
