"""What scouts tell, and when a transformation is braked."""

import pytest

from pilotage.central.transformations.scouts import Figures, figures, resized, too_many_failed
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.messages import Usage
from pilotage.proto.transformation_states import TaskState


def test_figures_are_a_high_percentile_with_room() -> None:
    usages = [
        Usage(memory_peak_mb=float(mb), wall_s=100.0, scratch_peak_mb=10.0, bytes_out=5)
        for mb in (*range(100, 119), 9_000)
    ]
    found = figures(usages)

    assert found == Figures(
        scouts=20, memory_mb=192, scratch_mb=256, wall_s=600, cpu_s=0.0, bytes_out=5
    )
    assert figures(usages[-1:]).memory_mb == 11_264, "of few the highest counts"
    assert figures([]) == Figures(scouts=0)


@pytest.mark.parametrize(
    ("need", "expected"),
    [
        (Need(), Need(memory_mb=192, scratch_mb=256, wall_s=600)),
        (Need(memory_mb=128, wall_s=60), Need(memory_mb=128, scratch_mb=256, wall_s=60)),
        (
            Need(memory_per_core_mb=2_000),
            Need(memory_per_core_mb=2_000, scratch_mb=256, wall_s=600),
        ),
    ],
)
def test_a_template_gets_no_more_than_it_asks_for(need: Need, expected: Need) -> None:
    found = Figures(scouts=3, memory_mb=192, scratch_mb=256, wall_s=600)

    assert resized(Job(command=("x",), needs=(need,)), found).needs == (expected,)


@pytest.mark.parametrize(
    ("done", "failed", "pauses"),
    [(70, 30, False), (69, 31, True), (0, 9, False), (0, 10, True), (7, 4, True)],
)
def test_too_many_failures_brake_and_say_how_many(done: int, failed: int, pauses: bool) -> None:
    ends = [TaskState.DONE] * done + [TaskState.FAILED] * failed
    said = too_many_failed(ends, 0.3)

    assert bool(said) is pauses
    assert (
        not said
        or said == f"{failed} of the last {done + failed} tasks have failed; at most 30% may fail"
    )
