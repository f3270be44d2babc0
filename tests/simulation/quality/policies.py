"""Ways to pick: the matcher's public interface, and two plain policies to compare it with."""

import random
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

from pilotage.matcher.clauses import amounts, clause_table
from pilotage.matcher.index import exact_fit
from pilotage.matcher.types import ClassSpec, LiveOffer, Match, ParkedWake
from tests.matcher.rule import first_fitting

from .load import Load, less

UNBOUNDED: Final = 1_000_000_000  # more memory, scratch and wall time than anyone asks for


class Policy(Protocol):
    """What the simulation calls: a part of `Matcher`, which is one."""

    def add_class(self, spec: ClassSpec) -> None: ...
    def add(self, class_id: int, priority: int, jobs: Iterable[int]) -> None: ...
    def match(self, offer: LiveOffer, jobs_max: int, now: float) -> list[Match]: ...
    def confirm(self, job: int) -> None: ...
    def ended(self, job: int, used_core_s: float | None = None) -> None: ...
    def park(self, offer: LiveOffer, ask: int, now: float) -> None: ...
    def withdraw(self, pilot: str) -> None: ...
    def wake(self, now: float) -> list[ParkedWake]: ...


class ExactRule:
    """The exact rule for the classes of a load, with a look at numbers before it."""

    def __init__(self, load: Load) -> None:
        self._clauses = clause_table.table({})
        self._specs = {class_id: known.spec for class_id, known in load.classes.items()}
        self._least = {
            class_id: (
                min(need.cores_min for need in spec.needs),
                min(map(amounts.least_memory_mb, spec.needs)),
                min(need.wall_s for need in spec.needs),
            )
            for class_id, spec in self._specs.items()
        }
        self._able: dict[tuple[str, str], frozenset[int]] = {}

    def able(self, offer: LiveOffer) -> frozenset[int]:
        """Return the classes that a pilot of this element could run if nothing else ran on it."""
        key = (offer.site, offer.element)
        if key not in self._able:
            whole = msgspec.structs.replace(
                offer,
                cores_free=offer.cores,
                memory_free_mb=UNBOUNDED,
                scratch_free_mb=UNBOUNDED,
                gpus_free=offer.gpus,
                wall_left_s=UNBOUNDED,
            )
            self._able[key] = frozenset(
                class_id
                for class_id, spec in self._specs.items()
                if first_fitting(spec, whole, clauses=self._clauses) is not None
            )
        return self._able[key]

    def place(self, class_id: int, offer: LiveOffer) -> int | None:
        """Return which of the needs of an able class fits."""
        cores, memory_mb, wall_s = self._least[class_id]
        if (
            cores > offer.cores_free
            or memory_mb > offer.memory_free_mb
            or wall_s > offer.wall_left_s
        ):
            return None
        return first_fitting(self._specs[class_id], offer, clauses=self._clauses)

    def cores_min(self, class_id: int) -> int:
        return self._least[class_id][0]


