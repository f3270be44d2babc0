"""Which idle pilots are let go: small cases, and promises over random ones."""

import random

import pytest

from pilotage.central.factory.planning.idle_pilots import ElementIdleness, IdlePilot, spare
from pilotage.central.factory.planning.trials import Trials

FULL = ElementIdleness(is_known=True, is_full=True, is_wanted=True, idle_s=300.0, drain_max=9)
ROOMY = ElementIdleness(is_known=True, is_full=False, is_wanted=True, idle_s=300.0, drain_max=9)
ALONE = ElementIdleness(is_known=True, is_full=True, is_wanted=False, idle_s=300.0, drain_max=9)
UNKNOWN = ElementIdleness(is_known=False, is_full=True, is_wanted=True, idle_s=300.0, drain_max=9)


@pytest.mark.parametrize(
    ("home", "idle_s", "goes"),
    [
        (FULL, 29.0, False),  # its next job may come in a moment
        (FULL, 31.0, True),
        (ROOMY, 31.0, False),
        (ROOMY, 301.0, True),
        (ALONE, 31.0, False),
        (ALONE, 301.0, True),
        (UNKNOWN, 999.0, False),
    ],
)
def test_a_pilot_goes_when_its_place_is_needed_or_its_time_is_over(
    home: ElementIdleness, idle_s: float, goes: bool
) -> None:
    assert bool(spare([IdlePilot("p1", 0, idle_s)], {0: home})) is goes


@pytest.mark.parametrize("seed", range(50))
def test_a_few_of_each_element_the_longest_idle_first_and_none_without_its_element(
    seed: int,
) -> None:
    chance = random.Random(seed)
    homes = {
        at: ElementIdleness(
            is_known=chance.random() < 0.8,
            is_full=chance.random() < 0.5,
            is_wanted=chance.random() < 0.5,
            idle_s=chance.choice([60.0, 300.0]),
            drain_max=chance.randrange(4),
        )
        for at in range(5)
    }
    idle = [
        IdlePilot(f"p{number}", chance.randrange(6), chance.uniform(0, 400)) for number in range(40)
    ]

    gone = spare(idle, homes)

    for at in range(6):
        mine = [one for one in idle if one.element == at]
        went = [one for one in mine if one.pilot in gone]
        stayed = [one.idle_s for one in mine if one.pilot not in gone]
        most = homes[at].drain_max if at in homes and homes[at].is_known else 0
        assert len(went) <= most
        if len(went) < most:
            assert all(idle_s < homes[at].idle_s for idle_s in stayed)
        elif went:
            assert min(one.idle_s for one in went) >= 30.0
            assert min(one.idle_s for one in went) >= max(
                (idle_s for idle_s in stayed), default=0.0
            )


def test_pilots_of_one_round_that_come_back_empty_are_one_step() -> None:
    trials, key = Trials(), ("PIC", "slurm", "shape 0", "ctao")
    trials.note(worked=(), empty=[key] * 20, idle=(), wanted={key}, now=0.0)
    first = trials.by_place[key].pause_s
    trials.note(worked=(), empty=[key], idle=(), wanted={key}, now=100.0)

    assert (first, trials.by_place[key].pause_s) == (60.0, 120.0)
    assert trials.room(key, 0, 219.0) == 0
    assert trials.room(key, 0, 221.0) == 1
    assert trials.room(key, 1, 221.0) == 0
    assert "21 pilots ended without a job" in trials.by_place[key].why(221.0)
