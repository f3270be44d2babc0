"""The arrival times of a class's jobs, as exactly as preferences require."""

from bisect import bisect_left
from typing import Final

STEPS: Final = 256  # distinct times within the time for which a preference counts


class Arrivals:
    """Arrival times by job id. Ids rise with time, so a few records are enough."""

    __slots__ = ("_for_s", "_jobs", "_times")

    def __init__(self, for_s: float) -> None:
        self._for_s = for_s
        self._jobs: list[int] = []  # the last job of each record, rising
        self._times: list[float] = []  # arrival time of its first job

    def came(self, job: int, now: float) -> None:
        """Record that jobs arrived now; `job` is the youngest of them."""
        if self._jobs and job <= self._jobs[-1]:
            return  # an older job that returns, which has a record already
        if self._times and now - self._times[-1] < self._for_s / STEPS:
            self._jobs[-1] = job
            return
        over = bisect_left(self._times, now - self._for_s)
        if over > STEPS:
            del self._jobs[: over - 1], self._times[: over - 1]
        self._jobs.append(job)
        self._times.append(now)

    def prefers_until(self, job: int) -> float:
        """Return until when a job prefers its sites."""
        at = bisect_left(self._jobs, job)
        return self._times[at] + self._for_s if at < len(self._times) else 0.0
