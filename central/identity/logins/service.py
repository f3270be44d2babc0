"""Logins through identity providers, with a browser anywhere or on the same machine."""

from collections.abc import Callable
from typing import Final

from pilotage.proto.api.logins import LoginTokens, Providers as ProvidersView, ProviderView, Renewal

from ...observe.events import Log
from ...ports import Clock, Randomness
from ..providers.oauth import OAuth
from ..providers.people import People
from ..providers.provider_files import Providers
from ..sessions.life import LoginSessions
from ..sessions.session_work import SessionWork
from ..sessions.unused_grants import UnusedGrants
from .browser_flow import BrowserLogins
from .device_flow import DeviceLogins
from .openings import SessionOpenings

SWEEP_S: Final = 60.0


class LoginService:
    """Begins and completes logins. Only the leader does."""

    def __init__(
        self,
        *,
        providers: Providers,
        oauth: OAuth,
        people: People,
        sessions: LoginSessions,
        unused: UnusedGrants,
        work: SessionWork,
        url: Callable[[], str],
        clock: Clock,
        randomness: Randomness,
        log: Log,
    ) -> None:
        """`url` returns the URL of this central, at which providers send browsers back."""
        openings = SessionOpenings(
            providers=providers,
            people=people,
            sessions=sessions,
            unused=unused,
            work=work,
            clock=clock,
            randomness=randomness,
            log=log,
        )
        self._providers, self._oauth, self._clock = providers, oauth, clock
        self.sessions, self._pending = sessions, openings.pending
        self.device = DeviceLogins(openings, oauth, clock)
        self.browser = BrowserLogins(openings, oauth, url, randomness)

    async def run(self) -> None:
        """Drop logins whose time is over. Ends by cancellation."""
        while True:
            await self._clock.sleep(SWEEP_S)
            self._pending.sweep()

    def providers(self) -> ProvidersView:
        """Return the providers at which people can log in. This asks none of them."""
        return ProvidersView(
            providers=[
                ProviderView(
                    name=name,
                    title=entry.title or name,
                    issuer=entry.issuer,
                    device=self._oauth.has_device_flow(entry),
                )
                for name, entry in sorted(self._providers.book.providers.items())
                if entry.client is not None
            ]
        )

    async def renew(self, body: Renewal, address: str = "") -> LoginTokens:
        """Renew a session. Raises Refused, BadToken, LoginEnded."""
        tokens = await self.sessions.renew(body.renewal, body.nonce, address=address)
        self._pending.renewed(tokens.session)
        return tokens
