"""The part of the store in memory that keeps marks of places."""

from collections.abc import Sequence

from pilotage.central.store.place_marks import HELD_MAX, HeldPlace, PlaceMark

from .fake_store_slots import FakeSlots

MarkData = dict[str, PlaceMark]  # by place: what survives a restart


class FakePlaceMarks(FakeSlots):
    """The verbs of `store.place_marks`."""

    _mark_data: MarkData

    async def put_mark(self, mark: PlaceMark) -> None:
        self.begin_write()
        self._mark_data[mark.place] = mark
        await self.synced()

    async def drop_mark(self, place: str) -> bool:
        self.begin_write()
        dropped = self._mark_data.pop(place, None)
        await self.synced()
        return dropped is not None

    async def marks(self) -> list[PlaceMark]:
        return [self._mark_data[place] for place in sorted(self._mark_data)]

    async def keep_held(self, held: Sequence[HeldPlace]) -> None:
        self.begin_write()
        self._slot_data.held = list(held[-HELD_MAX:])
        await self.synced()

    async def held(self) -> list[HeldPlace]:
        return list(self._slot_data.held)