class PlainPolicy:
    """Takes the first class in some order that fits; knows no shares, scarcity or reservations."""

    def __init__(self, load: Load) -> None:
        self.rule = ExactRule(load)
        self.load = load
        self.queues: dict[int, deque[int]] = {}  # only classes with waiting jobs
        self._parked: dict[str, tuple[LiveOffer, int]] = {}
        self._new: dict[int, int] = {}

    def order(self, class_ids: Sequence[int]) -> Sequence[int]:
        """Return classes with waiting jobs in the order in which they are tried."""
        raise NotImplementedError

    def add_class(self, spec: ClassSpec) -> None:
        """All classes of the load are known."""

    def add(self, class_id: int, priority: int, jobs: Iterable[int]) -> None:
        new = tuple(jobs)
        self.queues.setdefault(class_id, deque()).extend(new)
        self._new[class_id] = self._new.get(class_id, 0) + len(new)

    def match(self, offer: LiveOffer, jobs_max: int, now: float) -> list[Match]:
        matches: list[Match] = []
        while len(matches) < jobs_max and (match := self._first(offer)) is not None:
            matches.append(match)
            offer = less(offer, match)
        return matches

    def _first(self, offer: LiveOffer) -> Match | None:
        """Take a job of the first class that fits."""
        if not offer.cores_free:
            return None
        able = self.rule.able(offer)
        for class_id in self.order([known for known in self.queues if known in able]):
            place = self.rule.place(class_id, offer)
            if place is not None:
                return self._take(class_id, place, offer)
        return None

    def confirm(self, job: int) -> None:
        """Nothing is counted."""

    def ended(self, job: int, used_core_s: float | None = None) -> None:
        """Nothing is counted."""

    def park(self, offer: LiveOffer, ask: int, now: float) -> None:
        self._parked[offer.pilot] = (offer, ask)

    def withdraw(self, pilot: str) -> None:
        self._parked.pop(pilot, None)

    def wake(self, now: float) -> list[ParkedWake]:
        """Return parked pilots for the jobs that came since the last call, one for each job."""
        woken: list[ParkedWake] = []
        for pilot, (offer, ask) in self._parked.items() if self._new else ():
            able = self.rule.able(offer)
            for class_id in self._new:
                if class_id in able and self.rule.place(class_id, offer) is not None:
                    woken.append(ParkedWake(pilot=pilot, ask=ask, job=0))
                    self._new[class_id] -= 1
                    if not self._new[class_id]:
                        del self._new[class_id]
                    break
            if not self._new:
                break
        self._new.clear()
        return woken

    def _take(self, class_id: int, place: int, offer: LiveOffer) -> Match:
        queue = self.queues[class_id]
        job = queue.popleft()
        if not queue:
            del self.queues[class_id]
        need = self.load.classes[class_id].spec.needs[place]
        priority = self.load.classes[class_id].priority
        grant = exact_fit.grant(need, offer)
        return Match(job=job, class_id=class_id, priority=priority, grant=grant)


class Fifo(PlainPolicy):
    """The oldest job that fits."""

    def order(self, class_ids: Sequence[int]) -> Sequence[int]:
        return sorted(class_ids, key=lambda class_id: self.queues[class_id][0])


class RandomByPriority(PlainPolicy):
    """A class at random, in proportion to its part of its owner's part of the group's share.

    This is how a queue is drawn where shares are kept by chance: `random / priority`, least first.
    """

    def __init__(self, load: Load) -> None:
        super().__init__(load)
        self._chance = random.Random(load.seed)
        self._known: frozenset[int] = frozenset()
        self._weights: dict[int, float] = {}

    def order(self, class_ids: Sequence[int]) -> Sequence[int]:
        if self.queues.keys() != self._known:
            self._known = frozenset(self.queues)
            self._weights = self._weigh()
        draw = self._chance.random
        weights = self._weights
        return sorted(class_ids, key=lambda class_id: draw() / weights[class_id])

    def _weigh(self) -> dict[int, float]:
        """Divide each group's share by owners with waiting jobs, each owner's by priority."""
        of_owner: dict[tuple[str, str], list[int]] = {}
        for class_id in self.queues:
            spec = self.load.classes[class_id].spec
            of_owner.setdefault((spec.group, spec.owner), []).append(class_id)
        owners: dict[str, float] = {}
        for group, owner in of_owner:
            weight = self.load.weight(self.load.community, group, owner)
            owners[group] = owners.get(group, 0.0) + weight
        weights: dict[int, float] = {}
        for (group, owner), class_ids in of_owner.items():
            part = self.load.weight(self.load.community, group, owner) / owners[group]
            total = sum(self.load.classes[known].priority for known in class_ids)
            for known in class_ids:
                weights[known] = (
                    self.load.weight(self.load.community, group)
                    * part
                    * self.load.classes[known].priority
                    / total
                )
        return weights
