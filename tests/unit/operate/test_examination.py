"""How far a clock is ahead, by the date of an answer: nothing within what that leaves open."""

import email.utils
import time

import pytest

from pilotage.central.operate.doctor.examination import skew_s


@pytest.mark.parametrize(
    ("behind_s", "found_s"), [(0, 0), (1, 0), (2, 0), (30, 30), (-30, -30), (3_600, 3_600)]
)
def test_the_skew_is_what_the_header_cannot_explain(behind_s: float, found_s: float) -> None:
    now = time.time()
    found = skew_s(email.utils.formatdate(now - behind_s, usegmt=True), now)

    assert found == pytest.approx(found_s, abs=1.5)


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_without_a_date_nothing_is_said(date: str) -> None:
    assert skew_s(date, time.time()) is None
