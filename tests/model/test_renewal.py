"""The model of the renewal secret keeps its promises, and each plausible variant breaks one."""

import pytest

from .renewal import VARIANTS, World

SEEDS, WITHIN = 1_000, 400


def test_no_honest_pilot_is_ended_and_each_theft_that_is_used_is_found() -> None:
    found = {seed: why for seed in range(SEEDS) if (why := World(seed).run())}

    assert not found


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_wrong_variant_is_found(variant: str) -> None:
    assert any(World(seed, variant).run() for seed in range(WITHIN)), VARIANTS[variant]


def test_the_worlds_have_thefts_restarts_and_honest_ones() -> None:
    worlds = [World(seed) for seed in range(100)]
    for world in worlds:
        world.run()

    assert sum(world.thief is not None and world.thief.used > 0 for world in worlds) > 20
    assert sum(world.thief is None for world in worlds) > 20
    assert sum(world.lives > 3 for world in worlds) > 20
