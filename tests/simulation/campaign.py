"""Many seeds, in several processes: what was found, and what it has cost."""

import gc
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from .in_processes import begins, in_processes, is_over
from .planted import planted as plant
from .planted_leaders import OF_APIS
from .violation import Violation
from .world import World, run

SLICE = 10  # seeds that a process takes at a time
# First, seeds, planted, leaders, outages, runs, stop.
_Slice = tuple[int, int, str, bool, bool, bool, bool]
_YOUNG = 20_000  # objects between two collections: a world makes many, and few that are waste


@dataclass
class Found:
    """What some seeds have shown."""

    seeds: int = 0
    cpu_s: float = 0.0
    virtual_s: float = 0.0
    steps: int = 0
    compared: int = 0
    take_overs: int = 0
    led_late_s: float = 0.0  # the longest time in which nobody led, although one could
    violations: dict[int, str] = field(default_factory=dict[int, str])
    digests: dict[int, str] = field(default_factory=dict[int, str])

    def add(self, other: "Found") -> None:
        self.seeds += other.seeds
        self.cpu_s += other.cpu_s
        self.virtual_s += other.virtual_s
        self.steps += other.steps
        self.compared += other.compared
        self.take_overs += other.take_overs
        self.led_late_s = max(self.led_late_s, other.led_late_s)
        self.violations |= other.violations
        self.digests |= other.digests


def campaign(
    first: int,
    seeds: int,
    *,
    planted: str = "",
    leaders: bool = False,
    outages: bool = False,
    runs: bool = False,
    processes: int = 2,
    stop: bool = False,
) -> Found:
    """Run seeds; with `stop` no new ones are begun after the first violation.

    With `runs` people run CWL documents.
    """
    found = Found()
    slices = [
        (start, min(SLICE, first + seeds - start), planted, leaders, outages, runs, stop)
        for start in range(first, first + seeds, SLICE)
    ]
    parts = _parts(slices, processes)
    for part in parts:
        found.add(part)
        if stop and found.violations:
            parts.close()
    return found


def _parts(slices: list[_Slice], processes: int) -> Generator[Found]:
    if processes < 2 or len(slices) < 2:
        yield from map(_some, slices)
        return
    yield from in_processes(_some, slices, processes)


def _some(asked: _Slice) -> Found:
    """Run some seeds in this process."""
    first, seeds, planted, leaders, outages, runs, stop = asked
    found, began = Found(), time.process_time()
    thresholds = gc.get_threshold()
    gc.set_threshold(_YOUNG, 50, 1_000)
    try:
        with plant(planted) as prepare:
            if runs:
                prepare = of_runs()
            for seed in range(first, first + seeds):
                if is_over():
                    break
                begins(seed)
                try:
                    world = run(
                        seed,
                        leaders=leaders,
                        outages=outages,
                        apis=may_have_apis(planted),
                        prepare=prepare,
                    )
                except Violation as why:
                    world = why.world
                    found.violations[seed] = str(why)
                found.seeds += 1
                found.virtual_s += world.virtual_s
                found.steps += world.loop.steps
                found.compared += world.invariants.compared
                if world.leaders is not None:
                    found.take_overs += world.leaders.holds.take_overs
                    found.led_late_s = max(found.led_late_s, world.leaders.holds.longest_s)
                found.digests[seed] = world.digest.hexdigest()
                if stop and found.violations:
                    break
    finally:
        gc.set_threshold(*thresholds)
    found.cpu_s = time.process_time() - began
    return found


def may_have_apis(planted: str) -> bool:
    """Whether some worlds have an api process. Without one, older bugs keep their seeds."""
    return not planted or planted in OF_APIS


def of_runs() -> Callable[[World], None]:
    """Return what lets people run CWL documents. To import the library takes a second."""
    from .cwl_story import with_run

    return with_run


def replay(
    seed: int,
    planted: str = "",
    *,
    leaders: bool = False,
    outages: bool = False,
    runs: bool = False,
) -> str:
    """Return the command that runs one seed again and shows what happens."""
    bug = f" --planted {planted}" if planted else ""
    kinds = {" --leaders": leaders, " --outages": outages, " --runs": runs}
    two = "".join(word for word, is_one in kinds.items() if is_one)
    return f".venv/bin/python -m tests.simulation --seeds 1 --seed {seed} --trace{two}{bug}"
