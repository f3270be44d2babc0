"""The yardsticks themselves, on cases that can be told by heart."""

import pytest

from tests.simulation.quality.compare import compare
from tests.simulation.quality.ctao import load
from tests.simulation.quality.load import DAY_S, HOUR_S
from tests.simulation.quality.measures import BIN_S, misplaced, shared_out, spread_over
from tests.simulation.quality.plot import picture


def test_what_the_modest_leave_is_shared_by_weight() -> None:
    wanted = {"a": 1_000.0, "b": 1_000.0, "c": 10.0}

    due = shared_out(100.0, wanted, {"a": 2.0, "b": 1.0, "c": 7.0})

    assert due == pytest.approx({"a": 60.0, "b": 30.0, "c": 10.0})


def test_where_all_wishes_are_met_each_is_due_what_it_wanted() -> None:
    wanted = {"a": 10.0, "b": 5.0}

    assert shared_out(100.0, wanted, {"a": 1.0, "b": 1.0}) == wanted


def test_misplaced_is_the_part_that_would_have_to_change_hands() -> None:
    assert misplaced({"a": 70.0, "b": 30.0}, {"a": 60.0, "b": 40.0}) == pytest.approx(0.1)


def test_core_time_of_a_job_is_spread_over_the_bins_it_runs_through() -> None:
    bins = [0.0, 0.0, 0.0]

    spread_over(bins, BIN_S - HOUR_S, 2 * BIN_S + HOUR_S, 2)

    assert bins == [2 * HOUR_S, 2 * BIN_S, 2 * HOUR_S]


def test_a_seed_gives_the_same_week_again_and_the_same_jobs_to_each_policy() -> None:
    small = load(7, length_s=DAY_S / 2, scale=0.05)

    outcomes = compare(small)

    assert [outcome.busy_core_s for outcome in compare(small)] == [
        outcome.busy_core_s for outcome in outcomes
    ]
    assert len({tuple(sorted(known.wanted_core_s.items())) for known in outcomes}) == 1
    assert picture(outcomes).count("<polyline") == 3 * 4
