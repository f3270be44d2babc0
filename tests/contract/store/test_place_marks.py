"""Marks of places: one a place, and kept."""

from pilotage.central.sites import record as mark_records
from pilotage.central.sites.record import HELD_MAX, MarkKind, PlaceMark, SuspendedPlace
from pilotage.central.store.engine import Store

from .conftest import Reopen


def a_mark(place: str, mark: MarkKind = MarkKind.BANNED) -> PlaceMark:
    return PlaceMark(place=place, mark=mark, who="ada", reason="broken disks", at=1_000.5)


async def test_the_last_mark_of_a_place_is_kept(store: Store, reopen: Reopen) -> None:
    await store.write(mark_records.put_mark, a_mark("PIC/slurm"))
    await store.write(mark_records.put_mark, a_mark("CSCS"))
    await store.write(mark_records.put_mark, a_mark("PIC/slurm", MarkKind.DRAINING))
    store = await reopen(store)

    assert await store.read(mark_records.marks) == [
        a_mark("CSCS"),
        a_mark("PIC/slurm", MarkKind.DRAINING),
    ]


async def test_a_mark_is_dropped_once(store: Store, reopen: Reopen) -> None:
    await store.write(mark_records.put_mark, a_mark("PIC"))

    first, again = (
        await store.write(mark_records.drop_marks, ["PIC", "CSCS"]),
        await store.write(mark_records.drop_marks, ["PIC"]),
    )
    store = await reopen(store)

    assert (first, again) == (1, 0)
    assert await store.read(mark_records.marks) == []


def held(name: str, since: float) -> SuspendedPlace:
    return SuspendedPlace(
        kind="host",
        site="PIC",
        name=name,
        since=since,
        until=since + 600.5,
        pause_s=600.0,
        why="exit code 127",
        failed=[(7, "ada", since)],
        tried=["ada"],
    )


async def test_what_is_held_is_kept_whole_in_place_of_what_was(
    store: Store, reopen: Reopen
) -> None:
    await store.write(mark_records.keep_held, [held("wn1", 1.0), held("wn2", 2.0)])
    await store.write(mark_records.keep_held, [held("wn3", 3.0), held("wn2", 2.0)])
    store = await reopen(store)
    kept = await store.read(mark_records.held)
    await store.write(mark_records.keep_held, [])

    assert kept == [held("wn3", 3.0), held("wn2", 2.0)]
    assert await store.read(mark_records.held) == []


async def test_of_what_is_held_no_more_than_the_last_are_kept(store: Store) -> None:
    await store.write(
        mark_records.keep_held, [held(f"wn{at}", float(at)) for at in range(HELD_MAX + 3)]
    )
    kept = await store.read(mark_records.held)

    assert len(kept) == HELD_MAX
    assert (kept[0].name, kept[-1].name) == ("wn3", f"wn{HELD_MAX + 2}")
