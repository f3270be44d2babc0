"""Who is calling, and whether they may: asked before a byte of the body is read."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from ..identity.callers import Anonymous, Caller
from ..identity.errors import BadToken
from ..identity.policy import TABLE, Action, Reach, Who, require
from ..services import Tokens
from .body import RawHeaders, header
from .connection import TRUST

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
    caller = said_by(tokens, header(headers, b"authorization"))
    require(caller, action)
    return caller


def said_by(tokens: Tokens, authorization: str) -> Caller:
    """Return whom an authorization names. Raises BadToken, ExpiredToken."""
    if not authorization:
        return Anonymous()
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise BadToken
    return tokens.caller(authorization[len(_SCHEME) :].strip())


def trust(scope: Scope) -> None:
    """Say to the connection of a request that it came with a good token."""
    extensions: dict[str, Any] = cast(dict[str, Any], scope).get("extensions") or {}
    trusted: Callable[[], None] | None = extensions.get(TRUST)
    if trusted is not None:
        trusted()


def guard(tokens: Tokens, action: Action, route: str) -> Guard:
    """Return the guard of a route; async, since Litestar runs others in a thread."""

    async def check(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        headers = connection.scope["headers"]
        connection.scope["state"][ROUTE] = route
        caller = connection.scope["state"][CALLER] = allowed_caller(tokens, action, headers)
        if not isinstance(caller, Anonymous):
            trust(connection.scope)

    return check
