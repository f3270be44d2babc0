"""Who is calling, and whether they may: asked before a byte of the body is read."""

from collections.abc import Callable
from typing import Any

from .asgi import Scope
from .connection import TRUST

# Takes the value of the header `authorization`, returns the caller, and None where anybody may.
# Raises Refused.
Admit = Callable[[str], object]
Gate = Callable[[str], Admit]  # takes an action of the policy, returns who is admitted to it


def trust(scope: Scope) -> None:
    """Say to the connection of a request that it came with a good token."""
    extensions: dict[str, Any] = scope.get("extensions") or {}
    trusted: Callable[[], None] | None = extensions.get(TRUST)
    if trusted is not None:
        trusted()
