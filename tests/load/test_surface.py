"""The bench of what users wait for, at a tiny setting: it runs, and its goals have figures.

The figures need a quiet machine: `pilotage bench surface`.
"""

from tests.bench import surface
from tests.bench.goals import GOALS


def test_all_outputs_come_and_each_goal_has_a_figure() -> None:
    scale = surface.Scale(jobs=300, bytes=1_000, times=1, mapped=2_000, submitted=20)
    figures = surface.measure(scale)

    goals = {name for its, name in GOALS if its == surface.NAME and "HyperQueue" not in name}
    assert goals <= {one.name for one in figures}
    assert all(one.value > 0 for one in figures if one.unit == "files/s")
