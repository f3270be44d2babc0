"""The rows of the issue of the matcher: each a function that measures one of them.

A row runs in a process of its own (`python -m tests.bench.matcher ROW`), so that memory
and the collector of garbage are those of that row alone.
"""

from collections.abc import Callable
from typing import Final

from ..figures import Figure, figure
from . import calls, change, look, mixes, parking, pauses, room, served
from .loads import production
from .steady import Steady

BENCH: Final = "matcher"
ROUNDS: Final = 30  # of 1 000 asks

Row = Callable[..., list[Figure]]  # some take the number of jobs


def lhcb(jobs: int = 0) -> list[Figure]:
    """Measure on the waiting jobs of LHCb, or on another number that is spread as they are."""
    steady = Steady(production(jobs))
    return [
        _rate("LHCb, 5 000 pilots", steady.rate(ROUNDS)),
        figure(BENCH, "LHCb, one match() call, p99", steady.p99_us(ROUNDS), "µs"),
    ]


def all_clauses(jobs: int = 1_000_000) -> list[Figure]:
    """Measure with every clause, limits and shares in use, a hundred jobs a class on average."""
    steady = Steady(mixes.all_clauses(jobs, jobs // 100))
    return [
        _rate("10^6 jobs, 10 000 classes, all clauses", steady.rate(ROUNDS)),
        figure(BENCH, "all clauses, one match() call, p99", steady.p99_us(ROUNDS), "µs"),
    ]


def distinct() -> list[Figure]:
    """Measure where no two jobs need the same: nothing is submitted meanwhile."""
    steady = Steady(mixes.distinct(100_000), refills=False)
    return [_rate("10^5 jobs of distinct needs", steady.rate(ROUNDS // 3))]


def millions() -> list[Figure]:
    """Measure ten million jobs: rate, and everything that the process holds."""
    steady = Steady(mixes.few_classes(10_000_000, 1_000))
    rate = steady.rate(ROUNDS)
    return [
        _rate("10^7 jobs, 1 000 classes", rate),
        figure(BENCH, "10^7 jobs, whole process", room.resident_mb(), "MB"),
    ]


def _rate(name: str, value: float) -> Figure:
    return figure(BENCH, name, value, "matches/s")


ROWS: Final[dict[str, Row]] = {
    "lhcb": lhcb,
    "all_clauses": all_clauses,
    "distinct": distinct,
    "memory": room.run,
    "add": change.adding,
    "classes": change.making_classes,
    "rebuild": change.rebuilding,
    "parked": parking.run,
    "explain": look.run,
    "pauses": pauses.run,
    "calls": calls.run,
    "served": served.run,
}
LONG: Final[dict[str, Row]] = {"millions": millions}  # left to `make load`
