"""The bench of CWL at a small size. The figures need a quiet machine: `pilotage bench cwl`."""

from tests.bench.cwl import NAME, compared, scatter
from tests.bench.goals import GOALS

ELEMENTS = 100


def test_a_scatter_is_taken_in_and_measured() -> None:
    figures = {one.name: one for one in scatter.measure(ELEMENTS)}

    assert {name for its, name in GOALS if its == NAME} <= figures.keys()
    assert all(figures[one].value > 0 for one in figures if "beyond" not in one)


def test_both_workflows_run_on_pilots() -> None:
    found = [one.name for one in compared.measure(4, 2)]

    assert found == ["gather, pilotage", "diamond, pilotage"]
