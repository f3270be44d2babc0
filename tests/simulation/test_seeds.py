"""A few seeds in the gate; `make simulate` runs more."""

import pytest

from tests.simulation.__main__ import run

SEEDS = 12


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_a_seeded_world_keeps_the_promises(seed: int) -> None:
    assert run(seed).jobs


def test_the_same_seed_gives_the_same_trace() -> None:
    assert run(3).trace == run(3).trace
