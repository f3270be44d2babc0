"""The bench of data at a tiny setting: it runs, and its goals have figures.

The figures themselves need a quiet machine: `pilotage bench data`.
"""

import pytest

from tests.bench import data
from tests.bench.goals import GOALS
from tests.services import rucio
from tests.services.xrootd import missing

SMALL = data.Scale(stream_mb=5, rounds=1, files=20, objects=20, fetches=1, staged=20, outputs=20)
WITHOUT_RUCIO = bool(rucio.missing())
EXPECTED = {
    name
    for bench, name in GOALS
    if bench == "data" and "aws" not in name and not (WITHOUT_RUCIO and "outbox" in name)
}
CPU_MAX_MS = 60.0  # of a staged file, on a machine that others share

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "XRootD is there")


def test_the_bench_of_data_has_a_figure_for_each_goal() -> None:
    figures = {one.name: one.value for one in data.measure(SMALL)}

    assert set(figures) >= EXPECTED
    assert all(value > 0 for value in figures.values())
    assert figures["a staged file, CPU of pilot and guard"] <= CPU_MAX_MS
