"""Outages of hours, of all kinds, alone and among other faults: a few worlds in the gate."""

import pytest

from .campaign import campaign, replay
from .planted_outages import WITH_OUTAGES

SEEDS, LED_SEEDS = 6, 4
LONG_SEEDS = 1_000
WITHIN = 100
FOUND = {"killed_early": 3, "frozen_for_ever": 11, "old_deadline": 3}


@pytest.mark.parametrize(("seeds", "leaders"), [(SEEDS, False), (LED_SEEDS, True)])
def test_worlds_keep_the_promises_if_something_is_away_for_hours(seeds: int, leaders: bool) -> None:
    _holds(seeds, leaders=leaders)


@pytest.mark.long
@pytest.mark.parametrize("leaders", [False, True])
def test_a_thousand_worlds_keep_the_promises_if_something_is_away_for_hours(
    leaders: bool,
) -> None:
    _holds(LONG_SEEDS, leaders=leaders)


@pytest.mark.parametrize("bug", FOUND)
def test_a_planted_bug_is_found(bug: str) -> None:
    if campaign(FOUND[bug], 1, planted=bug, outages=True, processes=1).violations:
        return
    _is_found(bug)


@pytest.mark.long
@pytest.mark.parametrize("bug", WITH_OUTAGES)
def test_a_planted_bug_is_found_anew(bug: str) -> None:
    _is_found(bug)


def _is_found(bug: str) -> None:
    found = campaign(1, WITHIN, planted=bug, outages=True, stop=True)

    assert found.violations, f"{WITHIN} worlds do not show that {WITH_OUTAGES[bug].says}"


def _holds(seeds: int, *, leaders: bool) -> None:
    violations = campaign(1, seeds, leaders=leaders, outages=True).violations

    assert not violations, "\n".join(
        f"seed {seed}: {why}\n  {replay(seed, leaders=leaders, outages=True)}"
        for seed, why in violations.items()
    )
