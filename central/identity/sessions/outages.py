"""The identity providers that do not answer now, as this process has seen it.

A provider may fail for one person alone, for example while it makes the claims of that person. So
one failure counts for its person. It counts for all persons if the provider accepts no connection,
or fails for two persons without a success in between.
"""

from typing import Final

import msgspec

from ...bounded_cache import BoundedCache
from ...observe.events import Log
from ...ports import Clock
from ..providers.oauth import RequestRefused
from ..providers.provider_http import BadProvider, NoConnection, ProviderAway, TooManyRequests
from .rows import LoginSession

RETRY_S: Final = 300.0  # until a provider that was away is asked again about sessions
FAILED_MAX: Final = 10_000  # persons whose last failure is remembered
TOLD_MAX: Final = 1_000  # reasons that were logged lately


class FileUnusable(ProviderAway):
    """The file of the provider has an error, or is missing: the provider was not asked.

    A corrected file is used at once.
    """


class _Failure(msgspec.Struct, frozen=True):
    """The last failure for a person."""

    at: float  # monotonic
    is_refusal: bool


class Outages:
    """Remembers the last failures of each provider, until it answers again."""

    def __init__(self, clock: Clock, log: Log) -> None:
        self._clock, self._log = clock, log
        self._away_at: dict[str, float] = {}  # monotonic, by provider
        self._last_failed: dict[str, str] = {}  # subject, by provider, since its last success
        self._failed = BoundedCache[tuple[str, str], _Failure](FAILED_MAX)  # by person
        self._told_at = BoundedCache[tuple[str, str], float](TOLD_MAX)  # monotonic

    def note(self, row: LoginSession, why: ProviderAway | BadProvider) -> None:
        """Note that a provider gives no answer about the person of a session now.

        The log tells each reason once, until it has not come for RETRY_S. A request that this
        central had no room to send says nothing about the provider. A wrong answer is about its
        person only.
        """
        if isinstance(why, TooManyRequests):
            return
        self._tell(row.provider, str(why))
        if isinstance(why, FileUnusable):
            return
        now = self._clock.monotonic()
        self._failed[row.provider, row.subject] = _Failure(now, isinstance(why, RequestRefused))
        if isinstance(why, BadProvider):
            return
        last = self._last_failed.get(row.provider, row.subject)
        self._last_failed[row.provider] = row.subject
        if isinstance(why, NoConnection) or last != row.subject:
            self._away_at[row.provider] = now

    def answered(self, row: LoginSession) -> None:
        """Note that a provider has given new tokens for a session."""
        self._failed.pop((row.provider, row.subject), None)
        self._last_failed.pop(row.provider, None)
        self._away_at.pop(row.provider, None)

    def is_away(self, row: LoginSession, within_s: float) -> bool:
        """Return whether the provider of a session failed less than `within_s` ago.

        That is, for the session's person or for everybody, and without an answer since then.
        """
        failure = self._failed.get((row.provider, row.subject))
        moments = (self._away_at.get(row.provider), failure.at if failure is not None else None)
        now = self._clock.monotonic()
        return any(at is not None and now < at + within_s for at in moments)

    def is_refused(self, row: LoginSession) -> bool:
        """Return whether the last failure for the person of a session was a refusal."""
        failure = self._failed.get((row.provider, row.subject))
        return failure is not None and failure.is_refusal

    def _tell(self, provider: str, why: str) -> None:
        """Log a reason, unless it came less than RETRY_S ago as well."""
        now, last_at = self._clock.monotonic(), self._told_at.get((provider, why))
        self._told_at[provider, why] = now
        if last_at is None or now >= last_at + RETRY_S:
            self._log("provider_away", provider=provider, why=why)
