"""What is measured beside the guard: what it is told, and that a folder which hangs harms none."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.pilot.files import footprint, usage_sampler as scales
from pilotage.pilot.files.footprint import Footprint
from pilotage.pilot.files.usage_sampler import UsageSampler, shared_once_mb
from pilotage.pilot.guard.limits import PayloadLimits

PATIENCE_S = 10.0


class Told:
    """What the guard was told."""

    def __init__(self) -> None:
        self.orders: list[dict[str, object]] = []

    def __call__(self, **order: object) -> None:
        self.orders.append(order)

    async def until(self, holds: Callable[[dict[str, object]], bool]) -> dict[str, object]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for order in self.orders:
                    if holds(order):
                        return order
                await asyncio.sleep(0.005)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scales, "FIRST_S", 0.02)
    monkeypatch.setattr(scales, "STUCK_S", 0.2)


def _folder(tmp_path: Path, name: str, mb: int) -> Path:
    (tmp_path / name).mkdir()
    (tmp_path / name / "file").write_bytes(b"x" * (mb * 1_000_000))
    return tmp_path / name


@pytest.mark.usefixtures("quick")
async def test_the_guard_is_told_what_a_folder_holds_and_an_end_what_it_held_last(
    tmp_path: Path,
) -> None:
    told = Told()
    on = UsageSampler(told, asyncio.get_running_loop(), time.sleep)
    folder = _folder(tmp_path, "one", 2)
    on.put_on(7, folder, PayloadLimits({"scratch_mb": 10}))
    order = await told.until(lambda one: one["do"] == "measured")
    (folder / "more").write_bytes(b"x" * 3_000_000)
    left = await on.take_off(7, [1.0, 0.5, 12.0, 2])
    on.close()

    assert (order["attempt_id"], order["unmeasurable"]) == (7, "")
    assert order["scratch_mb"] == pytest.approx(2.0, abs=0.1)
    assert left.scratch_mb == pytest.approx(5.0, abs=0.1)
    seconds, cpu_s, memory_mb, scratch_mb, processes = (folder / "usage").read_text().split()
    assert [seconds, cpu_s, memory_mb, processes] == ["1.0", "0.50", "12.0", "2"]
    assert float(scratch_mb) == pytest.approx(5.0, abs=0.1)


@pytest.mark.usefixtures("quick")
async def test_a_folder_that_does_not_answer_is_said_so_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, real, told = threading.Event(), footprint.measure, Told()

    def measure(folder: Path, processes: object = (), *, pause: object) -> Footprint:
        if folder.name == "hangs":
            answered.wait(PATIENCE_S)
        return real(folder, pause=time.sleep)

    monkeypatch.setattr(footprint, "measure", measure)
    on = UsageSampler(told, asyncio.get_running_loop(), time.sleep)
    on.put_on(1, _folder(tmp_path, "hangs", 1), PayloadLimits({}))
    on.put_on(2, _folder(tmp_path, "answers", 1), PayloadLimits({}))
    stuck = await told.until(lambda one: one["attempt_id"] == 1)
    other = await told.until(lambda one: one["attempt_id"] == 2)
    began = time.monotonic()
    left = await on.take_off(1, [1.0, 0.0, 0.0, 1])
    took_s = time.monotonic() - began
    answered.set()
    on.close()

    assert stuck["unmeasurable"] == left.unmeasurable != ""
    assert other["scratch_mb"] == pytest.approx(1.0, abs=0.1)
    assert took_s < 0.5


async def test_a_payload_that_nobody_looked_at_needs_no_thread(tmp_path: Path) -> None:
    before, told = threading.active_count(), Told()
    on = UsageSampler(told, asyncio.get_running_loop(), time.sleep)
    on.put_on(1, tmp_path, PayloadLimits({}))
    left = await on.take_off(1, None)
    on.close()

    assert (left, told.orders, threading.active_count()) == (Footprint(), [], before)


def test_memory_of_processes_that_are_gone_is_none(tmp_path: Path) -> None:
    assert shared_once_mb([2**22 + 1]) == 0.0


def test_a_line_never_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "usage").symlink_to(tmp_path / "precious")

    with pytest.raises(OSError, match="symbolic"):
        scales.add_line(tmp_path, [1.0, 1.0, 1.0, 1], Footprint())
    assert (tmp_path / "precious").read_text() == "precious"
