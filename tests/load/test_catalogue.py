"""The bench of the catalogue at a tiny setting: it runs, and all of its goals have figures.

The figures themselves need a quiet machine: `pilotage bench catalogue`.
"""

import pytest

from tests.bench import catalogue
from tests.bench.goals import GOALS


def test_the_bench_of_the_catalogue_gives_a_figure_for_each_goal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalogue, "FILES", 2_000)
    monkeypatch.setattr(catalogue, "REQUESTS", 2)
    work, figures = catalogue.run()

    assert "13 metadata keys" in work
    assert {name for bench, name in GOALS if bench == "catalogue"} <= {f.name for f in figures}
    assert all(figure.value > 0 for figure in figures)
