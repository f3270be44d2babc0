"""Remnants whose bytes may be those of others: on another storage, or of another community."""

from pilotage.central.catalogue import (
    record_registration as registration,
    record_remnants as remnant_records,
)
from pilotage.central.catalogue.remnants import HELD_S
from pilotage.central.store.engine import Store
from pilotage.proto.catalogue import RemnantState

from .conftest import NOW
from .test_remnants import LATER, a_file, all_of, an_owner, ordered, removed, swept


async def test_the_storages_that_have_copies_are_known(store: Store) -> None:
    ada = await an_owner(store)
    none = await store.read(remnant_records.storages_of_copies)
    await removed(store, a_file(ada, "one", "pic/ctao/1", "cscs/ctao/1"))
    await store.write(
        registration.register_files,
        "ctao",
        [a_file(ada, "two", "web/ctao/2", "pic/ctao/2")],
        at=NOW,
    )

    assert none == []
    assert await store.read(remnant_records.storages_of_copies) == ["cscs", "pic", "web"]


async def test_a_path_that_a_file_names_on_another_storage_is_held(store: Store) -> None:
    """Two storages may be one place, as a folder and the server that shows it."""
    ada = await an_owner(store)
    await removed(store, a_file(ada, "one", "pic/ctao/1", "cscs/ctao/1"))
    await removed(store, a_file(ada, "two", "pic/ctao/2"))
    await store.write(
        registration.register_files, "ctao", [a_file(ada, "live", "web/ctao/2")], at=NOW
    )
    (sweep,) = await ordered(store)
    rows = await all_of(store, LATER + HELD_S)

    assert {row.path for row in await swept(store, sweep)} == {"ctao/1"}
    assert [(row.path, row.why) for row in rows if row.why] == [
        ("ctao/2", "users:live uses this path"),
    ]
    assert await ordered(store, LATER + HELD_S - 1) == []
    names = await store.read(remnant_records.names_of_remnants, rows, LATER)
    assert [name for name in names.values() if name] == ["users:live"]


async def test_a_path_that_goes_is_named_on_no_storage(store: Store) -> None:
    ada = await an_owner(store)
    await removed(store, a_file(ada, "one", "pic/ctao/1"))
    (sweep,) = await ordered(store)
    there, going = await store.write(
        registration.register_files,
        "ctao",
        [a_file(ada, "a", "web/ctao/2"), a_file(ada, "b", "web/ctao/1")],
        at=LATER,
    )
    await swept(store, sweep)
    (gone,) = await store.write(
        registration.register_files, "ctao", [a_file(ada, "c", "web/ctao/1")], at=LATER
    )

    assert there.new
    assert going.clash is not None and going.clash.field == "replicas.path"
    assert gone.clash is not None


async def test_what_lies_outside_of_its_community_stays(store: Store) -> None:
    """It was named when nobody knew whose the storage is, or by one that had it for itself."""
    ada = await an_owner(store)
    for name, path in (("a", "pic/lhcb/raw"), ("b", "pic/ctao-b/x"), ("c", "pic/ctao/1")):
        await removed(store, a_file(ada, name, path))
    (sweep,) = await ordered(store)
    rows = await swept(store, sweep)
    left = await all_of(store, LATER + HELD_S)
    later = LATER + HELD_S
    more = await store.write(
        remnant_records.order_sweeps, "pic", later, at=later, limit=99, most=9, any_path=True
    )

    assert {row.path for row in rows} == {"ctao/1"}
    assert {row.state for row in left} == {RemnantState.WAITING}
    assert left[0].why == "it is outside ctao/, and pic does not set any_path"
    assert {row.path for row in await swept(store, more[0])} == {"lhcb/raw", "ctao-b/x"}
