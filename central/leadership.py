"""Whether this process leads (PROTOCOL C5, C11). Pure: it decides from readings of a clock.

The row of the database says who leads, on the database's clock. This process measures on its own,
from the moment at which it *sent* what began its lease, and stops earlier than the row allows: so
neither a slow answer nor clocks that differ in their speed make two of them. Its clock must go on
while the machine is suspended: another one leads by the time it wakes.
"""

from collections.abc import Callable
from typing import Final

LEASE_S: Final = 5.0  # as the row has it
STAND_S: Final = 3.5  # after it has sent its last renewal that was granted
RENEW_EVERY_S: Final = 1.0
TAKE_EVERY_S: Final = 0.5  # how often one that waits looks whether the lease is over


class SoleLeader:
    """The lead of a process that has a data directory of its own: nobody else can have it."""

    @property
    def leads(self) -> bool:
        return True

    @property
    def term(self) -> int:
        return 1

    def url(self) -> str | None:
        return None


ALONE: Final = SoleLeader()


class LeaderLease:
    """The lead of this process, as far as it may believe in it."""

    def __init__(self, term: int, url: str, now: Callable[[], float]) -> None:
        self.term, self.now = term, now  # CLOCK_BOOTTIME, s
        self._url = url
        self._until = -1.0

    @property
    def leads(self) -> bool:
        """Whether it leads now. To be asked after a message was read, before it is answered."""
        return self.left_s() > 0

    def url(self) -> str | None:
        return self._url

    def granted(self, sent: float) -> None:
        """What was sent at `sent` has begun the lease anew."""
        self._until = max(self._until, sent + STAND_S)

    def left_s(self) -> float:
        """Return for how long it may still lead; 0 or less: no more."""
        return self._until - self.now()
