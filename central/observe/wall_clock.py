"""Watches the wall clock for all parts that remove things by age."""

from ..ports import Clock
from .clock_trust import ClockTrust
from .events import Log


class WallClockWatch:
    """Compares both clocks of the machine, and logs when it begins to doubt the wall clock."""

    def __init__(self, clock: Clock, log: Log) -> None:
        self._clock, self._log = clock, log
        self._steady = ClockTrust(clock.wall(), clock.monotonic())

    def begin_from(self, seen: float) -> None:
        """Compare the clock with `seen`, the time of the store's last write before this start."""
        away_s = self._steady.begin_from(seen, self._clock.wall(), self._clock.monotonic())
        if away_s:
            self._log("clock_in_doubt", by_s=round(away_s, 1))

    def is_trusted(self) -> bool:
        """Return whether removals by age are allowed now."""
        now = self._clock.monotonic()
        jump_s = self._steady.look(self._clock.wall(), now)
        if jump_s:
            self._log("clock_jumped", by_s=round(jump_s, 1))
        return self._steady.trusted(now)
