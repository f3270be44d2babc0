"""Wall clocks jump: no lease changes, no attempt is lost, and whoever has a token goes on.

The central is a real process whose wall clock can be set while it works. (libfaketime would do the
same to any process; it holds up the threads of this one for seconds.)
"""

import asyncio
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .campaign import under_load

JUMPS = {
    "an hour back": -3_600.0,
    "a minute on": 60.0,
    "a day on": 86_400.0,
}
SLOWLY = ("an hour back", "a minute on")

# Python runs this before anything else of a process.
CUSTOMIZE = """
import mmap, struct, time
with open({file!r}, "rb") as file:
    _offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
_true = time.time
time.time = lambda: _true() + struct.unpack("d", _offset)[0]
"""


class WallClock:
    """The wall clock of processes that are started now."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.write_bytes(bytes(8))

    def jump(self, offset_s: float) -> None:
        with self._file.open("r+b") as file:
            file.write(struct.pack("d", offset_s))


@contextmanager
def settable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[WallClock]:
    """Give processes that are started from here on a wall clock of ours."""
    place = folder / "customized"
    place.mkdir()
    clock = WallClock(place / "offset")
    (place / "sitecustomize.py").write_text(CUSTOMIZE.format(file=str(place / "offset")))
    with monkeypatch.context() as patch:
        others = os.environ.get("PYTHONPATH", "")
        patch.setitem(os.environ, "PYTHONPATH", f"{place}{os.pathsep}{others}")
        yield clock


@pytest.mark.parametrize(
    "jump",
    [pytest.param(name, marks=pytest.mark.long if name in SLOWLY else ()) for name in JUMPS],
)
async def test_a_wall_clock_that_jumps_costs_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: str
) -> None:
    options = {"lease.lease_s": "5"}
    with settable(tmp_path, monkeypatch) as clock:
        async with under_load(tmp_path / "it", options, job_s=1.5, pause_s=1.0) as stage:
            await asyncio.sleep(1.0)
            clock.jump(JUMPS[jump])
            await asyncio.sleep(3.5)
            assert (await stage.client.health()).pilots == len(stage.crowd.members)

    assert stage.crowd.truth.begun_again() == [], "a lease was judged by the wall clock"
