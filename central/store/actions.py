"""What a store keeps of actions that came under a key, and the verbs for it."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

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


class Actions(Protocol):
    """An action's row is written in the same transaction as what the action does to jobs.

    `move`, `want`, `delete` and `set_priority` take what makes it. Of a row that is known only
    `progress` and `complete` change.
    """

    async def action(self, name: ActionName) -> ActionRow | None:
        """Return what is kept of an action, behind all writes before."""
        ...

    async def keep_action(self, row: ActionRow) -> None:
        """Keep an action beside no change of a job."""
        ...

    async def prune_actions(self, before: float, *, limit: int) -> int:
        """Forget some of the actions that began before; return how many."""
        ...
