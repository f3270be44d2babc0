"""What a run is judged by."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from .load import HOUR_S, Load

BIN_S: Final = 4 * HOUR_S  # of the drawings over time

K = TypeVar("K")

OwnerKey = tuple[str, str]  # group, owner


@dataclass(kw_only=True, repr=False)
class Waits:
    """How long the jobs of one kind waited; those that wait at the end count with what they have
    waited so far."""

    started: int = 0
    waiting: int = 0
    waits_s: list[float] = field(default_factory=list[float])

    def quantile(self, part: float) -> float:
        """Return a quantile of the waits in seconds, 0 for none."""
        if not self.waits_s:
            return 0.0
        ordered = sorted(self.waits_s)
        return ordered[min(len(ordered) - 1, math.ceil(part * len(ordered)) - 1)]


@dataclass(kw_only=True, repr=False)
class Outcome:
    """What one policy made of one load."""

    load: Load
    policy: str
    busy_core_s: float = 0.0
    alive_core_s: float = 0.0
    wasted_core_s: float = 0.0  # idle while a waiting job would have fitted
    # The same of each amount, by the word for what a job is given of it.
    busy: dict[str, float] = field(default_factory=lambda: defaultdict[str, float](float))
    wasted: dict[str, float] = field(default_factory=lambda: defaultdict[str, float](float))
    started: int = 0
    wanted_then: dict[OwnerKey, list[float]] = field(default_factory=dict[OwnerKey, list[float]])
    got_then: dict[OwnerKey, list[float]] = field(default_factory=dict[OwnerKey, list[float]])
    waits: dict[str, Waits] = field(default_factory=dict[str, Waits])
    dry_s: dict[OwnerKey, float] = field(default_factory=dict[OwnerKey, float])

    @property
    def utilisation(self) -> float:
        """Busy core time in what could have been busy: idle cores count while a job would fit."""
        return self.busy_core_s / (self.busy_core_s + self.wasted_core_s)

    def utilisation_of(self, amount: str) -> float:
        """Return what was busy of an amount in what could have been busy."""
        return self.busy[amount] / (self.busy[amount] + self.wasted[amount])

    @property
    def occupancy(self) -> float:
        """Busy core time in all core time of pilots, whether jobs fitted or not."""
        return self.busy_core_s / self.alive_core_s

    @property
    def longest_wait_s(self) -> float:
        return max(waits.quantile(1.0) for waits in self.waits.values())

    @property
    def longest_dry_s(self) -> float:
        """The longest time that an owner with waiting jobs got nothing."""
        return max(self.dry_s.values(), default=0.0)

    @property
    def wanted_core_s(self) -> dict[OwnerKey, float]:
        return {owner: sum(bins) for owner, bins in self.wanted_then.items()}

    @property
    def got_core_s(self) -> dict[OwnerKey, float]:
        return {owner: sum(bins) for owner, bins in self.got_then.items()}

    def due_core_s(self) -> dict[OwnerKey, float]:
        """Return what each owner was due: bin by bin what all got, shared out by weight among those
        who had work left, first between groups and then between their owners."""
        due = dict.fromkeys(self.wanted_then, 0.0)
        left = dict(due)
        for at in range(len(next(iter(self.got_then.values())))):
            for owner, bins in self.wanted_then.items():
                left[owner] += bins[at]
            total = sum(bins[at] for bins in self.got_then.values())
            for owner, core_s in self._shared_out(total, left).items():
                due[owner] += core_s
                left[owner] -= core_s
        return due

    def _shared_out(self, total: float, wanted: Mapping[OwnerKey, float]) -> dict[OwnerKey, float]:
        load = self.load
        groups = self.by_group(wanted)
        weights = {group: load.weight(load.community, group) for group in groups}
        due: dict[OwnerKey, float] = {}
        for group, of_group in shared_out(total, groups, weights).items():
            here = {owner: core_s for owner, core_s in wanted.items() if owner[0] == group}
            due |= shared_out(
                of_group, here, {owner: load.weight(load.community, *owner) for owner in here}
            )
        return due

    def by_group(self, core_s: Mapping[OwnerKey, float]) -> dict[str, float]:
        groups: dict[str, float] = {}
        for (group, _), value in core_s.items():
            groups[group] = groups.get(group, 0.0) + value
        return groups

    @property
    def share_error_groups(self) -> float:
        """The part of all core time that went to another group than it was due to."""
        return misplaced(self.by_group(self.got_core_s), self.by_group(self.due_core_s()))

    @property
    def share_error_owners(self) -> float:
        """The part of all core time that went to another owner than it was due to."""
        return misplaced(self.got_core_s, self.due_core_s())


def shared_out(
    total: float, wanted: Mapping[K, float], weights: Mapping[K, float]
) -> dict[K, float]:
    """Share out by weight; nobody gets more than wanted, and what he leaves the others share."""
    due: dict[K, float] = {}
    open_ = dict(wanted)
    while open_:
        rate = total / sum(weights[key] for key in open_)
        modest = [key for key, most in open_.items() if most <= rate * weights[key]]
        if not modest:
            return due | {key: rate * weights[key] for key in open_}
        for key in modest:
            due[key] = open_.pop(key)
            total -= due[key]
    return due


def misplaced(got: Mapping[K, float], due: Mapping[K, float]) -> float:
    """Return the part of the whole that would have to change hands."""
    keys = got.keys() | due.keys()
    off = sum(abs(got.get(key, 0.0) - due.get(key, 0.0)) for key in keys)
    return off / 2 / sum(got.values())


def spread_over(bins: list[float], start_s: float, end_s: float, cores: int) -> None:
    """Add the core time of one job to the bins that it runs through."""
    at = int(start_s // BIN_S)
    while start_s < end_s and at < len(bins):
        until_s = min(end_s, (at + 1) * BIN_S)
        bins[at] += cores * (until_s - start_s)
        start_s, at = until_s, at + 1


def parts(outcome: Outcome) -> dict[str, list[float]]:
    """Return each group's part of what was busy, bin by bin."""
    bins = [
        outcome.by_group(dict(zip(outcome.got_then, values, strict=True)))
        for values in zip(*outcome.got_then.values(), strict=True)
    ]
    return {
        group: [core_s[group] / (sum(core_s.values()) or 1.0) for core_s in bins]
        for group in sorted(bins[0])
    }
