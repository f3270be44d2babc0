"""Marks of places on SQLite: a part of the store."""

import msgspec

from ..place_marks import MARKS_MAX, PlaceMark
from .opened import Opened


class SqlitePlaceMarks(Opened):
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
