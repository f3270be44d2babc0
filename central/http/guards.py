"""Who is calling, and whether they may: asked before a byte of the body is read."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from ..auth.callers import Anonymous, Caller
from ..auth.errors import BadToken
from ..auth.policy import TABLE, Action, Reach, Who, require
from ..services import Tokens
from .body import RawHeaders, header
from .connection import DIRECT, Direct

ROUTE = "pilotage_route"  # and which route it is, for the metrics
CALLER = "pilotage_caller"  # where the guard leaves the caller, in the scope's state
_SCHEME = "bearer "

Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]


def allowed_caller(tokens: Tokens, action: Action, headers: RawHeaders) -> Caller:
    """Return the caller if they may do `action`. Raises NoToken, BadToken, ExpiredToken, Forbidden.

    Where anybody may, a token is not looked at: a pilot fetches a new one with an old one at hand.
    """
    if TABLE[Who.ANONYMOUS, action] is not Reach.NONE:
        return Anonymous()
    given = header(headers, b"authorization")
    if given and given[: len(_SCHEME)].lower() != _SCHEME:
        raise BadToken
    caller = tokens.caller(given[len(_SCHEME) :].strip()) if given else Anonymous()
    require(caller, action)
    return caller


def trust(scope: Scope) -> None:
    """Say to the connection of a request that it came with a good token."""
    direct: Direct | None = (scope.get("extensions") or {}).get(DIRECT)  # type: ignore[assignment]
    if direct is not None:
        direct.trust()


def guard(tokens: Tokens, action: Action, route: str) -> Guard:
    """Return the guard of a route; async, since Litestar runs others in a thread."""

    async def check(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        headers = connection.scope["headers"]
        connection.scope["state"][ROUTE] = route
        caller = connection.scope["state"][CALLER] = allowed_caller(tokens, action, headers)
        if not isinstance(caller, Anonymous):
            trust(connection.scope)

    return check
