"""The identity providers that do not answer now, as this process has seen it."""

from typing import Final

from ...observe.events import Log
from ...ports import Clock
from ..providers.provider_http import ProviderAway, TooManyRequests

RETRY_S: Final = 300.0  # until a provider that was away is asked again about sessions


class Outages:
    """Remembers the last failure of each provider, until it answers again."""

    def __init__(self, clock: Clock, log: Log) -> None:
        self._clock, self._log = clock, log
        self._failed_at: dict[str, float] = {}  # monotonic, by provider

    def note(self, provider: str, why: ProviderAway) -> None:
        """Note that a provider does not answer now. The log tells it once in RETRY_S.

        A request that this central had no room to send says nothing about the provider.
        """
        if isinstance(why, TooManyRequests):
            return
        if not self.is_away(provider, RETRY_S):
            self._log("provider_away", provider=provider, why=str(why))
        self._failed_at[provider] = self._clock.monotonic()

    def answered(self, provider: str) -> None:
        """Note that a provider answers."""
        self._failed_at.pop(provider, None)

    def is_away(self, provider: str, within_s: float) -> bool:
        """Return whether a provider failed less than `within_s` ago, and has not answered since."""
        failed_at = self._failed_at.get(provider)
        return failed_at is not None and self._clock.monotonic() < failed_at + within_s
