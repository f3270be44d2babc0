"""How many calls go into a job of a map, and how many jobs are sent ahead."""

import pytest

from pilotage.central.client.executor.chunk_sizes import ChunkSizes

#    calls in all  seconds of a call  calls in the next job
TABLE = """
     100000        0.000001           10000
     100000        0.001              2000
     100000        0.1                20
     100000        10                 1
     1000          0.001              250
     1000          0.1                20
     100           0.1                4
     -             0.001              2000
     -             10                 1
"""


@pytest.mark.parametrize("row", [line.split() for line in TABLE.splitlines() if line.strip()])
def test_a_job_takes_about_two_seconds(row: list[str]) -> None:
    total, call_s, calls = row
    sizes = ChunkSizes(None if total == "-" else int(total))
    sizes.measured(1, float(call_s))

    assert sizes.calls() == int(calls)


def test_the_first_jobs_have_one_call_each() -> None:
    sizes = ChunkSizes(100_000)

    assert sizes.calls() == 1
    assert sizes.jobs(unfinished=0, running=0) == 32
    assert sizes.jobs(unfinished=32, running=16) == 0


def test_a_central_with_more_slots_gets_more_jobs() -> None:
    sizes = ChunkSizes(100_000)
    assert sizes.jobs(unfinished=32, running=32) == 32
    sizes.measured(1, 1.0)

    assert sizes.jobs(unfinished=64, running=64) == 192
    assert sizes.jobs(unfinished=0, running=10**6) == 10_000


def test_large_arguments_and_results_make_small_jobs() -> None:
    sizes = ChunkSizes(None)
    sizes.sent(1, 1 << 20)
    sizes.measured(1, 0.000_001)
    assert sizes.calls() == 8
    sizes.measured(2, 0.000_001, 4 << 20)

    assert sizes.calls() == 4


def test_a_slow_first_call_is_forgotten() -> None:
    sizes = ChunkSizes(None)
    sizes.measured(1, 1.0)  # with the import of a library
    for _ in range(12):
        sizes.measured(100, 0.1)

    assert sizes.calls() > 1_000


def test_a_fixed_size_stays() -> None:
    sizes = ChunkSizes(10, fixed=7)
    sizes.measured(1, 100.0)

    assert sizes.calls() == 7
