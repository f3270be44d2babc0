"""Identifies the caller and checks the permission, before the body is read."""

from collections.abc import Callable
from typing import Any

from .asgi import AsgiScope
from .connection import TRUST

# Takes the header `authorization`. Returns the caller, or None for a public route. Raises Refused.
Admit = Callable[[str], object]
RouteGate = Callable[
    [str], Admit
]  # takes an action of the policy, returns the check of its callers


def trust(scope: AsgiScope) -> None:
    """Report to the connection that a request had a valid token."""
    extensions: dict[str, Any] = scope.get("extensions") or {}
    trusted: Callable[[], None] | None = extensions.get(TRUST)
    if trusted is not None:
        trusted()
