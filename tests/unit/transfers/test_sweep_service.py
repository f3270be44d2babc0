"""Why remnants stay, as people are told: by their storage, their time, and what lies there."""

from collections.abc import Sequence
from typing import Any

import pytest

from pilotage.central.catalogue import (
    record_files as file_records,
    record_registration as registration,
    record_remnants as remnant_records,
)
from pilotage.central.catalogue.record_types import NewFile, NewReplica
from pilotage.central.catalogue.remnants import RemnantRow
from pilotage.central.catalogue.storages import StorageBook, StorageEntry, Storages
from pilotage.central.identity.callers import User
from pilotage.central.transfers.sweep_service import SweepService
from pilotage.proto.catalogue import Did
from pilotage.proto.claims import Role
from tests.fake_central import FakeClock
from tests.memory_store import MemoryStore, way

AFTER_S = 1_000.0
ADA = User(
    issuer="here",
    subject="ada",
    name="",
    community="ctao",
    groups=("users",),
    role=Role.USER,
    expires_at=1e12,
    jti="",
)


def a_file(name: str, *places: tuple[str, str]) -> NewFile:
    copies = tuple(NewReplica(storage=storage, path=path) for storage, path in places)
    return NewFile(did=Did("users", name), bytes=1, adler32="00000001", replicas=copies)


class Store(MemoryStore):
    """A store that looks at so many paths at a time."""

    looks = 9

    @way(remnant_records.names_of_remnants)
    async def names_of_remnants(self, plain: Any, rows: Sequence[RemnantRow], before: float) -> Any:
        return await plain(rows[: self.looks], before)


class World:
    """A storage that is swept and one that is not; on the first a path that two files name."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Store(clock_wall=self.clock.wall)
        storages = Storages()
        storages.book = StorageBook(
            storages={
                "disk": StorageEntry(type="file", url="file:///disk", deletes=True),
                "kept": StorageEntry(type="file", url="file:///kept"),
            }
        )
        self.kept = ""  # why copies of files stay
        self.service = SweepService(
            self.store, storages, self.clock, after_s=AFTER_S, keeps=lambda storage: self.kept
        )

    async def begin(self) -> None:
        files = [
            a_file("s1", ("disk", "ctao/1")),
            a_file("s2", ("disk", "ctao/2"), ("kept", "ctao/2")),
            a_file("s3", ("disk", "lhcb/3")),
            a_file("live", ("disk", "ctao/2")),
        ]
        await self.store.write(registration.register_files, "ctao", files, at=self.clock.wall())
        gone = [Did("users", name) for name in ("s1", "s2", "s3")]
        await self.store.write(file_records.remove_files, "ctao", gone, at=self.clock.wall())

    async def whys(self, *, all: bool = True) -> dict[tuple[str, str], str]:
        page = await self.service.remnants(ADA, storage="", all=all, after=0, limit=9)
        return {(one.storage, one.did): one.why for one in page.remnants}


OUTSIDE = "it is outside ctao/, and disk does not set any_path"
NOT_SWEPT = "its file does not set deletes: true"


async def test_a_remnant_is_never_held_by_itself_and_says_until_when_it_waits() -> None:
    world = World()
    await world.begin()
    early = await world.whys()
    world.clock.move(AFTER_S + 1)

    assert early[("disk", "users:s1")].startswith("it waits until 20")
    assert early[("disk", "users:s3")] == OUTSIDE
    assert early[("kept", "users:s2")] == NOT_SWEPT
    assert await world.whys() == {
        ("disk", "users:s1"): "",  # its turn comes
        ("disk", "users:s2"): "users:live uses this path",
        ("kept", "users:s2"): NOT_SWEPT,
        ("disk", "users:s3"): OUTSIDE,
    }
    assert await world.whys(all=False) == {("disk", "users:s1"): ""}


async def test_copies_of_files_stay_where_rucio_deletes_its_files() -> None:
    world = World()
    await world.begin()
    world.clock.move(AFTER_S + 1)
    world.kept = "Rucio main deletes its files on disk"

    assert (await world.whys())["disk", "users:s1"] == world.kept
    assert await world.whys(all=False) == {}


@pytest.mark.parametrize("all", [True, False])
async def test_a_page_ends_where_enough_paths_were_looked_at(all: bool) -> None:
    world = World()
    await world.begin()
    world.clock.move(AFTER_S + 1)
    whole = await world.service.remnants(ADA, storage="", all=all, after=0, limit=9)
    world.store.looks = 1
    found: list[int] = []
    pages, after = 0, 0
    while True:
        page = await world.service.remnants(ADA, storage="", all=all, after=after, limit=9)
        found += [one.id for one in page.remnants]
        pages += 1
        if page.after is None:
            break
        assert page.after > after
        after = page.after

    assert whole.after is None
    assert found == [one.id for one in whole.remnants]
    assert pages > 1
