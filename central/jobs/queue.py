"""The waiting jobs: the matcher, what it does not know of them, and whom to wake for them."""

import heapq
from collections.abc import Sequence

from pilotage.matcher import Matcher

from ..ports import Clock
from .classes import ClassInfo
from .outbound import Outbound
from .presence import Pilots


class Queue:
    """Jobs that wait, each in the matcher once; epochs and queue times beside it."""

    def __init__(
        self, matcher: Matcher, pilots: Pilots, outbound: Outbound, clock: Clock, *, term: int
    ) -> None:
        self.matcher = matcher
        self.classes: dict[int, ClassInfo] = {}  # of jobs that wait or run, and some others
        self._pilots, self._outbound, self._clock, self._term = pilots, outbound, clock, term
        self._epochs: dict[int, int] = {}  # only jobs that were matched before
        self._limits: dict[int, float] = {}  # jobs with a queue time, until they have ended
        self._until: list[tuple[float, int]] = []

    def learn(self, info: ClassInfo) -> None:
        """Make a class known; the matcher hears of it with its first job."""
        self.classes[info.spec.class_id] = info

    def forget_class(self, class_id: int) -> None:
        """Forget a class of which no job waits."""
        del self.classes[class_id]
        self.matcher.forget_class(class_id)

    def add(self, class_id: int, priority: int, jobs: Sequence[int]) -> None:
        """Queue new jobs. Call `wake` when all are in."""
        self.matcher.add_class(self.classes[class_id].spec)
        self.matcher.add(class_id, priority, jobs)

    def put(self, job: int, class_id: int, priority: int, epoch: int) -> None:
        """Queue a job again, in its old place."""
        if epoch:
            self._epochs[job] = epoch
        if job not in self.matcher:
            self.add(class_id, priority, (job,))
        if job in self._limits:
            heapq.heappush(self._until, (self._limits[job], job))

    def limit(self, job: int, until: float) -> None:
        """Give the job up when it waits at `until` (wall clock) or after."""
        self._limits[job] = until
        heapq.heappush(self._until, (until, job))

    def lift(self, job: int) -> None:
        """The job has ended, or begins a new round: its queue time is over."""
        self._limits.pop(job, None)

    def take_out(self, job: int) -> None:
        """The job waits no more."""
        self.matcher.remove(job)
        self._epochs.pop(job, None)

    def epoch(self, job: int) -> int:
        """Return the epoch of the job's last attempt, 0 before the first."""
        return self._epochs.get(job, 0)

    def matched(self, job: int) -> None:
        """The match is written."""
        self.matcher.confirm(job)
        self._epochs.pop(job, None)

    def expired(self, at: float) -> list[int]:
        """Return the jobs whose queue time is over and that still wait.

        Each comes once: whoever cannot give it up says `limit` again.
        """
        over: list[int] = []
        while self._until and self._until[0][0] <= at:
            until, job = heapq.heappop(self._until)
            if self._limits.get(job) == until and job in self.matcher:
                over.append(job)
        return list(dict.fromkeys(over))

    def wake(self) -> None:
        """Wake parked pilots for what waits. A hint: it binds nothing (PROTOCOL C3)."""
        for parked in self.matcher.wake(self._clock.monotonic()):
            presence = self._pilots.find(parked.pilot)
            if presence is not None:
                self._outbound.wake(presence.community, parked.pilot, parked.ask, self._term)
