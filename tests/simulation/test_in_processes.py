"""The search in several processes never waits for one that is gone."""

import os
import time

import pytest

from .in_processes import WorldLost, begins, in_processes, is_over


def _doubled(part: int) -> int:
    begins(part)
    return 2 * part


def _ends_at_five(part: int) -> int:
    begins(100 + part)
    if part == 5:
        os._exit(3)
    return part


def _hangs_at_five(part: int) -> int:
    begins(100 + part)
    if part == 5:
        time.sleep(600)
    return part


def _until_over(part: int) -> int:
    for world in range(100):
        begins(world)
        if part == 0 or is_over():
            return world
        time.sleep(0.1)
    return 100


def test_parts_come_in_order() -> None:
    assert list(in_processes(_doubled, range(20), 2)) == [2 * part for part in range(20)]


def test_a_process_that_ends_is_told_with_its_world() -> None:
    with pytest.raises(WorldLost, match=r"\b105\b"):
        list(in_processes(_ends_at_five, range(20), 2))


def test_a_world_without_an_end_is_told() -> None:
    began = time.monotonic()

    with pytest.raises(WorldLost, match=r"more than 1 s.*\b105\b"):
        list(in_processes(_hangs_at_five, range(20), 2, world_s=1.0))

    assert time.monotonic() - began < 60


def test_the_rest_is_left_when_nobody_wants_it() -> None:
    began = time.monotonic()
    parts = in_processes(_until_over, range(20), 2)

    assert next(parts) == 0
    parts.close()

    assert time.monotonic() - began < 8
