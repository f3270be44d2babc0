"""What a store keeps of actions that came under a key."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec


class ActionName(NamedTuple):
    """Whose action it is, and the key under which it came."""

    community: str  # of the token; empty where it names none
    issuer: str
    subject: str
    key: str


class ActionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One action, done or half done. `progress` is JSON of the service that carries it out."""

    name: ActionName
    body_hash: str  # of the whole request: the same key with another body is refused
    at: float  # when it was first written
    progress: bytes
    complete: bool
    ids: bytes | None = None  # packed, of one that chose its jobs by a filter; until it is complete


# What to keep with a write of which these items were written. Pure: it may be called twice.
Keep = Callable[[list[bool]], ActionRow]
