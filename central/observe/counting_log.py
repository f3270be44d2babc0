"""A log that also counts events, including quiet ones. Each event of the table is a metric."""

from collections import Counter
from typing import Any

from .events import EVENTS, JsonLog, Log


class CountingLog:
    """Counts events and passes them to another log."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._left_out = log.leaves_out if isinstance(log, JsonLog) else frozenset[str]()
        self.counts: Counter[str] = Counter(dict.fromkeys(EVENTS, 0))

    def __call__(self, event: str, **fields: Any) -> None:
        self.counts[event] += 1
        if event not in self._left_out:
            self._log(event, **fields)


def counting(log: Log) -> CountingLog:
    """Return the log itself if it counts, else a counting log around it."""
    return log if isinstance(log, CountingLog) else CountingLog(log)
