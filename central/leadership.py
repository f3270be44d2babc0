"""Whether this process leads (PROTOCOL C5, C11). Pure: it decides from clock readings.

A row of the database names the leader, on the database's clock. This process measures its lease on
its own clock, from the moment at which it *sent* the renewal. It stops earlier than the row allows.
So neither a slow answer nor clocks of different speed make two leaders. The clock must also run
while the machine is suspended: another process leads by the time it wakes.
"""

from collections.abc import Callable
from typing import Final

LEASE_S: Final = 5.0  # the lease in the database
STAND_S: Final = 3.5  # this process leads for this time after it sent its last granted renewal
RENEW_EVERY_S: Final = 1.0
TAKE_EVERY_S: Final = 0.5  # interval at which a waiting process checks whether the lease is over


class SoleLeader:
    """The lead of a process with its own data directory: no other process can lead."""

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
    """The lead of a process that shares a database, as long as its lease lasts."""

    def __init__(self, term: int, url: str, now: Callable[[], float]) -> None:
        self.term, self.now = term, now  # CLOCK_BOOTTIME, s
        self._url = url
        self._until = -1.0

    @property
    def leads(self) -> bool:
        """Whether it leads now. Check it after a message was read and before it is answered."""
        return self.left_s() > 0

    def url(self) -> str | None:
        return self._url

    def granted(self, sent: float) -> None:
        """Extend the lease: the renewal sent at `sent` was granted."""
        self._until = max(self._until, sent + STAND_S)

    def left_s(self) -> float:
        """Return how long it may still lead, in seconds. It must stop at 0 or less."""
        return self._until - self.now()
