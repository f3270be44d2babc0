"""A process believes in its lead for less than the row allows, from before it asked."""

import pytest

from pilotage.central.leadership import ALONE, LEASE_S, RENEW_EVERY_S, STAND_S, LeaderLease


class Watch:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_stands_from_its_sending_and_not_from_the_answer() -> None:
    watch = Watch()
    standing = LeaderLease(7, "http://here", watch)
    before = standing.leads
    watch.now = 102.0  # the answer came late
    standing.granted(100.0)

    assert not before and standing.leads
    assert standing.left_s() == pytest.approx(STAND_S - 2.0)
    watch.now = 100.0 + STAND_S
    assert not standing.leads


def test_an_answer_that_came_too_late_gives_nothing() -> None:
    watch = Watch()
    standing = LeaderLease(7, "", watch)
    standing.granted(100.0)
    watch.now = 100.0 + STAND_S + 1.0
    standing.granted(101.0 - STAND_S)

    assert not standing.leads


def test_renewals_move_it_later_and_never_back() -> None:
    watch = Watch()
    standing = LeaderLease(7, "", watch)
    standing.granted(101.0)
    standing.granted(100.0)  # answered after the one that was sent later

    assert standing.left_s() == pytest.approx(1.0 + STAND_S)


def test_it_ends_before_the_row_does_however_wrong_clocks_go() -> None:
    """Between both there is more than a second: a clock that goes by a fifth too slow is safe."""
    assert STAND_S * 1.2 < LEASE_S
    assert STAND_S > 2 * RENEW_EVERY_S  # one renewal that is lost ends nothing


def test_alone_it_always_leads_with_the_first_term() -> None:
    assert ALONE.leads and ALONE.term == 1 and ALONE.url() is None
