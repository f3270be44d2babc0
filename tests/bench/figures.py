"""What a bench gives back: figures beside their goals, with the machine and the work."""

import msgspec

from .goals import GOALS, Goal
from .machine import Machine


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number. `met` is None where there is no goal, or the machine was not quiet."""

    name: str
    value: float
    unit: str
    goal: str = ""
    met: bool | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one bench."""

    bench: str
    machine: Machine
    work: str
    figures: list[Figure]
    bound: str = ""  # by what the figures are bounded, as a profile shows it
    store: str = ""  # what the central kept its jobs in, where that is no file

    @property
    def section(self) -> str:
        """Return under which name the page keeps it."""
        return f"{self.bench}-postgresql" if self.store else self.bench

    @property
    def title(self) -> str:
        return f"{self.bench} on PostgreSQL" if self.store else self.bench

    @property
    def command(self) -> str:
        if self.bench == "soak":
            return "make soak"
        given = " --store postgresql" if self.store else ""
        return f"pilotage bench {self.bench}{given}"

    @property
    def good(self) -> bool:
        """Whether no goal was missed."""
        return all(figure.met is not False for figure in self.figures)


def figure(bench: str, name: str, value: float, unit: str) -> Figure:
    """Return a figure beside its goal, if there is one."""
    goal: Goal | None = GOALS.get((bench, name))
    if goal is None:
        return Figure(name=name, value=_short(value), unit=unit)
    assert goal.unit == unit, f"{bench} {name}: goal in {goal.unit}, figure in {unit}"
    return Figure(name=name, value=_short(value), unit=unit, goal=goal.text, met=goal.is_met(value))


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _short(value: float) -> float:
    """Keep four significant digits: more would be noise."""
    return float(f"{value:.4g}")
