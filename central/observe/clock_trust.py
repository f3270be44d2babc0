"""Whether the wall clock can be believed where something would be thrown away by it. Pure."""

JUMP_S = 3_600.0  # more than any time service corrects at once
DOUBT_S = 86_400.0  # after a jump nothing is thrown away for so long: somebody may set it right


class Steadiness:
    """Compares the wall clock with the monotonic one."""

    def __init__(self, wall: float, monotonic: float) -> None:
        self._apart, self._trusted_from = wall - monotonic, monotonic

    def begin_from(self, seen: float, wall: float, monotonic: float) -> float:
        """Take note of when the store was last written, by its own word, before this life began.

        Return by how much the wall clock is elsewhere, 0 where that is near. A long stop and a
        machine that starts with a wrong clock look the same.
        """
        away = wall - seen
        if abs(away) < JUMP_S:
            return 0.0
        self._trusted_from = monotonic + DOUBT_S
        return away

    def look(self, wall: float, monotonic: float) -> float:
        """Take note of both clocks; return by how much the wall clock has jumped, 0 for no jump."""
        jump = wall - monotonic - self._apart
        self._apart = wall - monotonic
        if abs(jump) < JUMP_S:
            return 0.0
        self._trusted_from = monotonic + DOUBT_S
        return jump

    def trusted(self, monotonic: float) -> bool:
        """Say whether the last jump is long ago."""
        return monotonic >= self._trusted_from
