"""The benchmark: chunks on a clock that a test moves, and the real one, shortly."""

import os
import time

import pytest

from pilotage.pilot.detect import benchmark, benchmark_loops
from pilotage.pilot.node.benchmark_run import Measuring


class SteppedClock:
    """Each reading is as much later as the list says, its last entry again and again."""

    def __init__(self, *steps: float) -> None:
        self._steps, self._at = list(steps), 0.0

    def __call__(self) -> float:
        self._at += self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        return self._at


def nothing() -> None:
    pass


def test_the_fastest_chunk_counts_so_that_other_work_disturbs_little() -> None:
    assert benchmark_loops.best(SteppedClock(0, 0.2, 0.1, 0.3), 0.5, nothing) == pytest.approx(10)


def test_a_coarse_clock_does_not_count_chunks_as_endless() -> None:
    assert benchmark_loops.best(SteppedClock(0, 0, 0, 0.25), 0.5, nothing) == pytest.approx(4)


def test_the_score_is_the_geometric_mean_against_the_reference() -> None:
    reference = benchmark.REFERENCE
    figures = (reference.integer_per_s, reference.float_per_s, reference.memory_mb_per_s)

    assert benchmark.scored(*figures) == reference
    assert benchmark.scored(8 * figures[0], figures[1], figures[2]).score == 2.0


def test_a_core_is_measured_by_a_process_of_its_own() -> None:
    found = Measuring(0.03).wait()

    assert found.value is not None
    assert found.value.method == benchmark.METHOD
    assert 0.01 < found.value.score < 100
    assert found.value == benchmark.scored(
        found.value.integer_per_s, found.value.float_per_s, found.value.memory_mb_per_s
    )
    assert found.source == "measured (pilotage-1)"


def test_a_measurement_that_nobody_wants_any_more_leaves_no_process() -> None:
    measuring = Measuring(2.0)
    began = time.monotonic()
    measuring.end()
    measuring.end()

    assert time.monotonic() - began < 1.5, "it was not waited for"
    with pytest.raises(ChildProcessError):
        os.waitpid(measuring.pid, os.WNOHANG)


def test_nothing_is_measured_where_that_is_not_wanted() -> None:
    found = Measuring(0.0).wait()

    assert (found.value, found.known, found.notes) == (None, False, ())


NONE = (
    "",
    "Killed",
    "1 2",
    "1 2 3 4",
    "1 2 x",
    "1 2 0",
    "1 2 -3",
    "1 2 nan",
    "1 2 inf",
    "1 2 1e99",
)


@pytest.mark.parametrize("printed", NONE)
def test_figures_that_are_none_are_refused(printed: str) -> None:
    assert benchmark.parse("1 2.5 3\n") is not None
    assert benchmark.parse(printed) is None
