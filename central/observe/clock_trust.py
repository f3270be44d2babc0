"""Decides whether the wall clock may be trusted for removals by age. Pure."""

JUMP_S = 3_600.0  # more than any time service corrects at once
DOUBT_S = 86_400.0  # no removal by age for this time after a jump, so that people can correct it


class ClockTrust:
    """Compares the wall clock with the monotonic clock."""

    def __init__(self, wall: float, monotonic: float) -> None:
        self._apart, self._trusted_from = wall - monotonic, monotonic

    def begin_from(self, seen: float, wall: float, monotonic: float) -> float:
        """Compare the wall clock with `seen`, the time of the last write before this start.

        Return the difference in seconds, or 0 if it is below JUMP_S. A long stop and a wrong
        clock look the same, so both cause doubt.
        """
        away = wall - seen
        if abs(away) < JUMP_S:
            return 0.0
        self._trusted_from = monotonic + DOUBT_S
        return away

    def look(self, wall: float, monotonic: float) -> float:
        """Read both clocks; return the jump of the wall clock in seconds, 0 if it did not jump."""
        jump = wall - monotonic - self._apart
        self._apart = wall - monotonic
        if abs(jump) < JUMP_S:
            return 0.0
        self._trusted_from = monotonic + DOUBT_S
        return jump

    def trusted(self, monotonic: float) -> bool:
        """Return whether the last jump is more than DOUBT_S ago."""
        return monotonic >= self._trusted_from
