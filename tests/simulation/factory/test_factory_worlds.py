"""The factory in worlds where the central dies and elements lose, forget and invent things."""

from collections import Counter

import pytest

from .world import Outcome, run

SEEDS, LONG_SEEDS = 3, 200
KINDS = 19  # of what may go wrong


@pytest.fixture(scope="module")
def few() -> list[Outcome]:
    return [run(seed) for seed in range(SEEDS)]


def test_limits_hold_and_every_pilot_and_job_comes_to_an_end(few: list[Outcome]) -> None:
    assert {one.seed: one.broken for one in few if one.broken} == {}


def test_all_of_it_goes_wrong(few: list[Outcome]) -> None:
    assert len(_happened(few)) >= KINDS // 2, _happened(few)


def test_elements_that_find_no_pilot_by_its_stamp_are_found_out() -> None:
    found = (run(seed, hides_stamps=True).broken for seed in range(2, 20))

    # Pilots of which nobody knows are beyond the limits.
    assert any(" may" in one for broken in found for one in broken)


@pytest.mark.long
def test_a_world_repeats_itself() -> None:
    one, other = run(3), run(3)

    assert (one.took_s, one.happened) == (other.took_s, other.happened)


@pytest.mark.long
def test_two_hundred_worlds_of_the_factory() -> None:
    found = [run(seed) for seed in range(1_000, 1_000 + LONG_SEEDS)]

    assert {one.seed: one.broken for one in found if one.broken} == {}
    assert len(_happened(found)) >= KINDS


def _happened(worlds: list[Outcome]) -> Counter[str]:
    return sum((one.happened for one in worlds), Counter[str]())
