"""All goals, in one place. They hold on a quiet machine of two cores."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A bound on a figure."""

    bound: float
    unit: str
    at_least: bool  # otherwise: at most

    @property
    def text(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


def _least(bound: float, unit: str) -> Goal:
    return Goal(bound, unit, at_least=True)


def _most(bound: float, unit: str) -> Goal:
    return Goal(bound, unit, at_least=False)


GOALS: dict[tuple[str, str], Goal] = {
    ("submit", "parametric, 100 000 in one call"): _least(200_000, "jobs/s"),
    ("submit", "distinct, 1 000 a call"): _least(50_000, "jobs/s"),
    ("submit", "neighbour's single commit, p99"): _most(15, "ms"),
    ("latency", "namespaces, p50"): _most(8, "ms"),
    ("latency", "namespaces, p99"): _most(20, "ms"),
    ("noop", "plain rung"): _least(475, "jobs/s"),
    ("noop", "central's CPU, plain rung"): _most(200, "µs/job"),
    ("status", "summary request, p99"): _most(5, "ms"),
    ("status", "status request, p99"): _most(50, "ms"),
    ("status", "filtered search, p99"): _most(50, "ms"),
    ("status", "pilotage summary, whole command"): _most(300, "ms"),
    ("status", "pilotage status, whole command"): _most(300, "ms"),
}
