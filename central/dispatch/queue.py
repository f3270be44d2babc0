"""The queue of waiting jobs: the matcher, with the epochs and queue times that it does not know."""

import heapq
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from pilotage.matcher import Matcher
from pilotage.matcher.types import RunningAttempt

from ..jobs.classes import KnownClass
from ..jobs.leases import Lease
from ..outbound import Outbound
from ..pilots.presence import Pilots
from ..ports import Clock
from ..settings import MatcherSettings
from .dependencies.graph import DependencyGraph


class JobQueue:
    """The waiting jobs, each once in the matcher, with their epochs and queue times."""

    def __init__(
        self, matcher: Matcher, pilots: Pilots, outbound: Outbound, clock: Clock, *, term: int
    ) -> None:
        self.matcher = matcher
        self.dependencies = DependencyGraph()
        self._blocked = self.dependencies.children  # jobs that wait for others, out of the matcher
        self.classes: dict[int, KnownClass] = {}  # of jobs that wait or run, and some others
        self._pilots, self._outbound, self._clock, self._term = pilots, outbound, clock, term
        self._epochs: dict[int, int] = {}  # only jobs that were matched before
        self._limits: dict[int, float] = {}  # jobs with a queue time, until they have ended
        self._until: list[tuple[float, int]] = []
        # Jobs that changed while the queue is being read from the store.
        self.touched: set[int] = set()
        self._is_loading = False
        self._readers = 0  # callers that read jobs from the store and queue them afterwards
        self._newest: dict[int, int] = {}  # priorities of jobs that were set during such reads
        self._moved: dict[int, int] = {}  # classes of jobs that were set during such reads
        self._pending: dict[int, int] = {}  # the same, of jobs whose match is being written

    def begin_loading(self) -> None:
        """Note that waiting jobs are read from the store from now on, until `begin`."""
        self._is_loading = True

    def _touch(self, job: int) -> None:
        if self._is_loading:
            self.touched.add(job)

    @contextmanager
    def reading(self) -> Generator[None]:
        """Keep priorities and classes that are set while the caller reads jobs and queues them.

        Values set during the read would otherwise be lost until a restart: the read may have the
        old value, and the queue does not have the job yet.
        """
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._newest.clear()
                self._moved.clear()

    def learn(self, info: KnownClass) -> None:
        """Remember a class. The matcher gets it with its first job."""
        self.classes[info.spec.class_id] = info

    def prepare(self, class_id: int) -> None:
        """Add a class to the matcher before its first job comes."""
        self.matcher.add_class(self.classes[class_id].spec)

    def forget_class(self, class_id: int) -> None:
        """Forget a class without waiting jobs."""
        del self.classes[class_id]
        self.matcher.forget_class(class_id)

    def add(self, class_id: int, priority: int, jobs: Sequence[int]) -> None:
        """Queue new jobs. Call `wake` when all are queued.

        Jobs that wait for other jobs are left out.
        """
        if self._blocked and not self._blocked.keys().isdisjoint(jobs):
            jobs = [job for job in jobs if job not in self._blocked]
            if not jobs:
                return
        if self._moved and not self._moved.keys().isdisjoint(jobs):
            for job in jobs:
                self._add(self._moved.get(job, class_id), priority, (job,))
        else:
            self._add(class_id, priority, jobs)

    def _add(self, class_id: int, priority: int, jobs: Sequence[int]) -> None:
        self.prepare(class_id)
        self.matcher.add(class_id, priority, jobs)
        if self._newest:
            for job in jobs:
                if job in self._newest:
                    self.matcher.set_priority(job, self._newest[job])

    def put(self, job: int, class_id: int, priority: int, epoch: int) -> None:
        """Queue a job again, in its old position."""
        if epoch:
            self._epochs[job] = epoch
        if job not in self.matcher:
            self.add(class_id, priority, (job,))
        if job in self._limits:
            heapq.heappush(self._until, (self._limits[job], job))

    def limit(self, job: int, until: float) -> None:
        """Give the job up if it still waits at `until` (wall clock)."""
        self._limits[job] = until
        heapq.heappush(self._until, (until, job))

    def lift(self, job: int) -> None:
        """Remove the queue time of a job that has ended or begins a new round."""
        self._limits.pop(job, None)

    def take_out(self, job: int) -> None:
        """Remove a job from the queue."""
        self._touch(job)
        self.matcher.remove(job)
        self._epochs.pop(job, None)

    def set_priority(self, job: int, priority: int) -> None:
        """Set the priority of a job that waits or is about to be queued."""
        self._touch(job)
        if self._readers:
            self._newest[job] = priority
        self.matcher.set_priority(job, priority)

    def set_class(self, job: int, class_id: int, priority: int) -> None:
        """Set the new class of a job that waits, is held, or is about to be queued."""
        self._touch(job)
        if self._readers:
            self._moved[job] = class_id
        self.dependencies.set_class(job, class_id)
        if self.matcher.remove(job):
            self._add(class_id, priority, (job,))
        elif job in self.matcher:
            self._pending[job] = class_id

    def put_back(self, job: int) -> None:
        """Queue a job again in its old position, after its match was not written."""
        class_id = self._pending.pop(job, None)
        if class_id is None:
            self.matcher.put_back(job)
            return
        priority = self.matcher.backlog.priority(job)
        self.matcher.drop(job)
        self._add(class_id, priority, (job,))

    def drop(self, job: int) -> None:
        """Forget a job whose match was lost. The caller reads it again."""
        self._pending.pop(job, None)
        self.matcher.drop(job)

    def epoch(self, job: int) -> int:
        """Return the epoch of the job's last attempt, 0 before the first."""
        return self._epochs.get(job, 0)

    def matched(self, job: int) -> int:
        """Confirm a match that is written. Return the job's current priority."""
        self._touch(job)
        self.dependencies.forget(job)
        priority = self.matcher.backlog.priority(job)
        self.matcher.confirm(job)
        self._epochs.pop(job, None)
        if self._pending:
            self._pending.pop(job, None)
        return priority

    def ended(self, lease: Lease, used_core_s: float | None) -> None:
        """Free the limits of an attempt that has ended, and charge its owner's share.

        Call it before the job is queued or matched again.
        """
        self.matcher.ended(lease.job, used_core_s)

    def running(self, lease: Lease, *, age_s: float = 0.0) -> None:
        """Count an active attempt that the matcher does not know."""
        self.matcher.add_class(self.classes[lease.class_id].spec)
        one = RunningAttempt(
            job=lease.job,
            class_id=lease.class_id,
            site=lease.site,
            element=lease.element,
            grant=lease.grant,
            age_s=age_s,
            pilot=lease.pilot,
        )
        self.matcher.running(one, self._clock.monotonic())

    def begin(self) -> None:
        """End the loading. The starts just before the restart are unknown (PROTOCOL C13)."""
        self.matcher.begin(self._clock.monotonic())
        self._is_loading = False
        self.touched.clear()

    def is_any_over(self, at: float) -> bool:
        """Return whether some job's queue time may be over, so that `expired` should be called."""
        return bool(self._until) and self._until[0][0] <= at

    def expired(self, at: float, most: int) -> list[int]:
        """Return waiting jobs whose queue time is over. At most `most` due entries are checked.

        Each job is returned once: call `again` with jobs that could not be given up.
        """
        over: list[int] = []
        for _ in range(most):
            if not self.is_any_over(at):
                break
            until, job = heapq.heappop(self._until)
            if self._limits.get(job) == until and (job in self.matcher or job in self._blocked):
                over.append(job)
        return list(dict.fromkeys(over))

    def again(self, jobs: Sequence[int]) -> None:
        """Let `expired` return these jobs again, if they still have a queue time."""
        for job in jobs:
            if job in self._limits:
                heapq.heappush(self._until, (self._limits[job], job))

    def change(self, settings: MatcherSettings) -> None:
        """Apply new shares and limits, and wake pilots for jobs that may start now."""
        keep_s = self.matcher.rules.keep_s
        self.matcher.change(settings.rules(keep_s=keep_s), self._clock.monotonic())
        self.wake()

    def wake(self) -> None:
        """Wake parked pilots that waiting jobs fit. The wake-up is only a hint (PROTOCOL C3)."""
        for parked in self.matcher.wake(self._clock.monotonic()):
            presence = self._pilots.find(parked.pilot)
            if presence is not None:
                self._outbound.wake(presence.community, parked.pilot, parked.ask, self._term)
