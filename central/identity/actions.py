"""Actions that came under a key."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from ..store.session import Session, json_list


class ActionKey(NamedTuple):
    """Whose action it is, and the key under which it came."""

    community: str  # of the token; empty where it names none
    issuer: str
    subject: str
    key: str


class ActionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One action, done or half done. `progress` is JSON of the service that carries it out."""

    name: ActionKey
    body_hash: str  # of the whole request: the same key with another body is refused
    at: float  # when it was first written
    progress: bytes
    complete: bool
    ids: bytes | None = None  # packed, of one that chose its jobs by a filter; until it is complete


# What to keep with a write of which these items were written. Pure: it may be called twice.
Keep = Callable[[list[bool]], ActionRow]


def action(session: Session, name: ActionKey) -> ActionRow | None:
    """Return what is kept of an action. Run as a write, it sees all earlier writes."""
    found = session.one("action", name._asdict())
    if found is None:
        return None
    body_hash, at, progress, complete, ids = found
    return ActionRow(
        name=name,
        body_hash=body_hash,
        at=at,
        progress=progress,
        complete=bool(complete),
        ids=ids,
    )


def keep_action(session: Session, row: ActionRow) -> None:
    """Write an action, or what is new of it."""
    fields = {
        **row.name._asdict(),
        "body_hash": row.body_hash,
        "at": row.at,
        "progress": row.progress,
        "complete": row.complete,
    }
    kept = {"action_id": session.one("keep_action", fields)[0], "ids": row.ids}
    if row.complete:
        session.run("drop_action_ids", kept)
    elif row.ids is not None:
        session.run("keep_action_ids", kept)


def prune_actions(session: Session, before: float, *, limit: int) -> int:
    """Forget some of the actions that began before; return how many."""
    old = [row[0] for row in session.rows("old_actions", {"before": before, "limit": limit})]
    for statement in ("remove_action_ids", "remove_actions"):
        session.run(statement, {"actions": json_list(old)})
    return len(old)


def kept(session: Session, keep: Keep | None, won: list[bool]) -> list[bool]:
    """Keep an action, if there is one, in the transaction that has won; return `won`."""
    if keep is not None:
        keep_action(session, keep(won))
    return won
