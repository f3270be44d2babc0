"""What really computes, second by second, whatever anybody believes."""

from dataclasses import dataclass, field

from .violation import Violation

AFTER_WAKING_S = 1.0  # a node that was frozen past its lease may run for so long after it wakes
EXACT_S = 1e-3


@dataclass(eq=False)
class Run:
    """One payload that computes."""

    job: int
    epoch: int
    node: str
    since: float
    unheld: bool = False  # its guard is stopped: not promised
    woken: bool = False  # it goes on because its node does


@dataclass
class Truth:
    """At most one payload of a job computes, and no node has more than fits it."""

    running: dict[int, list[Run]] = field(default_factory=dict[int, list[Run]])
    overlaps: dict[tuple[int, int, int], float] = field(  # by job and both epochs
        default_factory=dict[tuple[int, int, int], float]
    )
    started: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    crowded: set[int] = field(default_factory=set[int])  # jobs of which several compute

    def begin(self, job: int, epoch: int, node: str, now: float) -> Run:
        """A payload of a job begins to compute, or goes on."""
        run = Run(job, epoch, node, now)
        runs = self.running.setdefault(job, [])
        runs.append(run)
        if len(runs) > 1:
            self.crowded.add(job)
        return run

    def end(self, run: Run, now: float) -> None:
        """It computes no more. Raises Violation."""
        runs = self.running[run.job]
        runs.remove(run)
        for other in runs:
            if (other.epoch, other.node) != (run.epoch, run.node):
                self._overlap(run, other, now)
        if len(runs) <= 1:
            self.crowded.discard(run.job)
        if not runs:
            del self.running[run.job]

    def look(self, now: float) -> None:
        """Find payloads that have computed at once for too long, before one of them ends."""
        for job in sorted(self.crowded):
            runs = self.running[job]
            for one in runs:
                for other in runs:
                    both = now - max(one.since, other.since)
                    if one is not other and both > _bound_s(one, other):
                        raise _twice(one, other, both)

    def _overlap(self, run: Run, other: Run, now: float) -> None:
        both = max(0.0, now - max(run.since, other.since))
        if both > EXACT_S and not run.unheld | other.unheld:
            # A job may meet several nodes that wake: each has its second.
            pair = (run.job, min(run.epoch, other.epoch), max(run.epoch, other.epoch))
            self.overlaps[pair] = self.overlaps.get(pair, 0.0) + both
            if self.overlaps[pair] > _bound_s(run, other):
                raise _twice(run, other, self.overlaps[pair])


def _bound_s(one: Run, other: Run) -> float:
    if one.unheld or other.unheld:
        return float("inf")
    return AFTER_WAKING_S if one.woken or other.woken else EXACT_S


def _twice(one: Run, other: Run, both_s: float) -> Violation:
    return Violation(
        "two payloads",
        f"job {one.job}: epochs {one.epoch} on {one.node} and {other.epoch} on {other.node}"
        f" computed at once for {both_s:.2f} s",
    )
