"""Sweeps that the central does itself, because no attempt may remove files of others."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from pilotage.central.catalogue import record_remnants as remnant_records
from pilotage.central.catalogue.remnants import RemnantPlace
from pilotage.central.catalogue.storages import StorageBook, StorageEntry
from pilotage.central.transfers.central_sweeps import AWAY_MAX, CentralSweeps
from pilotage.central.transfers.own_work import OwnWork
from pilotage.central.transfers.sweep_loop import Sweeper
from pilotage.proto.catalogue import RemnantState
from tests.fake_central import settle
from tests.fake_storage_server import FakeStorageNetwork, FakeStorageServer, fake_remote

from .test_sweeper import AFTER_S, World


class SweepWorld(World):
    """A storage with tokens, and the sweeper."""

    def __init__(self) -> None:
        self.server = FakeStorageServer("pic.test")
        self.network = FakeStorageNetwork(self.server)
        self.work = OwnWork()
        super().__init__()
        entry = StorageEntry(type="davs", url="https://pic.test/data", prefix="/data", deletes=True)
        cscs = self.storages.book.storages["cscs"]
        self.storages.book = StorageBook(storages={"pic": entry, "cscs": cscs})

    def new_sweeper(self) -> Sweeper:
        here = CentralSweeps(
            store=self.store,
            remote=fake_remote(self.network),
            work=self.work,
            clock=self.clock,
            log=self._log,
            after_s=AFTER_S,
        )
        return Sweeper(
            self.store,
            self.storages,
            self,
            clock=self.clock,
            log=self._log,
            is_trusted=lambda: self.trusted,
            after_s=AFTER_S,
            keeps=lambda storage: self.kept,
            here=here,
        )

    async def swept(self) -> dict[str, RemnantState]:
        await self.turn(after_s=AFTER_S)
        await settle(60)
        return await self.states()

    def restart(self) -> None:
        """Begin as a new leader."""
        self.work = OwnWork()
        self.sweeper = self.new_sweeper()


@asynccontextmanager
async def running(world: SweepWorld) -> AsyncGenerator[None]:
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(world.work.run())
        await settle()
        try:
            yield
        finally:
            loop.cancel()


async def test_the_central_removes_files_with_a_token_for_each() -> None:
    world = SweepWorld()
    world.server.files = {"/data/ctao/one": b"1234567", "/data/ctao/other": b"x"}
    await world.removed("one", "two")
    async with running(world):
        states = await world.swept()

    assert states == {} and list(world.server.files) == ["/data/ctao/other"]
    assert world.jobs == {}, "no job sweeps this storage"
    scopes = "storage.modify:/data/ctao/one storage.read:/data/ctao/one"
    assert f"pic|{scopes}" in world.network.tokens
    assert await world.store.read(remnant_records.open_sweeps) == []


async def test_the_folder_of_an_attempt_goes_with_its_contents() -> None:
    world = SweepWorld()
    world.server.files = {
        "/data/ctao/g/7/1/a": b"1",
        "/data/ctao/g/7/1/b/c": b"2",
        "/data/ctao/g/7/10/a": b"3",
    }
    await world.removed("another")  # which stores the owner
    await world.store.write(
        remnant_records.add_folder,
        RemnantPlace(storage="pic", path="ctao/g/7/1", community="ctao", owner_id=1, group="users"),
        at=world.clock.wall(),
    )
    async with running(world):
        await world.swept()

    assert list(world.server.files) == ["/data/ctao/g/7/10/a"]


async def test_where_rucio_deletes_its_files_only_remains_of_tries_go() -> None:
    world = SweepWorld()
    world.kept = "Rucio main deletes its files on pic"
    files = ("/data/ctao/one", "/data/ctao/g/7/1/a", "/data/ctao/g/7/2/~2/a")
    world.server.files = dict.fromkeys(files, b"1234567")
    await world.removed("one")  # which stores the owner
    folder, upload = (
        RemnantPlace(storage="pic", path=path, community="ctao", owner_id=1, group="users")
        for path in ("ctao/g/7/1", "ctao/g/7/2/~2/a")
    )
    await world.store.write(remnant_records.add_folder, folder, at=world.clock.wall())
    await world.store.write(remnant_records.add_leftovers, [upload], at=world.clock.wall())
    async with running(world):
        await world.swept()

    assert list(world.server.files) == ["/data/ctao/one"]


async def test_another_file_at_the_path_stays() -> None:
    world = SweepWorld()
    world.server.files = {"/data/ctao/one": b"longer than the file was"}
    await world.removed("one")
    async with running(world):
        states = await world.swept()

    assert list(states) == ["ctao/one"] and world.server.files
    (_, fields) = next(one for one in world.said if one[0] == "sweep_failed")
    assert "it is another file" in fields["why"]


async def test_a_storage_that_is_away_is_asked_a_few_times_only() -> None:
    world = SweepWorld()
    world.server.is_away = True
    await world.removed(*(f"file{number}" for number in range(10)))
    async with running(world):
        await world.swept()

    assert len(world.network.requests) == AWAY_MAX
    assert len(await world.states()) == 10, "nothing is lost"


async def test_a_new_leader_does_the_sweep_of_a_dead_one_again() -> None:
    world = SweepWorld()
    world.server.files = {"/data/ctao/one": b"1234567"}
    await world.removed("one")
    await world.turn(after_s=AFTER_S)  # the work does not run
    assert await world.states() == {"ctao/one": RemnantState.SWEEPING}
    world.restart()
    async with running(world):
        await world.turn(after_s=1.0)
        await settle(60)

    assert world.server.files == {} and await world.states() == {}


@pytest.mark.parametrize("kind", ["file", "http"])
async def test_jobs_sweep_storages_without_tokens(kind: str) -> None:
    world = SweepWorld()
    url = "file:///pic" if kind == "file" else "http://pic.test/data"
    entry = StorageEntry(type=kind, url=url, deletes=True)
    world.storages.book = StorageBook(storages={"pic": entry})
    await world.removed("one")
    async with running(world):
        await world.swept()

    assert world.network.requests == []
