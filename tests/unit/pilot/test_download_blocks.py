"""The blocks of a download: large on a fast connection, and without loss if it breaks."""

from collections.abc import Sequence
from typing import Any

import pytest

from pilotage.pilot.data import http_driver
from pilotage.pilot.data.storages import SUMMED_LATER, StorageUnavailable

STEP = 1 << 18


class Body:
    """A response that gives parts of some sizes, then its end or an error."""

    def __init__(self, sizes: Sequence[int], end: Exception | None = None) -> None:
        self._sizes, self._end = list(sizes), end
        self.length = sum(sizes)
        self.reads = 0

    def readinto(self, buffer: memoryview) -> int:
        self.reads += 1
        if not self._sizes:
            if self._end is not None:
                raise self._end
            return 0
        size = self._sizes.pop(0)
        buffer[:size] = bytes([self.reads]) * size
        self.length -= size
        return size


def _sizes(body: Any) -> list[int]:
    return [len(block) for block in http_driver.blocks(body)]


def test_parts_that_come_fast_are_passed_on_together() -> None:
    assert _sizes(Body([STEP] * 20)) == [1 << 20] * 5


def test_parts_that_come_slowly_are_passed_on_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_driver, "_FILL_S", 1e-9)

    assert _sizes(Body([STEP, 1, STEP])) == [STEP, 1, STEP]


def test_what_arrived_before_a_break_is_passed_on() -> None:
    body: Any = Body([STEP, 7], ConnectionResetError("reset"))
    blocks = http_driver.blocks(body)

    assert bytes(next(blocks)) == b"\1" * STEP + b"\2" * 7
    with pytest.raises(StorageUnavailable, match="reset"):
        next(blocks)


def test_a_block_stays_until_its_checksum_is_computed() -> None:
    body: Any = Body([STEP] * 24)
    blocks = http_driver.blocks(body)
    first = next(blocks)
    before = bytes(first)
    for _ in range(SUMMED_LATER):
        next(blocks)

    assert bytes(first) == before
