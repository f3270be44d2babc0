"""Files of Rucio servers on both databases: taken over, followed, erased."""

import pytest

from pilotage.central.catalogue import (
    record_datasets as dataset_records,
    record_files as file_records,
    record_read as catalogue_read,
    record_registration as registration,
    record_remnants as remnant_records,
)
from pilotage.central.catalogue.record_types import ItemOutcome, NewDataset, NewFile, NewReplica
from pilotage.central.rucio import record_mirror
from pilotage.central.store.engine import Store
from pilotage.proto.catalogue import Did, FileState

MINE, OTHER = 1, 2
STORAGES = ("pic", "lst")


def a_file(name: str, *copies: str, owner: int = MINE, **more: object) -> NewFile:
    return NewFile(
        did=Did("raw", name),
        bytes=3,
        adler32="0000000a",
        owner_id=owner,
        replicas=tuple(NewReplica(storage=one, path=f"{one}/{name}") for one in copies),
        **more,  # type: ignore[arg-type]
    )


async def mirror(store: Store, *files: NewFile) -> list[ItemOutcome]:
    return await store.write(record_mirror.mirror_files, "ctao", files, STORAGES, at=1.0)


async def copies(store: Store, name: str) -> dict[str, str]:
    (row,) = await store.read(catalogue_read.files_by_did, "ctao", [Did("raw", name)])
    assert row is not None
    found = await store.read(catalogue_read.replicas_of, [row.file_id])
    return {one.storage: one.path for one in found.get(row.file_id, ())}


async def test_a_mirrored_file_follows_rucio_and_changes_nothing_if_nothing_changed(
    store: Store,
) -> None:
    first = await mirror(store, a_file("a", "pic", metadata={"run": 1}))
    again = await mirror(store, a_file("a", "pic", metadata={"run": 1}))
    moved = await mirror(store, a_file("a", "lst", metadata={"run": 2}))
    gone = await mirror(store, a_file("a", metadata={"run": 2}))

    (row,) = await store.read(catalogue_read.files_by_did, "ctao", [Did("raw", "a")])
    assert [one[0].new for one in (first, again)] == [True, False]
    assert [one[0].changed for one in (again, moved, gone)] == [False, True, True]
    assert row is not None and row.metadata == {"run": 2}
    assert (row.state, await copies(store, "a")) == (FileState.MISSING, {})


async def test_copies_on_other_storages_and_files_of_others_stay(store: Store) -> None:
    await mirror(store, a_file("a", "pic"))
    mine = a_file("a", "own")
    theirs = a_file("b", "lst", owner=OTHER, metadata={"run": 9})
    await store.write(registration.register_files, "ctao", [mine, theirs], at=1.0)

    outcomes = await mirror(store, a_file("a", "lst"), a_file("b", "pic", metadata={"run": 1}))

    assert [one.clash for one in outcomes] == [None, None]
    assert sorted(await copies(store, "a")) == ["lst", "own"]
    assert sorted(await copies(store, "b")) == ["lst", "pic"]
    (row,) = await store.read(catalogue_read.files_by_did, "ctao", [Did("raw", "b")])
    assert row is not None and row.metadata == {"run": 9}


async def test_other_bytes_change_nothing(store: Store) -> None:
    await mirror(store, a_file("a", "pic", metadata={"run": 1}))
    other = NewFile(did=Did("raw", "a"), bytes=4, adler32="0000000a", owner_id=MINE)

    (outcome,) = await mirror(store, other)

    assert outcome.clash is not None and outcome.clash.field == "bytes"
    assert await copies(store, "a") == {"pic": "pic/a"}


async def test_erased_files_leave_no_remnants_on_storages_of_rucio(store: Store) -> None:
    await mirror(store, a_file("a", "pic"), a_file("b", "pic"))
    theirs = a_file("c", "pic", owner=OTHER)
    await store.write(registration.register_files, "ctao", [a_file("a", "own"), theirs], at=1.0)
    dids = [Did("raw", name) for name in ("a", "c", "none")]

    erased = await store.write(
        record_mirror.erase_files, "ctao", dids, STORAGES, owner_id=MINE, at=2.0
    )
    left, more = await store.read(record_mirror.files_of_owner, "ctao", MINE, 0)

    (row,) = await store.read(catalogue_read.files_by_did, "ctao", [Did("raw", "a")])
    assert row is not None and row.state is FileState.REMOVED
    remnants = await store.read(remnant_records.remnants_of_files, [row.file_id])
    assert [one.storage for one in remnants] == ["own"]
    assert erased == [Did("raw", "a")]
    assert (left, more) == ([Did("raw", "b")], None)


async def test_files_of_an_owner_come_in_pages(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_mirror, "PAGE", 2)
    await mirror(store, *(a_file(name, "pic") for name in "abc"))
    await store.write(file_records.remove_files, "ctao", [Did("raw", "a")], at=1.0)

    first, after = await store.read(record_mirror.files_of_owner, "ctao", MINE, 0)
    assert after is not None
    second, end = await store.read(record_mirror.files_of_owner, "ctao", MINE, after)

    assert [one.name for one in (*first, *second)] == ["b", "c"]
    assert end is None


async def test_a_dataset_is_made_filled_closed_and_emptied(store: Store) -> None:
    night = Did("raw", "night")

    async def settle(*gone: Did, is_open: bool, owner: int = MINE) -> None:
        await store.write(
            record_mirror.settle_dataset,
            "ctao",
            night,
            gone,
            is_open=is_open,
            owner_id=owner,
            at=1.0,
        )

    async def is_open() -> bool:
        row = await store.read(dataset_records.dataset, "ctao", night)
        assert row is not None
        return row.is_open

    await settle(is_open=True)
    await mirror(store, a_file("a", "pic", datasets=(night,)))
    await settle(is_open=False)
    closed = await is_open()
    await settle(Did("raw", "a"), is_open=False)
    await settle(is_open=True, owner=OTHER)

    (row,) = await store.read(catalogue_read.files_by_did, "ctao", [Did("raw", "a")])
    assert row is not None
    assert await store.read(catalogue_read.datasets_of, [row.file_id]) == {}
    assert (closed, await is_open()) == (False, False)


async def test_a_dataset_of_another_owner_keeps_its_files(store: Store) -> None:
    night = Did("raw", "night")
    new = NewDataset(did=night, owner_id=OTHER)
    await store.write(dataset_records.make_dataset, "ctao", new, at=1.0)
    await mirror(store, a_file("a", "pic", datasets=(night,)))

    await store.write(
        record_mirror.settle_dataset,
        "ctao",
        night,
        [Did("raw", "a")],
        is_open=False,
        owner_id=MINE,
        at=1.0,
    )

    (row,) = await store.read(catalogue_read.files_by_did, "ctao", [Did("raw", "a")])
    assert row is not None
    assert await store.read(catalogue_read.datasets_of, [row.file_id]) == {row.file_id: [night]}
