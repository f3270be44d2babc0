"""Logins through identity providers, with a browser anywhere or on the same machine.

The device flow is for terminals: the person opens an address on any device, and the command polls.
The browser flow sends the browser to the provider and back to `/auth/callback`. From there it goes
to the loopback address of the command that waits, with a code that only this command can use
(RFC 8252, 7636), or to the portal, with the cookie of a new session.
"""

import hmac
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Final, NamedTuple, NoReturn
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Meta

from pilotage.proto.api.logins import (
    CodeClaim,
    DeviceStart,
    DeviceStarted,
    LoginClaim,
    LoginPoll,
    LoginState,
    LoginTokens,
    Providers as ProvidersView,
    ProviderView,
    Renewal,
)
from pilotage.proto.claims import Role
from pilotage.proto.problems import Code

from ...errors import Refused
from ...observe.events import Log
from ...ports import Clock, Randomness
from ..errors import Forbidden
from ..providers.addresses import is_loopback
from ..providers.mapping import choose, read_claims
from ..providers.oauth import (
    INTERVAL_S,
    SLOWER_S,
    GrantEnded,
    LoginDenied,
    OAuth,
    TokenAnswer,
    Waiting,
    challenge,
)
from ..providers.people import People
from ..providers.provider_files import ProviderEntry, Providers
from ..providers.provider_http import BadProvider, ProviderAway, TooManyRequests
from ..secret_hashes import hashed
from ..sessions.life import LoginSessions, SessionHolder
from ..sessions.rows import LoginSession, SessionKind
from ..sessions.session_work import SessionWork
from ..sessions.unused_grants import UnusedGrant, UnusedGrants
from .pending import NoSuchLogin, PendingLogin, PendingLogins
from .start_limits import Simultaneous, StartLimits

CALLBACK: Final = "/auth/callback"
WAIT_MIN_S: Final = 0.5  # between two polls of a command
SWEEP_S: Final = 60.0
_LOOPBACK: Final = re.compile(r"http://(127\.0\.0\.1|\[::1\]):[0-9]{1,5}/[A-Za-z0-9/_-]{0,64}")
_PORTAL: Final = re.compile(r"/(?![/\\])[!-\[\]-~]{0,512}")  # a path of this central, no other host
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")


_Short = Annotated[str, Meta(max_length=128)]


class BrowserStart(msgspec.Struct, frozen=True, kw_only=True):
    """The request of a browser for a login, for a command on this machine or for the portal."""

    provider: _Short = ""
    community: _Short = ""
    role: _Short = ""
    redirect_uri: _Short = ""  # loopback address of a command; empty: for the portal
    code_challenge: _Short = ""
    state: _Short = ""
    to: Annotated[str, Meta(max_length=513)] = "/"  # path of the portal


class BrowserAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a provider, which a browser brings (RFC 6749, 4.1.2; RFC 9207)."""

    state: str = ""
    code: str = ""
    iss: str = ""
    error: str = ""
    error_description: str = ""


class Departure(NamedTuple):
    """Where a browser goes next, and the cookie that binds the login to it."""

    url: str
    cookie: str


class Arrival(NamedTuple):
    """Where a browser goes after a login; the cookie of its session, if it is for the portal."""

    url: str
    cookie: str = ""


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
        """Take `work`, in which a login goes on even if its client leaves.

        `url` returns the URL of this central, at which providers send browsers back.
        """
        self._providers, self._oauth, self._people = providers, oauth, people
        self.sessions, self._unused, self._work, self._url = sessions, unused, work, url
        self._clock, self._randomness, self._log = clock, randomness, log
        self._pending = PendingLogins(clock, randomness, self._give_back)
        self._limits, self._starts, self._polls = StartLimits(clock), Simultaneous(), Simultaneous()

    async def run(self) -> None:
        """Drop logins whose time is over. Ends by cancellation."""
        while True:
            await self._clock.sleep(SWEEP_S)
            self._pending.sweep()

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach this central over https."""
        return self._url().startswith("https:")

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

    # -- device flow -----------------------------------------------------------------------------

    async def start_device(self, body: DeviceStart, address: str) -> DeviceStarted:
        """Begin a device login. Raises Refused."""
        name, entry = self._provider(body.provider)
        self._check_device_flow(name, entry)
        self._limits.begin(address)
        login = self._pending.add(
            name, SessionKind.COMMAND, address=address, is_device=True, host=body.host
        )
        try:
            with self._starts.one(name):
                codes = await self._oauth.start_device(entry)
        except (ProviderAway, BadProvider) as why:
            self._pending.drop(login)
            self._check_device_flow(name, entry)  # its metadata may have come only now
            self._unable(name, why)
        except BaseException:  # too many at once, or the client went away
            self._pending.drop(login)
            raise
        now = self._clock.monotonic()
        login.device_code = codes.device_code
        login.interval_s = codes.interval or INTERVAL_S
        login.poll_at, login.ends_at = now, min(login.ends_at, now + codes.expires_in)
        return DeviceStarted(
            login=login.handle,
            provider=name,
            user_code=codes.user_code,
            verification_uri=codes.verification_uri,
            verification_uri_complete=codes.verification_uri_complete,
            expires_in_s=login.ends_at - now,
            interval_s=login.interval_s,
        )

    async def poll(self, body: LoginClaim) -> LoginPoll:
        """Return the state of a device login, and its tokens after the confirmation.

        A repeated claim gets the same tokens until they are renewed. Raises Refused, also if the
        person has no rights here, or must choose a community.
        """
        login = self._pending.find(body.login)
        if not login.is_device:  # the code of a browser login needs its verifier
            raise NoSuchLogin
        if self._work.is_busy(login.handle):  # anybody may repeat a poll: nobody waits for one
            return self._still_pending(login)
        return await self._work.alone(login.handle, partial(self._poll, login, body))

    async def _poll(self, login: PendingLogin, body: LoginClaim) -> LoginPoll:
        if login.failed is not None:
            raise login.failed
        if login.person is None and not await self._is_confirmed(login):
            return self._still_pending(login)
        tokens = await self._claimed(login, body.community, body.role)
        return LoginPoll(state=LoginState.DONE, tokens=tokens)

    def _still_pending(self, login: PendingLogin) -> LoginPoll:
        wait_s = max(login.poll_at - self._clock.monotonic(), WAIT_MIN_S)
        return LoginPoll(state=LoginState.PENDING, interval_s=wait_s)

    async def _is_confirmed(self, login: PendingLogin) -> bool:
        """Ask the provider whether the person has confirmed, if it is time to. Raises Refused."""
        now = self._clock.monotonic()
        if now < login.poll_at or not login.device_code:
            return False
        if self._polls.is_full(login.provider):
            return False  # it stays due, so that it has a turn among those that hang
        login.poll_at = now + login.interval_s
        name, entry = self._provider(login.provider)
        try:
            with self._polls.one(login.provider):
                answer = await self._oauth.poll_device(entry, login.device_code)
        except Waiting as why:
            login.interval_s += SLOWER_S if why.slower else 0.0
            return False
        except ProviderAway:
            return False  # the code stays valid: ask again
        except (LoginDenied, GrantEnded, BadProvider) as why:
            login.device_code = ""
            login.failed = self._not_confirmed(name, why)
            raise login.failed from None
        login.device_code = ""  # never used again: a second use would end the whole grant
        await self._person_of(login, entry, answer)
        return True

    # -- browser flow ----------------------------------------------------------------------------

    async def start_browser(self, wanted: BrowserStart, address: str) -> Departure:
        """Begin a login in a browser. Raises Refused."""
        is_for_command = bool(wanted.redirect_uri)
        if is_for_command and not _LOOPBACK.fullmatch(wanted.redirect_uri):
            right = "expected http://127.0.0.1:PORT/PATH"
            why = f"redirect_uri: found {wanted.redirect_uri[:200]!r}, {right}"
            raise Refused(Code.INVALID, why, field="redirect_uri")
        if is_for_command and not _CHALLENGE.fullmatch(wanted.code_challenge):
            why = "code_challenge: expected the S256 challenge of RFC 7636, 43 characters"
            raise Refused(Code.INVALID, why, field="code_challenge")
        if not is_for_command and not (self.is_secure or _is_here(self._url())):
            why = "browser logins need https: ask an operator to set http.url or a certificate"
            raise Refused(Code.ILLEGAL_STATE, why)
        if not is_for_command and not _PORTAL.fullmatch(wanted.to):
            why = f"to: found {wanted.to[:200]!r}, expected a path of this central"
            raise Refused(Code.INVALID, why, field="to")
        if wanted.role and wanted.role not in Role:
            why = f"role: found {wanted.role[:80]!r}, expected one of {', '.join(Role)}"
            raise Refused(Code.INVALID, why, field="role")
        name, entry = self._provider(wanted.provider)
        kind = SessionKind.COMMAND if is_for_command else SessionKind.BROWSER
        self._limits.begin(address)  # each start may bring one code, which costs a request
        login = self._pending.add(name, kind, address=address)
        self._pending.expect(login)
        cookie = self._randomness.token()
        login.browser, login.challenge = hashed(cookie), wanted.code_challenge
        login.redirect = wanted.redirect_uri or wanted.to
        login.reply_state = wanted.state
        login.community, login.role = wanted.community, wanted.role
        try:
            url = await self._oauth.browser_url(
                entry,
                redirect=self._callback(name),
                state=login.state,
                nonce=login.nonce,
                verifier=login.verifier,
            )
        except (ProviderAway, BadProvider) as why:
            self._pending.drop(login)
            self._unable(name, why)
        except BaseException:  # the client went away
            self._pending.drop(login)
            raise
        return Departure(url, cookie)

    async def arrive(
        self, provider: str, answer: BrowserAnswer, cookie: str, held: str = ""
    ) -> Arrival:
        """Complete a login in a browser. Raises Refused.

        `held` is the cookie of the session that the browser has; a new one for the portal ends it.

        The state, the browser's cookie and the provider's name must belong to one login: an answer
        of another provider, of another browser or of an earlier login is refused.
        """
        login = self._pending.arrived(answer.state)
        if login is None:
            why = "this login has expired, or was completed before: begin again"
            raise Refused(Code.ILLEGAL_STATE, why, field="state")
        if provider != login.provider:  # each has its own address: RFC 9700, 4.4.2.2
            self._pending.drop(login)
            why = "another identity provider answered this login: begin again"
            raise Refused(Code.FORBIDDEN, why, field="provider")
        if not hmac.compare_digest(login.browser, hashed(cookie)):
            self._pending.drop(login)
            why = "this login was begun in another browser: begin again in this one"
            raise Refused(Code.FORBIDDEN, why, field="state")
        try:
            await self._work.alone(login.handle, partial(self._answered, login, answer))
            if login.kind is SessionKind.BROWSER:
                return await self._portal(login, held)
        except Refused as why:
            self._pending.drop(login)
            if login.kind is SessionKind.BROWSER:
                raise
            said = {"error": "access_denied", "error_description": why.message}
            return Arrival(_back_to(login, said))
        self._pending.rename(login)
        return Arrival(_back_to(login, {"code": login.handle}))

    async def claim(self, body: CodeClaim) -> LoginTokens:
        """Return the tokens of a browser login, for the command that began it. Raises Refused.

        A repeated claim gets the same tokens until they are renewed.
        """
        login = self._pending.find(body.code)
        return await self._work.alone(login.handle, partial(self._claim, login, body))

    async def _claim(self, login: PendingLogin, body: CodeClaim) -> LoginTokens:
        known = login.person is not None and login.challenge and not login.is_device
        if not known or not hmac.compare_digest(challenge(body.verifier), login.challenge):
            self._pending.drop(login)  # a code is guessed once
            why = "this code belongs to another login: begin again"
            raise Refused(Code.FORBIDDEN, why, field="verifier")
        login.host = body.host
        role = body.role or (Role(login.role) if login.role else None)
        return await self._claimed(login, body.community or login.community, role)

    async def _answered(self, login: PendingLogin, answer: BrowserAnswer) -> None:
        """Exchange the provider's code for the person. Raises Refused."""
        name, entry = self._provider(login.provider)
        try:
            found = await self._oauth.metadata(entry)
            told = answer.iss or not found.authorization_response_iss_parameter_supported
            if not told or (answer.iss and answer.iss != entry.issuer):
                why = "another identity provider answered this login: begin again"
                raise Refused(Code.FORBIDDEN, why, field="iss")
            if answer.error or not answer.code:
                raise LoginDenied(f"{answer.error} {answer.error_description}".strip()[:300])
            tokens = await self._oauth.code(
                entry, answer.code, redirect=self._callback(name), verifier=login.verifier
            )
        except ProviderAway as why:
            self._unable(name, why)
        except (LoginDenied, GrantEnded, BadProvider) as why:
            raise self._not_confirmed(name, why) from None
        await self._person_of(login, entry, tokens)

    async def renew(self, body: Renewal, address: str = "") -> LoginTokens:
        """Renew a session. Raises Refused, BadToken, LoginEnded."""
        tokens = await self.sessions.renew(body.renewal, body.nonce, address=address)
        self._pending.renewed(tokens.session)
        return tokens

    async def _portal(self, login: PendingLogin, held: str) -> Arrival:
        """Open the session of a browser, and end the one that it had. Raises Refused."""
        cookie = self._randomness.token()
        role = Role(login.role) if login.role else None
        row = await self._opened(login, login.community, role, cookie=hashed(cookie))
        self._pending.drop(login)
        if held:
            await self.sessions.replace(hashed(held), row)
        return Arrival(login.redirect, cookie)

    # -- helpers ---------------------------------------------------------------------------------

    async def _person_of(
        self, login: PendingLogin, entry: ProviderEntry, answer: TokenAnswer
    ) -> None:
        """Note the person that the provider's tokens describe. Raises Refused."""
        login.refresh = answer.refresh_token
        try:
            login.person = await self._people.described(entry, answer, nonce=login.nonce)
        except (ProviderAway, BadProvider) as why:
            login.failed = self._not_confirmed(login.provider, why)
            raise login.failed from None

    async def _claimed(self, login: PendingLogin, community: str, role: Role | None) -> LoginTokens:
        """Return the tokens of a confirmed login; the first time, open its session."""
        if login.tokens is None:
            row = await self._opened(login, community, role)
            self._pending.claimed(login, self.sessions.tokens_of(row))
        assert login.tokens is not None, "it was just claimed"
        return login.tokens

    async def _opened(
        self, login: PendingLogin, community: str, role: Role | None, cookie: str = ""
    ) -> LoginSession:
        assert login.person is not None, "the provider has confirmed it"
        _, entry = self._provider(login.provider)
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
        """Give the refresh token of a login back that opened no session."""
        entry = self._providers.book.providers.get(login.provider)
        self._unused.add(
            UnusedGrant(
                provider=login.provider,
                issuer=entry.issuer if entry is not None else "",
                subject=login.person.subject if login.person is not None else "",
                refresh=login.refresh,
            )
        )

    def _provider(self, name: str) -> tuple[str, ProviderEntry]:
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

    def _check_device_flow(self, name: str, entry: ProviderEntry) -> None:
        if not self._oauth.has_device_flow(entry):
            why = f"{name} has no device flow: log in with `pilotage login --browser`"
            raise Refused(Code.ILLEGAL_STATE, why, field="provider")

    def _callback(self, provider: str) -> str:
        return f"{self._url().rstrip('/')}{CALLBACK}/{provider}"

    def _unable(self, name: str, why: Exception) -> NoReturn:
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

    def _not_confirmed(self, name: str, why: Exception) -> Refused:
        """Return the refusal for a login that the provider did not confirm."""
        self._log("login_failed", provider=name, why=str(why))
        if isinstance(why, LoginDenied):
            return Refused(Code.FORBIDDEN, f"the login was refused at {name}: {why}")
        return Refused(Code.ILLEGAL_STATE, f"{name} did not confirm the login: begin again")


def _is_here(url: str) -> bool:
    """Return whether a URL names this machine: no network carries the cookies."""
    return is_loopback(urlsplit(url).hostname or "")


def _back_to(login: PendingLogin, said: dict[str, str]) -> str:
    """Return the loopback address of the waiting command, with an answer."""
    joined = "&" if urlsplit(login.redirect).query else "?"
    return f"{login.redirect}{joined}{urlencode({**said, 'state': login.reply_state})}"
