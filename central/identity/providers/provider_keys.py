"""The public keys of all providers, fetched in the background and kept in memory.

No request of a pilot waits for a provider. `find` looks in memory only; `run` fetches the keys of
each provider about every five hours, so a withdrawn key is refused within six. While a provider is
away, its keys stay for 48 h after the last success.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from ...observe.events import Log
from ...ports import Clock, Randomness
from ..strict_tokens import VerificationKey
from .client_requests import ClientRequests
from .key_sets import KeySet, read_key_set
from .provider_files import ProviderEntry, Providers
from .provider_http import BadProvider, ProviderAway, TooManyRequests

# WLCG profile 1.3: keys are fetched every 1 to 6 hours, and kept 1 to 4 days without an answer.
REFRESH_S: Final = (18_000.0, 20_400.0)  # 5 h to 5 h 40 min
RETRY_S: Final = (120.0, 300.0)  # after a failure
KEPT_S: Final = 48 * 3_600.0
ONCE_IN_S: Final = 60.0  # between two fetches from one provider
FETCH_S: Final = 30.0  # for metadata and keys together
LOOK_S: Final = 30.0  # interval of `run`
WAITING_MAX: Final = 100  # requests with outside tokens that wait for the keys of one provider


class _Provider:
    """The known keys of one issuer. Times are those of the monotonic clock."""

    def __init__(self) -> None:
        self.keys: Mapping[str, VerificationKey] = {}
        self.read_at: float | None = None  # when the request for these keys was sent
        self.tried_at: float | None = None
        self.due_at = 0.0
        self.fetching: asyncio.Event | None = None  # set at its end
        self.waiting = 0  # for this end
        self.is_away = False
        self.logged: object = None


class ProviderKeys:
    """The keys of all providers in force."""

    def __init__(
        self,
        *,
        providers: Providers,
        requests: ClientRequests,
        clock: Clock,
        randomness: Randomness,
        log: Log,
    ) -> None:
        self._providers, self._requests = providers, requests
        self._clock, self._randomness, self._log = clock, randomness, log
        self._known: dict[str, _Provider] = {}  # by issuer

    def find(self, issuer: str, kid: str) -> VerificationKey | None:
        """Return a key from memory, or None. Keys that were last read 48 h ago are not used."""
        provider = self._known.get(issuer)
        if provider is None or provider.read_at is None:
            return None
        if self._clock.monotonic() - provider.read_at > KEPT_S:
            return None
        return provider.keys.get(kid)

    def may_refresh(self, issuer: str) -> bool:
        """Return whether `refresh` would fetch keys now, or wait for a fetch under way.

        Only WAITING_MAX callers may wait, because anybody can make tokens with unknown keys.
        """
        provider = self._known.get(issuer)
        if provider is not None and provider.fetching is not None:
            return provider.waiting < WAITING_MAX
        if provider is None or provider.tried_at is None:
            return self._providers.book.by_issuer(issuer) is not None
        return self._clock.monotonic() - provider.tried_at >= ONCE_IN_S

    async def refresh(self, issuer: str, *, at_once: bool = False) -> None:
        """Fetch the keys of a provider now, at most once a minute, and one fetch at a time.

        `at_once` ignores these limits, for a provider that has just answered a login. This raises
        nothing: call `find` again afterwards.
        """
        found = self._providers.book.by_issuer(issuer)
        if found is None:
            return
        provider = self._known.setdefault(issuer, _Provider())
        if not at_once and not self.may_refresh(issuer):
            return
        if provider.fetching is not None:
            provider.waiting += 1
            try:
                await provider.fetching.wait()
            finally:
                provider.waiting -= 1
            return
        provider.tried_at = self._clock.monotonic()
        provider.fetching = asyncio.Event()
        try:
            await self._fetch(*found, provider)
        finally:
            provider.fetching.set()
            provider.fetching = None

    async def run(self) -> None:
        """Fetch the keys of all providers when they are due, until it is cancelled."""
        while True:
            issuers = [entry.issuer for entry in self._providers.book.providers.values()]
            for gone in self._known.keys() - set(issuers):
                del self._known[gone]
            self._requests.metadata.keep_only(issuers)
            async with asyncio.TaskGroup() as tasks:
                for issuer in issuers:
                    if self._is_due(issuer):
                        tasks.create_task(self.refresh(issuer))
            await self._clock.sleep(LOOK_S)

    def _is_due(self, issuer: str) -> bool:
        provider = self._known.get(issuer)
        return provider is None or self._clock.monotonic() >= provider.due_at

    async def _fetch(self, name: str, entry: ProviderEntry, provider: _Provider) -> None:
        asked_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(FETCH_S):
                document = await self._requests.get(entry, "jwks_uri")  # maybe on another host
            read = read_key_set(document)
        except BadProvider as why:
            self._requests.metadata.doubt(entry.issuer)
            self._unread(name, provider, str(why))
        except TooManyRequests:
            provider.tried_at = None  # nothing was sent: this was no try
        except ProviderAway as why:
            self._unread(name, provider, str(why))
        except TimeoutError:
            self._unread(name, provider, f"no answer within {FETCH_S:.0f} s")
        else:
            provider.keys, provider.read_at = read.keys, asked_at
            provider.due_at = asked_at + self._randomness.uniform(*REFRESH_S)
            self._read(name, provider, read)

    def _read(self, name: str, provider: _Provider, found: KeySet) -> None:
        """Log the keys if they are not those of the last time."""
        shown = (sorted(found.keys), found.skipped)
        if provider.is_away or shown != provider.logged:
            skipped = list(found.skipped)
            self._log("provider_keys_read", provider=name, keys=shown[0], skipped=skipped)
        provider.is_away, provider.logged = False, shown

    def _unread(self, name: str, provider: _Provider, why: str) -> None:
        provider.due_at = self._clock.monotonic() + self._randomness.uniform(*RETRY_S)
        if not provider.is_away:
            self._log("provider_keys_unread", provider=name, why=why)
        provider.is_away = True
