"""The goals of scheduling, on small loads; `make quality` runs the week and writes its page."""

from functools import cache
from pathlib import Path

import pytest

from tests.matcher.invariants import check
from tests.simulation.quality import ctao, lhcb, starving
from tests.simulation.quality.__main__ import written
from tests.simulation.quality.compare import POLICIES, pilotage
from tests.simulation.quality.load import DAY_S, HOUR_S
from tests.simulation.quality.measures import Outcome
from tests.simulation.quality.play import Play

DOCS = Path(__file__).resolve().parents[3] / "docs"
LOADS = {
    "CTAO-like": ctao.load(length_s=3 * DAY_S, scale=0.2),
    "LHCb-like": lhcb.load(length_s=4 * DAY_S, scale=0.1),
}


@cache
def outcome(load: str, policy: str = "pilotage") -> Outcome:
    """Return what a policy makes of a load; each is run once."""
    return Play(LOADS[load], POLICIES[policy](LOADS[load]), policy).run()


@pytest.mark.parametrize("load", LOADS)
def test_cores_are_idle_only_where_no_waiting_job_fits(load: str) -> None:
    assert outcome(load).utilisation >= 0.98


@pytest.mark.parametrize("load", LOADS)
def test_core_time_goes_to_whom_it_is_due(load: str) -> None:
    assert outcome(load).share_error_groups <= 0.04
    assert outcome(load).share_error_owners <= 0.06  # a burst at the end has not had its turn


@pytest.mark.parametrize("policy", ["FIFO", "random"])
@pytest.mark.parametrize("load", LOADS)
def test_shares_are_kept_better_than_by_plain_picking(load: str, policy: str) -> None:
    assert outcome(load).share_error_groups < outcome(load, policy).share_error_groups / 2


@pytest.mark.parametrize("load", LOADS)
def test_no_owner_goes_without_for_long(load: str) -> None:
    assert outcome(load).longest_dry_s <= 12 * HOUR_S


def test_wide_jobs_and_scarce_ones_are_not_starved_by_narrow_ones() -> None:
    ours, fifo = outcome("CTAO-like").waits, outcome("CTAO-like", "FIFO").waits

    for kind in ("wide 16", "wide 64", "gpu", "large memory"):
        ours_s, fifo_s = ours[kind].quantile(0.5), fifo[kind].quantile(0.5)
        assert ours_s < fifo_s * 0.6
        assert ours[kind].waiting <= fifo[kind].waiting / 2


def test_no_wide_job_waits_longer_than_a_day_in_a_full_installation() -> None:
    waits = outcome("CTAO-like").waits

    assert waits["wide 16"].quantile(1.0) <= DAY_S
    assert waits["wide 64"].quantile(1.0) <= DAY_S


def test_users_of_small_bursts_pass_a_production_that_fills_all() -> None:
    assert outcome("LHCb-like").waits["User"].quantile(0.5) <= 2 * HOUR_S


def test_nothing_in_the_matcher_disagrees_after_a_day() -> None:
    load = ctao.load(5, length_s=DAY_S, scale=0.1)
    matcher = pilotage(load)

    Play(load, matcher, "pilotage").run()

    check(matcher)


@pytest.mark.parametrize("case", starving.CASES)
def test_a_class_that_fits_an_empty_pilot_starts_in_time_beside_endless_small_jobs(
    case: str,
) -> None:
    _see_that_large_jobs_start(case, 1.5 * DAY_S)


@pytest.mark.long
@pytest.mark.parametrize("case", starving.CASES)
def test_a_class_that_fits_an_empty_pilot_starts_in_time_all_week(case: str) -> None:
    _see_that_large_jobs_start(case, 7 * DAY_S)


def _see_that_large_jobs_start(case: str, length_s: float) -> None:
    found = starving.run(case, length_s)
    large = found.waits[starving.LARGE]

    assert large.started >= 5
    assert large.quantile(1.0) <= starving.BOUND_S  # of those that wait at the end too
    assert found.utilisation_of(starving.CASES[case].amount) >= 0.92


@pytest.mark.long
def test_the_page_says_what_the_week_gives() -> None:
    for name, text in written(days=7.0, scale=1.0, seed=1).items():
        assert (DOCS / (name or "scheduling.md")).read_text(encoding="utf-8") == text
