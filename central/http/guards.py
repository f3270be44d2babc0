"""Identifies the caller and checks the permission, before the body is read."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from ..errors import Refused
from .asgi import AsgiScope
from .connection import TRUST

# Takes the header `authorization`. Returns the caller, or None for a public route. Raises Refused.
Admit = Callable[[str], object]
AdmitRequest = Callable[[AsgiScope], object]  # the same for a whole request; also raises Undecided


class Undecided(Refused):
    """The caller is unknown until something was read. `settle` reads it; then ask again, once."""

    def __init__(self, refusal: Refused, settle: Callable[[], Awaitable[None]]) -> None:
        super().__init__(refusal.code, refusal.message)
        self.settle: Final = settle


@dataclass(frozen=True)
class Gate:
    """The two checks of the callers of one route."""

    by_token: Admit  # for hot routes, which never wait
    by_request: AdmitRequest


RouteGate = Callable[[str], Gate]  # takes an action of the policy


def trust(scope: AsgiScope) -> None:
    """Report to the connection that a request had a valid token."""
    extensions: dict[str, Any] = scope.get("extensions") or {}
    trusted: Callable[[], None] | None = extensions.get(TRUST)
    if trusted is not None:
        trusted()
