"""The gate that admits callers to routes, by their tokens or by the cookie of a browser."""

from functools import partial
from typing import Final

from ..http.asgi import AsgiScope
from ..http.body import header, only_header
from ..http.guards import Gate, RouteGate, Undecided
from .callers import Anonymous, Caller, PilotCaller, User
from .errors import BadToken, KeysNeeded
from .logins.browser_sessions import MARK, BrowserSessions
from .logins.cookies import SESSION, cookie
from .policy import TABLE, CallerKind, Permission, Reach, require
from .tokens import TokenIssuer

_SCHEME = "bearer "
_READS: Final = ("GET", "HEAD")


def gate(tokens: TokenIssuer, browsers: BrowserSessions | None = None) -> RouteGate:
    """Return the gate of all routes. It raises NoToken, BadToken, ExpiredToken, Banned, Forbidden.

    On routes for anonymous callers it ignores tokens, because a pilot fetches a new token while it
    still sends the old one. Without a token, the cookie of a browser counts, if there are
    `browsers`; but never on a hot route of pilots.
    """

    def admitted_to(word: str) -> Gate:
        action = Permission(word)
        if TABLE[CallerKind.ANONYMOUS, action] is not Reach.NONE:
            return Gate(_anybody, _anybody)
        is_for_pilots = TABLE[CallerKind.PILOT, action] is not Reach.NONE

        def admit(authorization: str) -> Caller:
            caller = _caller_from(tokens, authorization)
            if not (is_for_pilots and isinstance(caller, PilotCaller)):  # pilots call most often
                require(caller, action)
            return caller

        def admit_request(scope: AsgiScope) -> Caller:
            authorization = header(scope["headers"], b"authorization")
            if authorization or browsers is None:
                try:
                    return admit(authorization)
                except KeysNeeded as why:
                    raise Undecided(BadToken(), partial(tokens.fetch_keys, why.issuer)) from None
            caller = _browser(browsers, scope)
            require(caller, action)
            return caller

        return Gate(admit, admit_request)

    return admitted_to


def _browser(browsers: BrowserSessions, scope: AsgiScope) -> User | Anonymous:
    """Return the user of a browser's cookie, if it sends one. Raises Undecided, Refused."""
    headers = scope["headers"]
    secret = cookie(header(headers, b"cookie"), SESSION, is_secure=browsers.is_secure)
    if not secret:
        return Anonymous()
    if scope["method"] not in _READS:
        browsers.check_origin(only_header(headers, b"origin"), header(headers, MARK))
    found = browsers.find(secret)
    if found is None:
        raise Undecided(BadToken(), partial(browsers.load, secret))
    return found


def _anybody(sent: object) -> None:
    """Admit every caller without reading the token."""


def _caller_from(tokens: TokenIssuer, authorization: str) -> Caller:
    if not authorization:
        return Anonymous()
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise BadToken
    return tokens.caller(authorization[len(_SCHEME) :].strip())
