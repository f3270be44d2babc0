"""The stored actions that have a key."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from ..store.session import Session, json_list


class ActionKey(NamedTuple):
    """The owner of an action, and the key that its request gave."""

    community: str  # of the token; empty if the token names none
    issuer: str
    subject: str
    key: str


class ActionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One action, complete or not. `progress` is JSON that only its service reads."""

    name: ActionKey
    body_hash: str  # of the whole request; the same key with another body is refused
    at: float  # time of the first write
    progress: bytes
    complete: bool
    ids: bytes | None = None  # packed; only of an incomplete action whose jobs a filter selected


# Returns the action to store, given which items of the write were written. Pure: a write may call
# it twice.
Keep = Callable[[list[bool]], ActionRow]


def action(session: Session, name: ActionKey) -> ActionRow | None:
    """Return a stored action, or None. Run as a write, it sees all earlier writes."""
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
    """Insert an action or update its progress."""
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
    """Delete at most `limit` actions that began before `before`; return the count."""
    old = [row[0] for row in session.rows("old_actions", {"before": before, "limit": limit})]
    for statement in ("remove_action_ids", "remove_actions"):
        session.run(statement, {"actions": json_list(old)})
    return len(old)


def kept(session: Session, keep: Keep | None, won: list[bool]) -> list[bool]:
    """Store the action, if any, in the transaction of its write; return `won`."""
    if keep is not None:
        keep_action(session, keep(won))
    return won
