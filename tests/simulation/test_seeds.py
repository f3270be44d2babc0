"""150 worlds in the gate, thirty thousand in `make long`; `make simulate` runs others."""

import os
import subprocess
import sys

import pytest

from . import seeds
from .campaign import campaign, replay
from .world import run

SEEDS = 150
LONG_FIRST, LONG_SEEDS = 10_000, 30_000
_DIGESTS = (
    "from tests.simulation.campaign import campaign; print(campaign(1, 2, processes=1).digests)"
)


@pytest.mark.parametrize("start", seeds.starts(SEEDS))
def test_seeded_worlds_keep_the_promises(start: int) -> None:
    found = campaign(seeds.first() + start, seeds.A_CASE, processes=1)

    assert not found.violations, _told(found.violations)
    assert found.seeds == seeds.A_CASE
    assert found.compared > seeds.A_CASE, "memory was hardly ever compared with the store"


@pytest.mark.long
def test_thirty_thousand_seeded_worlds_keep_the_promises() -> None:
    found = campaign(LONG_FIRST, LONG_SEEDS)

    assert not found.violations, _told(found.violations)


def test_the_same_seed_gives_the_same_trace() -> None:
    one, other = run(3), run(3)

    assert one.trace == other.trace
    assert one.steps == other.steps > 1_000


def test_the_same_seed_gives_the_same_trace_in_every_process() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", _DIGESTS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            timeout=120,
        ).stdout
        for seed in ("0", "7")
    }

    assert len(said) == 1


def _told(violations: dict[int, str]) -> str:
    return "\n".join(f"seed {seed}: {why}\n  {replay(seed)}" for seed, why in violations.items())
