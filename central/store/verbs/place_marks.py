"""Marks of places: a part of the store."""

from collections.abc import Sequence

import msgspec

from ..place_marks import HELD_MAX, MARKS_MAX, HeldPlace, PlaceMark
from .opened import Opened
from .session import Session


class PlaceMarksVerbs(Opened):
    """The verbs of `store.place_marks`."""

    async def put_mark(self, mark: PlaceMark) -> None:
        given = {**msgspec.structs.asdict(mark), "mark": mark.mark.value}
        await self._writer.run(lambda session: session.run("put_place_mark", given), rows=1)

    async def drop_mark(self, place: str) -> bool:
        done = await self._writer.run(
            lambda session: session.run("drop_place_mark", {"place": place}).rowcount, rows=1
        )
        return done == 1

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
