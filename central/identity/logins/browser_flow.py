"""The browser flow of logins, for the portal and for commands on the browser's machine.

The central sends the browser to the provider, which sends it back to `/auth/callback`. From there
it goes to the loopback address of the command that waits, with a code that only this command can
use (RFC 8252, 7636), or to the portal, with the cookie of a new session.
"""

import hmac
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Meta

from pilotage.proto.api.logins import CodeClaim, LoginTokens
from pilotage.proto.claims import Role
from pilotage.proto.problems import Code

from ...errors import Refused
from ...ports import Randomness
from ..providers.addresses import is_loopback
from ..providers.oauth import GrantEnded, LoginDenied, OAuth, challenge
from ..providers.provider_http import BadProvider, ProviderAway
from ..secret_hashes import hashed
from ..sessions.rows import SessionKind
from .openings import SessionOpenings
from .pending import PendingLogin

CALLBACK: Final = "/auth/callback"
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


class BrowserLogins:
    """Begins logins in browsers, and completes them."""

    def __init__(
        self,
        openings: SessionOpenings,
        oauth: OAuth,
        url: Callable[[], str],
        randomness: Randomness,
    ) -> None:
        """`url` returns the URL of this central, at which providers send browsers back."""
        self._openings, self._oauth = openings, oauth
        self._url, self._randomness = url, randomness

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach this central over https."""
        return self._url().startswith("https:")

    async def start(self, wanted: BrowserStart, address: str) -> Departure:
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
        name, entry = self._openings.provider(wanted.provider)
        kind = SessionKind.COMMAND if is_for_command else SessionKind.BROWSER
        self._openings.limits.begin(address)  # each start may bring one code, which costs a request
        login = self._openings.pending.add(name, kind, address=address)
        self._openings.pending.expect(login)
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
            self._openings.pending.drop(login)
            self._openings.unable(name, why)
        except BaseException:  # the client went away
            self._openings.pending.drop(login)
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
        login = self._openings.pending.arrived(answer.state)
        if login is None:
            why = "this login has expired, or was completed before: begin again"
            raise Refused(Code.ILLEGAL_STATE, why, field="state")
        if provider != login.provider:  # each has its own address: RFC 9700, 4.4.2.2
            self._openings.pending.drop(login)
            why = "another identity provider answered this login: begin again"
            raise Refused(Code.FORBIDDEN, why, field="provider")
        if not hmac.compare_digest(login.browser, hashed(cookie)):
            self._openings.pending.drop(login)
            why = "this login was begun in another browser: begin again in this one"
            raise Refused(Code.FORBIDDEN, why, field="state")
        try:
            await self._openings.work.alone(login.handle, partial(self._answered, login, answer))
            if login.kind is SessionKind.BROWSER:
                return await self._portal(login, held)
        except Refused as why:
            self._openings.pending.drop(login)
            if login.kind is SessionKind.BROWSER:
                raise
            said = {"error": "access_denied", "error_description": why.message}
            return Arrival(_back_to(login, said))
        self._openings.pending.rename(login)
        return Arrival(_back_to(login, {"code": login.handle}))

    async def claim(self, body: CodeClaim) -> LoginTokens:
        """Return the tokens of a browser login, for the command that began it. Raises Refused.

        A repeated claim gets the same tokens until they are renewed.
        """
        login = self._openings.pending.find(body.code)
        return await self._openings.work.alone(login.handle, partial(self._claim, login, body))

    async def _claim(self, login: PendingLogin, body: CodeClaim) -> LoginTokens:
        known = login.person is not None and login.challenge and not login.is_device
        if not known or not hmac.compare_digest(challenge(body.verifier), login.challenge):
            self._openings.pending.drop(login)  # a code is guessed once
            why = "this code belongs to another login: begin again"
            raise Refused(Code.FORBIDDEN, why, field="verifier")
        login.host = body.host
        role = body.role or (Role(login.role) if login.role else None)
        return await self._openings.claimed(login, body.community or login.community, role)

    async def _answered(self, login: PendingLogin, answer: BrowserAnswer) -> None:
        """Exchange the provider's code for the person. Raises Refused."""
        name, entry = self._openings.provider(login.provider)
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
            self._openings.unable(name, why)
        except (LoginDenied, GrantEnded, BadProvider) as why:
            raise self._openings.not_confirmed(name, why) from None
        await self._openings.person_of(login, entry, tokens)

    async def _portal(self, login: PendingLogin, held: str) -> Arrival:
        """Open the session of a browser, and end the one that it had. Raises Refused."""
        cookie = self._randomness.token()
        role = Role(login.role) if login.role else None
        row = await self._openings.opened(login, login.community, role, cookie=hashed(cookie))
        self._openings.pending.drop(login)
        if held:
            await self._openings.sessions.replace(hashed(held), row)
        return Arrival(login.redirect, cookie)

    def _callback(self, provider: str) -> str:
        return f"{self._url().rstrip('/')}{CALLBACK}/{provider}"


def _is_here(url: str) -> bool:
    """Return whether a URL names this machine: no network carries the cookies."""
    return is_loopback(urlsplit(url).hostname or "")


def _back_to(login: PendingLogin, said: dict[str, str]) -> str:
    """Return the loopback address of the waiting command, with an answer."""
    joined = "&" if urlsplit(login.redirect).query else "?"
    return f"{login.redirect}{joined}{urlencode({**said, 'state': login.reply_state})}"
