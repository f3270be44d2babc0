"""A campaign comes to its end by itself, each file in one task of each step that takes it."""

from collections import Counter
from pathlib import Path

import pytest

from .campaign import Plan, play


@pytest.mark.parametrize(
    ("plan", "jobs"),
    [
        (Plan(productions=2, runs=12, part=0.03), 180),
        pytest.param(Plan(), 1_000_000, marks=pytest.mark.long),
    ],
    ids=["two-small-ones", "a-year"],
)
def test_productions_complete_by_themselves(plan: Plan, jobs: int, tmp_path: Path) -> None:
    year = play(plan, tmp_path, tell=print)

    assert year.jobs >= jobs
    assert year.states == Counter(Completed=48 * plan.productions)
    assert set(year.inputs) == {"Processed", "Shared"}
    assert year.done_twice == 0
    assert year.files > year.jobs
    assert year.attempts >= year.jobs
