"""What the load tests measure, and the result that they are compared with."""

import time
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.figures import Figure
from tests.bench.machine import Machine
from tests.bench.matcher import row

COMMITTED: Final = Path(__file__).parent / "results.json"
SIZES: Final = (10_000, 100_000, 1_000_000)

# Name → the row of `pilotage bench matcher`, and how many jobs it is given.
SHORT: Final[dict[str, tuple[str, tuple[int, ...]]]] = {
    **{f"LHCb, {jobs}": ("lhcb", (jobs,)) for jobs in SIZES[:2]},
    **{f"all clauses, {jobs}": ("all_clauses", (jobs,)) for jobs in SIZES[:2]},
    f"over HTTP, {SIZES[0]}": ("served", SIZES[:1]),
}
LONG: Final[dict[str, tuple[str, tuple[int, ...]]]] = {
    f"LHCb, {SIZES[2]}": ("lhcb", SIZES[2:]),
    f"all clauses, {SIZES[2]}": ("all_clauses", SIZES[2:]),
    **{f"over HTTP, {jobs}": ("served", (jobs,)) for jobs in SIZES[1:]},
    "ten millions": ("millions", ()),
}

SLOWER: Final = 2.0  # a rate may be so much lower, a time so much longer
SHARED: Final = 4.0  # where other processes of the machine make it longer: HTTP, the rare slow call
TRIES: Final = 3
RISING: Final = ("jobs/s", "matches/s")


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """One run of all cases."""

    machine: Machine
    speed: float  # of that machine
    cases: dict[str, list[Figure]]


def measure(name: str) -> list[Figure]:
    """Measure one case."""
    word, jobs = (SHORT | LONG)[name]
    return row(word, *jobs)


def worse(name: str, then: Results) -> list[str]:
    """Measure a case, again when it is worse than it was, and say how it is worse at last."""
    before = {figure.name: figure for figure in then.cases[name]}
    said: list[str] = []
    for _ in range(TRIES):
        faster = speed() / then.speed  # than the machine of that result; it changes within minutes
        found = measure(name)
        print(name, *(f"{one.name}: {one.value:g} {one.unit}" for one in found), sep="\n  ")
        said = [word for one in found if (word := how_worse(one, before[one.name], faster))]
        if not said:
            return []
    return said


def how_worse(now: Figure, then: Figure, faster: float) -> str:
    """Say how a figure is worse than it was on a machine of this speed; empty: it is not."""
    is_shared = now.name.startswith("over HTTP") or now.name.endswith("p99")
    slack = SHARED if is_shared else SLOWER
    if now.unit in RISING:
        bound = then.value * faster / slack
        return "" if now.value >= bound else f"{now.name}: {now.value:g} {now.unit} < {bound:g}"
    bound = then.value * slack / (1.0 if now.unit == "MB" else faster)
    return "" if now.value <= bound else f"{now.name}: {now.value:g} {now.unit} > {bound:g}"


def speed() -> float:
    """Return how fast this machine is at such work now: rounds of a small loop in a second."""
    best = 0.0
    for _ in range(5):
        began = time.thread_time()
        seen: dict[int, int] = {}
        for n in range(100_000):
            seen[n * 7_919 & 0xFFFF] = seen.get(n & 0xFFFF, 0) ^ n
        best = max(best, 1.0 / (time.thread_time() - began))
    return best
