"""Gives back refresh tokens of logins that opened no session.

They are in memory only, so a restart forgets them. A provider may have one grant for all logins of
a person in a browser. So a token stays alive while its person has a session that needs the grant.
"""

from collections import deque
from typing import Final

import msgspec

from ...observe.events import Log
from ...ports import Clock
from ...store.engine import Store
from ...store.errors import StoreBroken, StoreError
from ..providers.oauth import OAuth
from ..providers.provider_files import Providers
from ..providers.provider_http import BadProvider, ProviderAway
from . import rows as session_rows

WAITING_MAX: Final = 1_000
TRIES_MAX: Final = 10  # at a provider that is away
ROUND_S: Final = 60.0


class UnusedGrant(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh token, in clear, of a person who got no session for it."""

    provider: str
    issuer: str
    subject: str
    refresh: str
    tries: int = 0


class UnusedGrants:
    """Keeps unused refresh tokens until their provider has taken them back."""

    def __init__(
        self, *, store: Store, providers: Providers, oauth: OAuth, clock: Clock, log: Log
    ) -> None:
        self._store, self._providers, self._oauth = store, providers, oauth
        self._clock, self._log = clock, log
        self._waiting = deque[UnusedGrant](maxlen=WAITING_MAX)

    def add(self, grant: UnusedGrant) -> None:
        """Give a refresh token back soon. If too many wait, the oldest is forgotten."""
        self._waiting.append(grant)

    async def run(self) -> None:
        """Give tokens back. Ends by cancellation."""
        while True:
            await self._clock.sleep(ROUND_S)
            await self.give_back()

    async def give_back(self) -> None:
        """Try each waiting token once. Those of a provider that is away wait for the next round.

        An error of the store ends the round. Raises StoreBroken.
        """
        away = set[str]()
        for _ in range(len(self._waiting)):
            grant = self._waiting.popleft()
            if grant.provider in away:
                self._waiting.append(grant)
                continue
            try:
                await self._give_back(grant)
            except ProviderAway as why:
                away.add(grant.provider)
                if grant.tries < TRIES_MAX:
                    self._waiting.append(msgspec.structs.replace(grant, tries=grant.tries + 1))
                else:
                    self._log("grant_not_revoked", provider=grant.provider, why=str(why))
            except BadProvider as why:
                self._log("grant_not_revoked", provider=grant.provider, why=str(why))
            except StoreBroken:
                raise
            except StoreError as why:
                self._waiting.append(grant)
                self._log("loop_failed", loop="unused refresh tokens", error=str(why))
                return

    async def _give_back(self, grant: UnusedGrant) -> None:
        """Give a token back, unless a session needs it. Raises ProviderAway, BadProvider."""
        has_session = await self._store.read(session_rows.has_grant, grant.issuer, grant.subject)
        entry = self._providers.book.providers.get(grant.provider)
        if not has_session and entry is not None and entry.client is not None:
            await self._oauth.revoke(entry, grant.refresh)
