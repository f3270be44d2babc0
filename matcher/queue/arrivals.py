"""When the jobs of a class came, as exactly as a preference has to know it."""

from bisect import bisect_left
from typing import Final

STEPS: Final = 256  # moments that are told apart in the time for which a preference counts


class Arrivals:
    """Jobs up to an id, and when they came. Ids rise with time, so that few records will do."""

    __slots__ = ("_for_s", "_jobs", "_times")

    def __init__(self, for_s: float) -> None:
        self._for_s = for_s
        self._jobs: list[int] = []  # the last job of each record, rising
        self._times: list[float] = []  # when the first job of it came

    def came(self, job: int, now: float) -> None:
        """Note that jobs came now, of which this is the youngest."""
        if self._jobs and job <= self._jobs[-1]:
            return  # an older one that comes back: it came when those did
        if self._times and now - self._times[-1] < self._for_s / STEPS:
            self._jobs[-1] = job
            return
        over = bisect_left(self._times, now - self._for_s)
        if over > STEPS:
            del self._jobs[: over - 1], self._times[: over - 1]
        self._jobs.append(job)
        self._times.append(now)

    def prefers_until(self, job: int) -> float:
        """Return until when a job that has come rather runs where it prefers."""
        at = bisect_left(self._jobs, job)
        return self._times[at] + self._for_s if at < len(self._times) else 0.0
