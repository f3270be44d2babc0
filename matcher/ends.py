"""What an offer will have as the jobs on it end, each when it has used all its time."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

import msgspec

from pilotage.proto.job import Need

from .clauses import memory_due_mb
from .out import Out
from .types import LiveOffer


class Ends:
    """The jobs on an offer in the order of their ends, and what is free after each."""

    __slots__ = ("_cores", "_gpus", "_memory_mb", "_now", "_offer", "outs")

    def __init__(self, offer: LiveOffer, outs: Iterable[Out], now: float) -> None:
        self._offer, self._now = offer, now
        self.outs = sorted(outs, key=_end)
        self._cores = _sums(offer.cores_free, [out.cores for out in self.outs])
        self._memory_mb = _sums(offer.memory_free_mb, [out.memory_mb for out in self.outs])
        self._gpus = _sums(offer.gpus_free, [out.gpus for out in self.outs])

    def enough(self, need: Need, latest: float) -> int:
        """Return how many of the jobs have to end until room and time are enough, 0 for never."""
        offer = self._offer
        cores_min = offer.cores if need.whole_node else need.cores_min  # also what it gets at least
        if cores_min > offer.cores:
            return 0
        place = max(
            bisect_left(self._cores, cores_min),
            bisect_left(self._memory_mb, memory_due_mb(need, cores_min)),
            bisect_left(self._gpus, need.gpus_min),
        )
        latest = min(latest, self._now + offer.wall_left_s - need.wall_s)
        if place == len(self.outs) or self.outs[place].ends_at > latest:
            return 0
        return place + 1

    def most(self) -> LiveOffer:
        """Return what there will be in room at last, for as long as there is when one has ended.

        What does not fit into that fits at no moment.
        """
        waits_s = max(0.0, self.outs[0].ends_at - self._now)
        all_of_it = after(self._offer, self.outs, self._now)
        left_s = self._offer.wall_left_s - waits_s
        return msgspec.structs.replace(all_of_it, wall_left_s=left_s)

    def until(self, number: int) -> float:
        """Return when so many of the jobs have ended."""
        return self.outs[number - 1].ends_at

    def after(self, number: int) -> LiveOffer:
        """Return the offer as it is when so many of the jobs have ended."""
        return after(self._offer, self.outs[:number], self._now)


def after(offer: LiveOffer, ended: list[Out], now: float) -> LiveOffer:
    """Return what an offer will have when some jobs on it have used all their time."""
    until = max((out.ends_at for out in ended), default=now)
    return msgspec.structs.replace(
        offer,
        cores_free=min(offer.cores, offer.cores_free + sum(out.cores for out in ended)),
        memory_free_mb=offer.memory_free_mb + sum(out.memory_mb for out in ended),
        scratch_free_mb=offer.scratch_free_mb + sum(out.scratch_mb for out in ended),
        gpus_free=offer.gpus_free + sum(out.gpus for out in ended),
        wall_left_s=offer.wall_left_s - max(0.0, until - now),
        core_work_left_hs23_s=offer.core_work_left_hs23_s,
    )


def _sums(free: int, freed: list[int]) -> list[int]:
    return list(accumulate(freed, initial=free))[1:]


def _end(out: Out) -> float:
    return out.ends_at
