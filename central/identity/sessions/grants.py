"""Grants: the refresh tokens that providers gave for sessions. They are kept encrypted.

A provider gives each refresh token once. The next one is stored before anything else happens.
Access tokens are in memory only.
"""

from typing import Final

import msgspec

from ...bounded_cache import BoundedCache
from ...observe.events import Log
from ...ports import Clock
from ...store.engine import Store
from ..errors import LoginEnded
from ..providers.oauth import GrantEnded, OAuth, TokenAnswer
from ..providers.provider_files import ProviderEntry, Providers
from ..providers.provider_http import BadProvider, ProviderAway
from . import rows as session_rows
from .cipher import TokenCipher, UnreadableSecret
from .outages import FileUnusable, Outages
from .rows import LoginSession

ACCESS_S: Final = 300.0  # life of an access token whose life the provider does not say
ACCESS_MAX: Final = 10_000  # access tokens in memory
MISSING_S: Final = 900.0  # a file may be missing so long: its file system may not be mounted
LOOKED_S: Final = 3_600.0  # after so long without a look, a missing file counts as just removed


class GrantLost(Exception):
    """The provider no longer accepts the refresh token: end the session. The text says why."""


class _Access(msgspec.Struct, frozen=True):
    token: str
    until: float  # monotonic: half of its life


class Grants:
    """Keeps, uses and revokes the grants of sessions."""

    def __init__(
        self,
        *,
        store: Store,
        providers: Providers,
        oauth: OAuth,
        cipher: TokenCipher,
        outages: Outages,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._providers, self._oauth = store, providers, oauth
        self._cipher, self._outages, self._clock, self._log = cipher, outages, clock, log
        self._access = BoundedCache[str, _Access](ACCESS_MAX)  # by session
        self._unstored: dict[str, str] = {}  # next refresh tokens, encrypted, by session
        self._missing: dict[str, tuple[float, float]] = {}  # first and last look, by provider

    def sealed(self, refresh: str, session: str) -> str:
        """Return a refresh token as the store keeps it."""
        return self._cipher.encrypt(refresh, session)

    def provider_of(self, row: LoginSession) -> ProviderEntry:
        """Return the provider of a session. Raises GrantLost; FileUnusable.

        A removed file ends sessions after MISSING_S only.
        """
        book = self._providers.book
        entry = book.providers.get(row.provider)
        if entry is None and row.provider in book.troubles:
            raise FileUnusable(f"its file has an error: {book.troubles[row.provider]}")
        if entry is None and self._missing_s(row.provider) < MISSING_S:
            raise FileUnusable(f"its file is missing; sessions end after {MISSING_S / 60:.0f} min")
        if entry is None or entry.client is None or entry.issuer != row.issuer:
            raise GrantLost(f"people no longer log in here through {row.provider}")
        self._missing.pop(row.provider, None)
        return entry

    def _missing_s(self, provider: str) -> float:
        """Return since how many seconds the file of a provider is seen to be missing."""
        now = self._clock.monotonic()
        first, last = self._missing.get(provider, (now, now))
        if now - last >= LOOKED_S:  # it may have been back since then
            first = now
        self._missing[provider] = first, now
        return now - first

    async def refresh(
        self, row: LoginSession, entry: ProviderEntry
    ) -> tuple[LoginSession, TokenAnswer]:
        """Use the refresh token; return the session with the next one, and the provider's tokens.

        Call it as work on the session. Raises LoginEnded (another request ended it), GrantLost,
        ProviderAway, BadProvider.
        """
        current = await self._store.read(session_rows.session_of, row.session)
        if current is None or not current.refresh:
            raise LoginEnded("another request ended it")
        try:
            sealed = self._unstored.get(row.session, current.refresh)
            refresh = self._cipher.decrypt(sealed, row.session)
            answer = await self._oauth.refresh(entry, refresh)
        except UnreadableSecret:
            raise GrantLost("the central was restored from a backup") from None
        except GrantEnded as why:
            raise GrantLost(f"{row.provider} ended it ({why})") from None
        kept = self.sealed(answer.refresh_token or refresh, row.session)
        row = msgspec.structs.replace(row, refresh=kept)
        self._unstored[row.session] = kept  # until the store has it, which may be full
        is_kept = await self._store.write(session_rows.keep_grant, row.session, kept)
        del self._unstored[row.session]
        if not is_kept:
            await self.revoke(row)
            raise LoginEnded("another request ended it")
        self._outages.answered(row)
        until = self._clock.monotonic() + (answer.expires_in or ACCESS_S) / 2
        self._access[row.session] = _Access(answer.access_token, until)
        return row, answer

    def find_access(self, session: str) -> str | None:
        """Return the access token of a session from memory, or None after half of its life."""
        known = self._access.get(session)
        return known.token if known and self._clock.monotonic() < known.until else None

    def forget_access(self, session: str) -> None:
        """Drop the access token of a session from memory."""
        self._access.pop(session, None)

    def forget(self, session: str) -> None:
        """Drop everything of a session from memory."""
        self.forget_access(session)
        self._unstored.pop(session, None)

    async def revoke(self, row: LoginSession) -> None:
        """Tell the provider that the refresh token is no longer used, if it answers."""
        try:
            await self.give_back(row)
        except ProviderAway as why:
            self._outages.note(row, why)
            self._log("grant_not_revoked", provider=row.provider, why=str(why))

    async def give_back(self, row: LoginSession) -> None:
        """Tell the provider that the refresh token is no longer used. Raises ProviderAway."""
        entry = self._providers.book.providers.get(row.provider)
        if entry is None or entry.client is None:
            return
        try:
            sealed = self._unstored.get(row.session, row.refresh)
            await self._oauth.revoke(entry, self._cipher.decrypt(sealed, row.session))
        except (UnreadableSecret, BadProvider) as why:
            self._log("grant_not_revoked", provider=row.provider, why=str(why))
