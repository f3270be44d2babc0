"""The bench of the factory at a tiny setting: it runs, and no limit is passed.

The figures themselves need a quiet machine: `pilotage bench factory`.
"""

from tests.bench import factory
from tests.bench.goals import GOALS

SMALL = factory.Scale(
    elements=40, classes=200, plans=2, filled=6, slots=7, every_s=0.1, pilot_sh=100
)


def test_the_bench_of_the_factory_fills_all_slots_and_passes_no_limit() -> None:
    figures = {one.name: one.value for one in factory.measure(SMALL)}

    assert figures["limits passed"] == 0
    assert figures["slots left empty"] == 0
    assert figures["fill, 42 slots"] > 0
    assert 0 < figures["plan, 40 elements, 200 classes"] < 1_000


def test_each_goal_of_the_factory_has_its_figure() -> None:
    full = factory.FULL
    names = {
        f"plan, {full.elements} elements, {full.classes} classes",
        f"fill, {full.filled * full.slots} slots",
        "limits passed",
        "slots left empty",
    }

    assert names <= {name for bench, name in GOALS if bench == factory.NAME}
