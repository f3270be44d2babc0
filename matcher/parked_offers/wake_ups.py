"""Wake-ups: which parked pilot is woken for which job, and how long the job is kept for it."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final

from ..index.community_indexes import Indexes
from ..limits.running_limits import ElementLimits, Limit, LimitTable
from ..queue.backlog import Backlog
from ..queue.job_classes import JobClass, QueueEntry
from ..types import NO_AMOUNTS, ParkedWake
from .offers import ParkedOffer, ParkedOffers

FEW: Final = 32  # jobs of a class for which offers are searched one by one
OPENED_MAX: Final = 64  # offers of a place that are checked in one call
DOUBLINGS_MAX: Final = 4  # of the pause of a pilot that does not answer wake-ups


@dataclass(slots=True, eq=False)
class KeptJob:
    """A job that is kept for a woken pilot until a time of the caller's clock."""

    job: int
    parked: ParkedOffer
    until: float
    limits: tuple[Limit, ...]  # that count it as if it ran
    amounts: Mapping[str, int]  # that it takes of the limits

    @property
    def pilot(self) -> str:
        return self.parked.offer.pilot


class WakeUps:
    """The kept jobs, and the search for pilots to wake.

    After each call of `wake`, no waiting job fits a free parked offer. The next call therefore
    checks only classes that were empty before, and offers that have become free since.
    """

    def __init__(
        self,
        backlog: Backlog,
        index: Indexes,
        parked: ParkedOffers,
        limits: LimitTable,
        *,
        keep_s: float,
    ) -> None:
        self._backlog = backlog
        self._limits = limits
        self._index = index
        self._parked = parked
        self._keep_s = keep_s
        self.running: deque[KeptJob] = deque()  # in the order of their ends
        # Woken offers by the end of their pause, a heap.
        self.resting: list[tuple[float, int, ParkedOffer]] = []
        self.opening: dict[
            ElementLimits, deque[str]
        ] = {}  # where jobs may start again: pilots to check
        self._again: set[ElementLimits] = set()  # places to check again after that
        self._wakes = 0
        self.by_job: dict[int, KeptJob] = {}
        self.by_pilot: dict[str, KeptJob] = {}

    def expire(self, now: float) -> None:
        """End expired wake-ups: jobs wait for any pilot again, and pilots may be woken again."""
        while self.running and self.running[0].until <= now:
            keep = self.running.popleft()
            if self.by_job.get(keep.job) is keep:
                self._release(keep, now)
        while self.resting and self.resting[0][0] <= now:
            parked = heappop(self.resting)[2]
            if self._parked.by_pilot.get(parked.offer.pilot) is parked:
                self._parked.doubt(parked)

    def answered(self, pilot: str, now: float) -> None:
        """Record that the pilot asked or ended: its job may now go to any pilot, also this one."""
        keep = self.by_pilot.get(pilot)
        if keep is not None:
            self._release(keep, now)

    def job_gone(self, job: int, now: float) -> None:
        """Forget a job that may have been kept."""
        keep = self.by_job.pop(job, None)
        if keep is not None:
            del self.by_pilot[keep.pilot]
            self._limits.give_back(keep.limits, keep.amounts, now, started=False)

    def wake(self, now: float) -> list[ParkedWake]:
        """Keep waiting jobs for free parked offers that fit, best job first, one for each offer."""
        self._reopen(now)
        woken: list[ParkedWake] = []
        while classes := self._to_look_at():
            self._serve(classes, woken, now)
        return woken

    def _reopen(self, now: float) -> None:
        """Check the offers at places where a limit lets jobs start again.

        There may be thousands of offers, usually with room for one job: each call checks some of
        them.
        """
        if not self._limits.any:
            return
        self._limits.refill(now)
        for place in self._limits.opened:
            place.doubt()
            if place in self.opening:
                self._again.add(place)
            else:
                self.opening[place] = self._parked.free_at(place)
        self._limits.opened.clear()
        for place, pilots in list(self.opening.items()):
            for _ in range(min(OPENED_MAX, len(pilots))):
                self._parked.unsettle(pilots.popleft())
            if not pilots:
                del self.opening[place]
                if place in self._again:
                    self._again.discard(place)
                    self._limits.opened.add(place)

    def _to_look_at(self) -> list[QueueEntry]:
        """Return the best jobs of classes that may fit a free offer, as a heap."""
        roused = self._backlog.roused
        if not roused and not self._parked.unsettled:
            return []
        slots = set(roused)
        roused.clear()
        for pilot, parked in list(self._parked.unsettled.items()):
            best = self._parked.work_for(parked)
            if best is None:
                del self._parked.unsettled[pilot]
            else:
                slots.add(best[0].slot)
        by_slot = self._backlog.classes.by_slot
        entries = [entry for slot in slots if (entry := by_slot[slot].entry) is not None]
        heapify(entries)
        return entries

    def _serve(self, entries: list[QueueEntry], woken: list[ParkedWake], now: float) -> None:
        """Give each class offers until it has no more jobs or no offer fits."""
        by_slot = self._backlog.classes.by_slot
        lists: dict[int, Iterator[ParkedOffer]] = {}
        while entries and self._parked.kinds:
            cls = by_slot[heappop(entries)[1]]
            first = cls.entry
            if first is None:  # another class has used up the limit of its submission
                continue
            if cls.waiting > FEW and cls.slot not in lists and not self._limits.any:
                lists[cls.slot] = self._parked.all_for(cls, now)
            if cls.slot in lists:
                parked = next((it for it in lists[cls.slot] if not it.woken), None)
            else:
                parked = self._parked.best_for(cls, now)
            if parked is None:
                continue
            woken.append(self._wake(parked, cls, now))
            if cls.entry is not None:
                heappush(entries, cls.entry)

    def _wake(self, parked: ParkedOffer, cls: JobClass, now: float) -> ParkedWake:
        """Keep a job for an offer.

        A pilot that did not answer pauses longer: it may be dead or cut off.
        """
        limits, amounts = self._take_limits(parked, cls, now)
        job = self._backlog.keep(cls)
        self._parked.wake(parked)
        keep = KeptJob(job, parked, now + self._keep_s, limits, amounts)
        self.running.append(keep)
        self.by_job[job] = self.by_pilot[keep.pilot] = keep
        self._wakes += 1
        rest_s = self._keep_s * 2 ** min(parked.wakes, DOUBLINGS_MAX)
        heappush(self.resting, (now + rest_s, self._wakes, parked))
        return ParkedWake(pilot=keep.pilot, ask=parked.ask, job=job)

    def _take_limits(
        self, parked: ParkedOffer, cls: JobClass, now: float
    ) -> tuple[tuple[Limit, ...], Mapping[str, int]]:
        """Count a kept job as started, so that one free place wakes one pilot."""
        offer = parked.offer
        place = self._limits.place(offer.community, offer.site, offer.element)
        if place is None:
            return (), NO_AMOUNTS
        for shape in parked.shapes:
            first = self._index.place_for(cls, shape)
            if first is not None:
                limits = self._limits.take(place, self._index.kinds_of(cls, first), now)
                return limits, cls.spec.needs[first].amounts
        raise AssertionError("a job is kept for an offer that it fits")

    def limits_changed(self) -> None:
        """Adapt to changed limits: count the kept jobs, and check all offers again."""
        self.opening.clear()
        self._again.clear()
        for keep in self.by_job.values():
            cls, offer = self._backlog.class_of(keep.job), keep.parked.whole
            place = self._limits.place(offer.community, offer.site, offer.element)
            rates = self._limits.rates_of(keep.limits)
            kinds = self._index.all_kinds_of(cls)
            if place is not None:
                rates = (*self._limits.take_running(place, kinds, keep.amounts), *rates)
            keep.limits = rates

    def _release(self, keep: KeptJob, now: float) -> None:
        del self.by_job[keep.job]
        del self.by_pilot[keep.pilot]
        self._limits.give_back(keep.limits, keep.amounts, now, started=False)
        self._backlog.release(keep.job)
