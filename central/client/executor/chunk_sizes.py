"""How many calls of `Executor.map` go into one job, and how many jobs are sent ahead. Pure."""

from math import ceil
from typing import Final

_TARGET_S: Final = 2.0  # run time of a job
_SHORTEST_S: Final = 0.25  # at least this, even if few calls are left: a start takes 0.1 s
_PARTS_LEFT: Final = 32  # the last calls are shared out among so many jobs
_CALLS_MAX: Final = 10_000
_BYTES_MAX: Final = 8 << 20  # pickled arguments or results of a job
_RUNNING_LEAST: Final = 16
_JOBS_MAX: Final = 10_000
_NEWEST_SHARE: Final = 0.5  # weight of the newest job in the mean
_CALL_LEAST_S: Final = 1e-7


class ChunkSizes:
    """Adapts the size of jobs to the measured time of a call.

    The first jobs have one call each. With `fixed`, all jobs have so many calls.
    """

    def __init__(self, total: int | None, fixed: int | None = None) -> None:
        self._left, self._fixed = total, fixed
        self._call_s: float | None = None
        self._argument_bytes = self._result_bytes = 1.0  # of a call

    def jobs(self, unfinished: int, running: int) -> int:
        """Return how many jobs to send now: enough that no slot runs dry, but few enough to adapt.

        A central with more slots runs more of them, and gets more.
        """
        ahead = 2 if self._call_s is None else 4
        return min(_JOBS_MAX, ahead * max(_RUNNING_LEAST, running)) - unfinished

    def calls(self) -> int:
        """Return the number of calls for the next job."""
        if self._fixed is not None:
            return self._fixed
        if self._call_s is None:
            return 1
        wanted = _TARGET_S / self._call_s
        if self._left is not None:
            wanted = min(wanted, ceil(self._left / _PARTS_LEFT))
        wanted = max(wanted, _SHORTEST_S / self._call_s)
        size = max(self._argument_bytes, self._result_bytes)
        return max(1, int(min(wanted, _CALLS_MAX, _BYTES_MAX / size)))

    def sent(self, calls: int, size: int) -> None:
        """Count the calls of a job, with the size of their pickled arguments."""
        self._argument_bytes = max(1.0, size / calls)
        if self._left is not None:
            self._left = max(0, self._left - calls)

    def measured(self, calls: int, seconds: float, size: int = 0) -> None:
        """Take the run time of a job, and the size of its pickled results."""
        self._result_bytes = max(1.0, size / calls)
        now = max(_CALL_LEAST_S, seconds / calls)
        before = now if self._call_s is None else self._call_s
        self._call_s = before + _NEWEST_SHARE * (now - before)
