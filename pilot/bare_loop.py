"""The bare loop that `pilotage bench pilot` compares with the pilot.

It starts and reaps the same processes, but has no central, journal, fences or reports. The
difference is the overhead of the pilot for each payload. It runs from the bundle.
"""

from __future__ import annotations

import os
from pathlib import Path

from .files.programs import resolve
from .guard import held_payload
from .outfit import isolation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "/usr/bin:/bin"


def main(clock: Callable[[], float], rung: str, starts: int, at_once: int, folder: str) -> None:
    """Start `true` this many times, `at_once` at a time; print starts per second."""
    rung = isolation.best_rung() if rung == "auto" else rung
    places = [Path(folder, str(n)) for n in range(at_once)]
    for place in places:
        for part in (isolation.WORK, isolation.TMP, isolation.PRIVATE):
            (place / part).mkdir(parents=True)
    began = clock()
    run(rung, starts, places, hidden=Path(folder))
    print(starts / (clock() - began))


def run(rung: str, starts: int, places: list[Path], *, hidden: Path) -> None:
    """Keep a process running in each place until all have been started, and reap them."""
    free, running = list(places), dict[int, Path]()
    left = starts
    while left or running:
        while left and free:
            place = free.pop()
            running[held_payload.start(order(rung, place, hidden))] = place
            left -= 1
        pid, _ = os.wait()
        free.append(running.pop(pid))


def order(rung: str, place: Path, hidden: Path) -> held_payload.Order:
    """Return a guard's order with only the fields that a start needs."""
    environment = {"PATH": PATH, "HOME": str(place / "work"), "TMPDIR": str(place / "tmp")}
    wrapping = isolation.wrap(
        rung,
        environment,
        marks={"PILOTAGE_ATTEMPT": "0"},
        folder=place,
        hidden=(hidden,),
    )
    return {
        "argv": [resolve("true", str(place / "work"), PATH)],
        "folder": str(place),
        "prefix": list(wrapping.prefix),
        "env": dict(wrapping.environment),
        "feed": wrapping.feed,
    }
