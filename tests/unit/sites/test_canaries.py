"""Whose job tries a place at which jobs have failed."""

from typing import Any, cast

from pilotage.central.sites.suspended_hosts import PASSED_MAX, match_canary
from pilotage.matcher import Matcher
from pilotage.matcher.types import Grant, LiveOffer, Match

MALLORY, MARIA = 1, 2  # classes
OFFER = cast(LiveOffer, None)


class Waiting:
    """Jobs in the order in which they are matched."""

    def __init__(self, *classes: int) -> None:
        self.left = [
            Match(job=job, class_id=one, priority=0, grant=Grant(1, 1, 0, 1.0))
            for job, one in enumerate(classes)
        ]
        self.put: list[int] = []

    def match(self, offer: LiveOffer, most: int, now: float) -> list[Match]:
        return [self.left.pop(0)] if self.left else []

    def put_back(self, job: int) -> None:
        self.put.append(job)


def canary(waiting: Waiting, aside: dict[int, float] | None = None) -> list[int]:
    found = match_canary(
        cast(Matcher, cast(Any, waiting)),
        OFFER,
        aside or {},
        lambda one: one.class_id == MALLORY,
        0,
    )
    return [one.job for one in found]


def test_a_job_of_another_owner_goes_first_and_the_others_are_put_back() -> None:
    waiting = Waiting(MALLORY, MALLORY, MARIA, MARIA)

    assert canary(waiting) == [2]
    assert waiting.put == [0, 1]
    assert len(waiting.left) == 1


def test_where_there_is_no_other_owner_the_same_one_tries_again() -> None:
    waiting = Waiting(*[MALLORY] * (2 * PASSED_MAX))

    assert canary(waiting, aside={0: 9.0}) == [1]
    assert waiting.put == [0, *range(2, PASSED_MAX)]


def test_a_job_that_is_not_for_the_host_never_tries_it() -> None:
    waiting = Waiting(MALLORY, MARIA)

    assert canary(waiting, aside={0: 9.0, 1: 9.0}) == []
    assert waiting.put == [0, 1]
