"""Outages of hours, of all kinds, alone and among other faults: a few worlds in the gate."""

import pytest

from .campaign import campaign, replay
from .planted_outages import WITH_OUTAGES

# Whether there are two leaders, and seeds: the central for less than two hours and for more, the
# network among other faults, the disk; the database for less than two hours.
GATE = {False: (19, 11, 12, 18), True: (18,)}
LONG_SEEDS = 1_000
WITHIN = 100
FOUND = 25  # a world that shows a payload that was killed early


@pytest.mark.parametrize(
    ("leaders", "seed"), [(leaders, seed) for leaders, seeds in GATE.items() for seed in seeds]
)
def test_a_world_keeps_the_promises_if_something_is_away_for_hours(
    leaders: bool, seed: int
) -> None:
    _holds(seed, 1, leaders=leaders)


@pytest.mark.long
@pytest.mark.parametrize("leaders", [False, True])
def test_a_thousand_worlds_keep_the_promises_if_something_is_away_for_hours(
    leaders: bool,
) -> None:
    _holds(1, LONG_SEEDS, leaders=leaders)


def test_a_planted_bug_is_found() -> None:
    assert campaign(FOUND, 1, planted="killed_early", outages=True, processes=1).violations


@pytest.mark.long
@pytest.mark.parametrize("bug", WITH_OUTAGES)
def test_a_planted_bug_is_found_among_a_hundred_worlds(bug: str) -> None:
    found = campaign(1, WITHIN, planted=bug, outages=True, stop=True)

    assert found.violations, f"{WITHIN} worlds do not show that {WITH_OUTAGES[bug].says}"


def _holds(first: int, seeds: int, *, leaders: bool) -> None:
    violations = campaign(first, seeds, leaders=leaders, outages=True).violations

    assert not violations, "\n".join(
        f"seed {seed}: {why}\n  {replay(seed, leaders=leaders, outages=True)}"
        for seed, why in violations.items()
    )
