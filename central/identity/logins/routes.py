"""Routes of logins.

The routes of a login need no token: its secrets are in the body. They are for the leader, which
keeps the logins that have begun.
"""

from typing import Final

from pilotage.proto.api.logins import (
    CodeClaim,
    DeviceStart,
    DeviceStarted,
    LoginClaim,
    LoginPoll,
    LoginTokens,
    Providers,
    Renewal,
    SessionEnd,
)
from pilotage.proto.problems import Code

from ...errors import Refused
from ...http.answers import TEXT, HttpAnswer
from ...http.call import Call
from ...http.route import Routes
from ..calls import user
from ..policy import Permission
from .browser_flow import BrowserAnswer, BrowserStart
from .cookies import LOGIN, LOGIN_S, SESSION, cookie, set_cookie
from .service import LoginService

ROUTES: Final = Routes[LoginService]()


@ROUTES.add("GET", "/v1/login/providers", Permission.PUBLIC_READ)
async def providers(logins: LoginService, call: Call) -> Providers:
    """List the identity providers at which people can log in."""
    return logins.providers()


@ROUTES.add("POST", "/v1/login/device", Permission.PUBLIC_READ)
async def start_device(logins: LoginService, call: Call, body: DeviceStart) -> DeviceStarted:
    """Begin a login that a person confirms in a browser on any device."""
    return await logins.device.start(body, call.address)


@ROUTES.add("POST", "/v1/login/poll", Permission.PUBLIC_READ)
async def poll(logins: LoginService, call: Call, body: LoginClaim) -> LoginPoll:
    """Ask whether a login is confirmed, and for its tokens."""
    return await logins.device.poll(body)


@ROUTES.add("POST", "/v1/login/code", Permission.PUBLIC_READ)
async def claim(logins: LoginService, call: Call, body: CodeClaim) -> LoginTokens:
    """Exchange the code of a browser login for tokens."""
    return await logins.browser.claim(body)


@ROUTES.add("POST", "/v1/login/renew", Permission.PUBLIC_READ)
async def renew(logins: LoginService, call: Call, body: Renewal) -> LoginTokens:
    """Renew a session: a new access token and a new renewal secret."""
    return await logins.renew(body, call.address)


@ROUTES.add("POST", "/v1/login/end", Permission.PUBLIC_READ)
async def log_out(logins: LoginService, call: Call, body: SessionEnd) -> None:
    """Log out: end the session of a renewal secret."""
    await logins.sessions.log_out(body.renewal, body.new)


@ROUTES.add("GET", "/auth/start", Permission.PUBLIC_READ, redirects=True, gives=str)
async def start_browser(logins: LoginService, call: Call, query: BrowserStart) -> HttpAnswer:
    """For browsers: begin a login at an identity provider."""
    is_elsewhere = call.header(b"sec-fetch-site") in ("cross-site", "same-site")
    if query.role and is_elsewhere:
        why = "a link of another site asks for a role: choose it on a page of this central"
        raise Refused(Code.FORBIDDEN, why, field="role")
    departure = await logins.browser.start(query, call.address)
    bound = set_cookie(LOGIN, departure.cookie, is_secure=logins.browser.is_secure, life_s=LOGIN_S)
    return _redirect(departure.url, bound)


@ROUTES.add("GET", "/auth/callback/{provider}", Permission.PUBLIC_READ, redirects=True, gives=str)
async def arrive(logins: LoginService, call: Call, query: BrowserAnswer) -> HttpAnswer:
    """For browsers: come back from an identity provider."""
    sent, is_secure = call.header(b"cookie"), logins.browser.is_secure
    bound, held = (cookie(sent, name, is_secure=is_secure) for name in (LOGIN, SESSION))
    arrival = await logins.browser.arrive(call.path("provider"), query, bound, held)
    headers = [set_cookie(LOGIN, "", is_secure=is_secure, life_s=0)]
    if arrival.cookie:
        headers.append(set_cookie(SESSION, arrival.cookie, is_secure=is_secure))
    return _redirect(arrival.url, *headers)


@ROUTES.add("POST", "/auth/logout", Permission.WHOAMI, gives=None)
async def leave(logins: LoginService, call: Call) -> HttpAnswer:
    """For browsers: log out, and forget the cookie."""
    caller = user(call)
    if caller.session:
        await logins.sessions.end(caller, caller.session)
    gone = set_cookie(SESSION, "", is_secure=logins.browser.is_secure, life_s=0)
    return HttpAnswer(b"", status=204, headers=[gone])


def _redirect(url: str, *headers: tuple[bytes, bytes]) -> HttpAnswer:
    """Send the browser on. The address must not reach other hosts as a referrer."""
    location = (b"location", url.encode("ascii", errors="ignore"))
    return HttpAnswer(
        b"",
        status=303,
        media=TEXT,
        headers=[location, (b"referrer-policy", b"no-referrer"), *headers],
    )
