"""Marks of places: one a place, and kept."""

from pilotage.central.store.place_marks import Mark, PlaceMark
from pilotage.central.store.protocol import Store

from .conftest import Reopen


def a_mark(place: str, mark: Mark = Mark.BANNED) -> PlaceMark:
    return PlaceMark(place=place, mark=mark, who="ada", reason="broken disks", at=1_000.5)


async def test_the_last_mark_of_a_place_is_kept(store: Store, reopen: Reopen) -> None:
    await store.put_mark(a_mark("PIC/slurm"))
    await store.put_mark(a_mark("CSCS"))
    await store.put_mark(a_mark("PIC/slurm", Mark.DRAINING))
    store = await reopen(store)

    assert await store.marks() == [a_mark("CSCS"), a_mark("PIC/slurm", Mark.DRAINING)]


async def test_a_mark_is_dropped_once(store: Store, reopen: Reopen) -> None:
    await store.put_mark(a_mark("PIC"))

    first, again = await store.drop_mark("PIC"), await store.drop_mark("PIC")
    store = await reopen(store)

    assert (first, again) == (True, False)
    assert await store.marks() == []
