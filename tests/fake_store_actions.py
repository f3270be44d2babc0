"""The part of the store in memory that keeps actions which came under a key."""

import msgspec

from pilotage.central.store.actions import ActionName, ActionRow, Keep

from .fake_store_marks import FakePlaceMarks

ActionData = dict[ActionName, ActionRow]  # what survives a restart


class FakeActions(FakePlaceMarks):
    """The verbs of `store.actions`."""

    _action_data: ActionData

    async def action(self, name: ActionName) -> ActionRow | None:
        found = self._action_data.get(name)
        await self.synced()
        return found

    async def keep_action(self, row: ActionRow) -> None:
        self.begin_write()
        self.keep_row(row)
        await self.synced()

    async def prune_actions(self, before: float, *, limit: int) -> int:
        self.begin_write()
        old = sorted(self._action_data.values(), key=lambda row: row.at)
        gone = [row.name for row in old if row.at < before][:limit]
        for name in gone:
            del self._action_data[name]
        await self.synced()
        return len(gone)

    def keep(self, keep: Keep | None, won: list[bool]) -> None:
        """Keep the action whose writes have been carried out."""
        self.keep_row(None if keep is None else keep(won))

    def keep_row(self, row: ActionRow | None) -> None:
        """Keep an action, if there is one; of one that is known only what is new."""
        if row is None:
            return
        known = self._action_data.get(row.name)
        if known is not None:
            progress, complete = row.progress, row.complete
            row = msgspec.structs.replace(known, progress=progress, complete=complete)
        self._action_data[row.name] = msgspec.structs.replace(
            row, ids=None if row.complete else row.ids
        )
