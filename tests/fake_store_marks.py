"""The part of the store in memory that keeps marks of places."""

from collections.abc import Sequence

from pilotage.central.store.actions import ActionRow
from pilotage.central.store.place_marks import HELD_MAX, HeldPlace, PlaceMark

from .fake_store_slots import FakeSlots

MarkData = dict[str, PlaceMark]  # by place: what survives a restart


class FakePlaceMarks(FakeSlots):
    """The verbs of `store.place_marks`."""

    _mark_data: MarkData

    async def put_mark(self, mark: PlaceMark, *, action: ActionRow | None = None) -> None:
        self.begin_write()
        self._mark_data[mark.place] = mark
        self.keep_row(action)
        await self.synced()

    async def drop_marks(self, places: Sequence[str], *, action: ActionRow | None = None) -> int:
        self.begin_write()
        dropped = [self._mark_data.pop(place, None) for place in places]
        self.keep_row(action)
        await self.synced()
        return sum(one is not None for one in dropped)

    def keep_row(self, row: ActionRow | None) -> None:
        """Keep an action, if there is one."""
        raise NotImplementedError

    async def marks(self) -> list[PlaceMark]:
        return [self._mark_data[place] for place in sorted(self._mark_data)]

    async def keep_held(self, held: Sequence[HeldPlace]) -> None:
        self.begin_write()
        self._slot_data.held = list(held[-HELD_MAX:])
        await self.synced()

    async def held(self) -> list[HeldPlace]:
        return list(self._slot_data.held)
