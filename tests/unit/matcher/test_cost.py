"""What odd jobs cost: counted in questions to single needs, not in seconds."""

from pilotage.matcher import Matcher
from pilotage.matcher.explanation.job_explanation import QUESTIONS_MAX
from pilotage.matcher.index.class_index import ClassIndex
from pilotage.proto.documents.job import Need, Preference
from tests.matcher.invariants import check

from .makes import offer, spec

ALTERNATIVES = 16
CLASSES = 80


def tangled(number: int) -> Need:
    """Return a need that only the expression itself can answer for, with tags of its own."""
    pairs = "|".join(f"(c{at} & x{number}.{at})" for at in range(4))
    return Need(tags=f"{pairs} | (c4 & y{number})")


def crowded() -> tuple[Matcher, ClassIndex]:
    """Return a matcher with many tangled needs."""
    matcher = Matcher()
    for number in range(1, CLASSES + 1):
        needs = tuple(tangled(ALTERNATIVES * number + at) for at in range(ALTERNATIVES))
        matcher.add_class(spec(number, *needs))
        matcher.add(number, 5, [number])
    (index,) = matcher.index.all()
    return matcher, index


def tags(*more: str) -> frozenset[str]:
    return frozenset(("c0", "c1", "c2", "c3", "c4", *more))


def test_what_was_asked_once_of_a_kind_of_offer_is_not_asked_again_when_a_class_comes() -> None:
    matcher, index = crowded()
    there = offer(tags=tags())
    matcher.match(there, 1, 0.0)
    once = index.questions

    assert once >= CLASSES * ALTERNATIVES, "none can be told by its words"

    matcher.add_class(spec(CLASSES + 1))

    assert index.questions == once, "a class that comes asks nothing"

    matcher.match(there, 1, 1.0)

    assert index.questions <= once + 24, "the new need alone is asked, once by each clause"


def test_explain_looks_at_the_fewer_offers_the_more_each_of_them_costs() -> None:
    matcher, index = crowded()
    matcher.add_class(spec(CLASSES + 1, Need(wall_s=60)))
    offers = [offer(f"p{at}", tags=tags(f"t{at}")) for at in range(200)]
    before = index.questions
    found = matcher.explain(None, spec(CLASSES + 1, Need(wall_s=60)), offers, 0.0)

    assert found.fitting == 200
    assert index.questions - before < 2 * (QUESTIONS_MAX + CLASSES * (ALTERNATIVES + 1) + 200)


def test_a_class_whose_best_job_changes_again_and_again_leaves_one_timer() -> None:
    matcher = Matcher()
    matcher.add_class(spec(1, preference=Preference(sites=("PIC",), for_s=604_800)))
    for job, now in ((1, 0.0), (2, 5_000.0)):
        matcher.wake(now)
        matcher.add(1, 5, [job])
    for _ in range(100):
        for priority in (9, 1):
            matcher.set_priority(2, priority)
    (index,) = matcher.index.all()
    check(matcher)

    assert index.timers == 1
