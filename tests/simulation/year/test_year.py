"""A campaign comes to its end by itself, each file in one task of each step that takes it."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from .campaign import Plan, play

# The second process has another order of hashes, and a store that takes its time.
_DIGEST = """
import random, sys, time
from pathlib import Path
from tests.simulation.year import campaign

class Slow(campaign.YearStore):
    async def synced(self):
        time.sleep(random.random() / 500)
        await super().synced()

if sys.argv[2] == "slow":
    campaign.YearStore = Slow
plan = campaign.Plan(productions=1, runs=2, part=0.03, seed=7)
print(campaign.play(plan, Path(sys.argv[1])).digest)
"""


SHORT = Plan(productions=2, runs=12, part=0.03, bad=0.02, allowed=0.5)


@pytest.mark.parametrize(
    ("plan", "jobs"),
    [(SHORT, 250), pytest.param(Plan(), 980_000, marks=pytest.mark.long)],
    ids=["two-small-ones", "a-year"],
)
def test_productions_complete_by_themselves(plan: Plan, jobs: int, tmp_path: Path) -> None:
    """Nobody acts, although files are bad, storages refuse, and a node fails all jobs."""
    year = play(plan, tmp_path, tell=print)

    assert year.jobs >= jobs
    assert year.states == Counter(Completed=48 * plan.productions)
    assert set(year.inputs) == {"Processed", "Shared", "Problematic"}
    assert year.done_twice == 0
    assert year.files > year.jobs
    assert year.attempts >= year.jobs
    assert year.bad_read > 0
    assert year.bad_left == 0, "bad files that are not Problematic"
    assert year.innocent == 0, "good files that are Problematic"
    assert set(year.seen) == {"fell back", "not stored", "not fetched"}
    assert 0 < year.hole_failed < 0.1 * year.attempts
    assert year.requests > 2 * year.jobs and year.messages > 0


def test_a_year_is_the_same_in_every_process_at_every_speed(tmp_path: Path) -> None:
    children: list[subprocess.Popen[bytes]] = []
    for seed, speed in (("0", "fast"), ("7", "slow")):
        (tmp_path / speed).mkdir()
        argv = [sys.executable, "-c", _DIGEST, str(tmp_path / speed), speed]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        children.append(subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE))
    said = {child.communicate(timeout=300)[0] for child in children}

    assert [child.returncode for child in children] == [0, 0]
    assert len(said) == 1


def test_another_seed_gives_another_year(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
    years = [
        play(Plan(productions=1, runs=2, part=0.03, seed=seed), tmp_path / str(seed))
        for seed in (1, 2)
    ]

    assert years[0].digest != years[1].digest
