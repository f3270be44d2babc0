"""Who is calling, and whether they may: asked before a byte of the body is read."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from .body import header
from .connection import TRUST

ROUTE = "pilotage_route"  # and which route it is, for the metrics
CALLER = "pilotage_caller"  # where the guard leaves the caller, in the scope's state

# Takes the value of the header `authorization`, returns the caller, and None where anybody may.
# Raises Refused.
Admit = Callable[[str], object]
Gate = Callable[[str], Admit]  # takes an action of the policy, returns who is admitted to it
Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]


def trust(scope: Scope) -> None:
    """Say to the connection of a request that it came with a good token."""
    extensions: dict[str, Any] = cast(dict[str, Any], scope).get("extensions") or {}
    trusted: Callable[[], None] | None = extensions.get(TRUST)
    if trusted is not None:
        trusted()


def guard(admit: Admit, route: str) -> Guard:
    """Return the guard of a route; async, since Litestar runs others in a thread."""

    async def check(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        connection.scope["state"][ROUTE] = route
        caller = admit(header(connection.scope["headers"], b"authorization"))
        connection.scope["state"][CALLER] = caller
        if caller is not None:
            trust(connection.scope)

    return check
