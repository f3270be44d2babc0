"""Limits on the requests that people without a token cause at identity providers. Pure."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from pilotage.proto.problems import Code

from ...anonymous_connections import network_of
from ...errors import Refused
from ...ports import Clock

MINUTE_S: Final = 60.0
OF_ONE_ADDRESS_MAX: Final = 300  # logins begun in a minute; a proxy has one address for everybody
OF_ALL_MAX: Final = 3_000
AT_ONCE_MAX: Final = 32  # requests of one kind in progress


class StartLimits:
    """Counts the logins that each address begins in the current minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._minute = -1
        self._begun: Counter[str] = Counter()
        self._all = 0

    def begin(self, address: str) -> None:
        """Count one more login. Raises Refused, TOO_MANY."""
        now, network = self._clock.monotonic(), network_of(address)
        minute = int(now // MINUTE_S)
        if minute != self._minute:
            self._minute, self._all = minute, 0
            self._begun.clear()
        if self._all >= OF_ALL_MAX or self._begun[network] >= OF_ONE_ADDRESS_MAX:
            wait_s = (minute + 1) * MINUTE_S - now
            why = f"too many logins were begun in this minute: try again in {wait_s:.0f} s"
            raise Refused(Code.TOO_MANY, why)
        self._all += 1
        self._begun[network] += 1


class Simultaneous:
    """Counts the requests of one kind that are in progress, provider by provider.

    A provider that hangs blocks no other.
    """

    def __init__(self, most: int = AT_ONCE_MAX) -> None:
        self._most, self._running = most, Counter[str]()

    def is_full(self, provider: str) -> bool:
        """Return whether no more requests to this provider may begin now."""
        return self._running[provider] >= self._most

    @contextmanager
    def one(self, provider: str) -> Generator[None]:
        """Count a request while it is in progress. Raises Refused, TOO_MANY."""
        if self.is_full(provider):
            raise Refused(Code.TOO_MANY, "too many logins begin now: try again in some seconds")
        self._running[provider] += 1
        try:
            yield
        finally:
            self._running[provider] -= 1
            if not self._running[provider]:
                del self._running[provider]
