"""Actions under a key: a part of the store."""

from collections.abc import Callable
from functools import partial

from ..actions import ActionName, ActionRow, Keep
from .opened import Opened
from .session import Session, json_list


class ActionsVerbs(Opened):
    """The verbs of `store.actions`."""

    async def action(self, name: ActionName) -> ActionRow | None:
        return await self._writer.run(partial(_find, name=name))

    async def keep_action(self, row: ActionRow) -> None:
        await self._writer.run(partial(keep_action, row=row))

    async def prune_actions(self, before: float, *, limit: int) -> int:
        return await self._writer.run(partial(_prune, before=before, limit=limit), rows=limit)


def with_action(
    write: Callable[[Session], list[bool]], keep: Keep | None
) -> Callable[[Session], list[bool]]:
    """Return a write that keeps its action in the same transaction."""
    if keep is None:
        return write

    def both(session: Session) -> list[bool]:
        won = write(session)
        keep_action(session, keep(won))
        return won

    return both


# -- on the writer's session --------------------------------------------------------------------


def _find(session: Session, name: ActionName) -> ActionRow | None:
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


def _prune(session: Session, before: float, limit: int) -> int:
    old = [row[0] for row in session.rows("old_actions", {"before": before, "limit": limit})]
    for statement in ("remove_action_ids", "remove_actions"):
        session.run(statement, {"actions": json_list(old)})
    return len(old)
