"""Turns the person of a confirmed login into a session: the shared part of both flows."""

from typing import NoReturn

from pilotage.proto.api.logins import LoginTokens
from pilotage.proto.claims import Role
from pilotage.proto.problems import Code

from ...errors import Refused
from ...observe.events import Log
from ...ports import Clock, Randomness
from ..errors import Forbidden
from ..providers.mapping import choose, read_claims
from ..providers.oauth import LoginDenied, TokenAnswer
from ..providers.people import People
from ..providers.provider_files import ProviderEntry, Providers
from ..providers.provider_http import BadProvider, ProviderAway, TooManyRequests
from ..sessions.life import LoginSessions, SessionHolder
from ..sessions.rows import LoginSession
from ..sessions.session_work import SessionWork
from ..sessions.unused_grants import UnusedGrant, UnusedGrants
from .pending import PendingLogin, PendingLogins
from .start_limits import StartLimits


class SessionOpenings:
    """Keeps pending logins, and opens the sessions of those that a provider has confirmed."""

    def __init__(
        self,
        *,
        providers: Providers,
        people: People,
        sessions: LoginSessions,
        unused: UnusedGrants,
        work: SessionWork,
        clock: Clock,
        randomness: Randomness,
        log: Log,
    ) -> None:
        """Take `work`, in which a login goes on even if its client leaves."""
        self._providers, self._people, self._unused, self._log = providers, people, unused, log
        self.sessions, self.work = sessions, work
        self.pending = PendingLogins(clock, randomness, self._give_back)
        self.limits = StartLimits(clock)

    async def person_of(
        self, login: PendingLogin, entry: ProviderEntry, answer: TokenAnswer
    ) -> None:
        """Note the person that the provider's tokens describe. Raises Refused."""
        login.refresh = answer.refresh_token
        try:
            login.person = await self._people.described(entry, answer, nonce=login.nonce)
        except (ProviderAway, BadProvider) as why:
            login.failed = self.not_confirmed(login.provider, why)
            raise login.failed from None

    async def claimed(self, login: PendingLogin, community: str, role: Role | None) -> LoginTokens:
        """Return the tokens of a confirmed login; the first time, open its session."""
        if login.tokens is None:
            row = await self.opened(login, community, role)
            self.pending.claimed(login, self.sessions.tokens_of(row))
        assert login.tokens is not None, "it was just claimed"
        return login.tokens

    async def opened(
        self, login: PendingLogin, community: str, role: Role | None, cookie: str = ""
    ) -> LoginSession:
        """Open the session of a confirmed login. Raises Refused."""
        assert login.person is not None, "the provider has confirmed it"
        _, entry = self.provider(login.provider)
        try:
            found = read_claims(entry, login.person.claims)
            rights = choose(found, community=community, role=role)
        except Forbidden as why:
            if login.refused != why.message:  # a command may repeat its question
                login.refused, person = why.message, login.person.subject
                self._log("login_refused", person=person, provider=login.provider, why=why.message)
            raise
        holder = SessionHolder(
            kind=login.kind, host=login.host, address=login.address, cookie=cookie
        )
        row = await self.sessions.open(login.provider, login.person, rights, holder)
        login.refresh = ""  # the session keeps it
        return row

    def _give_back(self, login: PendingLogin) -> None:
        """Give the refresh token of a login back that opened no session.

        If its person is unknown, it may belong to the grant of an open session: it stays valid.
        """
        if login.person is not None:
            self._unused.add(
                UnusedGrant(
                    provider=login.provider,
                    issuer=login.person.issuer,
                    subject=login.person.subject,
                    refresh=login.refresh,
                )
            )

    def provider(self, name: str) -> tuple[str, ProviderEntry]:
        """Return the provider of this name, or the only one. Raises Refused."""
        found = {
            one: entry
            for one, entry in self._providers.book.providers.items()
            if entry.client is not None
        }
        if name in found:
            return name, found[name]
        known = ", ".join(sorted(found))
        if not found:
            why = "no identity provider is set up here: ask an administrator for a token"
        elif name:
            why = f"there is no identity provider {name[:80]!r}; there are: {known}"
        elif len(found) == 1:
            return next(iter(found.items()))
        else:
            why = f"there are several identity providers; choose one with --provider: {known}"
        raise Refused(Code.NOT_FOUND if name else Code.INVALID, why, field="provider")

    def unable(self, name: str, why: Exception) -> NoReturn:
        """Raise the refusal for a login that cannot begin now."""
        self._log("login_failed", provider=name, why=str(why))
        if isinstance(why, TooManyRequests):
            said = f"too many logins through {name} begin now: try again in some seconds"
            raise Refused(Code.TOO_MANY, said) from None
        if isinstance(why, ProviderAway):
            said = f"the identity provider {name} does not answer: try again later"
            raise Refused(Code.UNAVAILABLE, said) from None
        said = f"logins through {name} do not work; the operators find the reason in the log"
        raise Refused(Code.ILLEGAL_STATE, said, field="provider") from None

    def not_confirmed(self, name: str, why: Exception) -> Refused:
        """Return the refusal for a login that the provider did not confirm."""
        self._log("login_failed", provider=name, why=str(why))
        if isinstance(why, LoginDenied):
            return Refused(Code.FORBIDDEN, f"the login was refused at {name}: {why}")
        return Refused(Code.ILLEGAL_STATE, f"{name} did not confirm the login: begin again")
