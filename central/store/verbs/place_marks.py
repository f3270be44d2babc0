"""Marks of places: a part of the store."""

from collections.abc import Sequence

import msgspec

from ..actions import ActionRow
from ..place_marks import HELD_MAX, MARKS_MAX, HeldPlace, PlaceMark
from .actions import keep_action
from .opened import Opened
from .session import Session


class PlaceMarksVerbs(Opened):
    """The verbs of `store.place_marks`."""

    async def put_mark(self, mark: PlaceMark, *, action: ActionRow | None = None) -> None:
        given = {**msgspec.structs.asdict(mark), "mark": mark.mark.value}

        def put(session: Session) -> None:
            session.run("put_place_mark", given)
            if action is not None:
                keep_action(session, action)

        await self._writer.run(put)

    async def drop_marks(self, places: Sequence[str], *, action: ActionRow | None = None) -> int:
        def drop(session: Session) -> int:
            if action is not None:
                keep_action(session, action)
            each = [session.run("drop_place_mark", {"place": place}).rowcount for place in places]
            return sum(each)

        return await self._writer.run(drop, rows=1 + len(places))

    async def marks(self) -> list[PlaceMark]:
        rows = await self._reader.rows("place_marks", {"limit": MARKS_MAX})
        names = PlaceMark.__struct_fields__
        return [msgspec.convert(dict(zip(names, row, strict=True)), PlaceMark) for row in rows]

    async def keep_held(self, held: Sequence[HeldPlace]) -> None:
        rows = [
            {"number": number, "facts": msgspec.json.encode(one)}
            for number, one in enumerate(held[-HELD_MAX:])
        ]

        def keep(session: Session) -> None:
            session.run("drop_held_places")
            session.many("insert_held_place", rows)

        await self._writer.run(keep, rows=1 + len(rows))

    async def held(self) -> list[HeldPlace]:
        rows = await self._reader.rows("held_places", {"limit": HELD_MAX})
        return [msgspec.json.decode(row[0], type=HeldPlace) for row in rows]
