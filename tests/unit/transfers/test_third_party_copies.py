"""Rules whose copies the storages make among themselves."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from pilotage.central.catalogue import record_read, record_remnants
from pilotage.central.catalogue.record_types import ReplicaRow
from pilotage.central.catalogue.storages import StorageBook, StorageEntry
from pilotage.central.transfers.own_work import OwnWork
from pilotage.central.transfers.rule_loop import CopyRuleLoop
from pilotage.central.transfers.third_party_copies import ThirdPartyCopies
from pilotage.proto.catalogue import Did, RuleState
from tests.fake_central import settle
from tests.fake_storage_server import (
    FakeStorageNetwork,
    FakeStorageServer,
    FakeStorageTokens,
    fake_remote,
)

from .test_carry import FILES, World, counts

RUN = Did("users", "run3.h5")


def content(number: int) -> bytes:
    """Return bytes with the size and the checksum that `World.begin` registers."""
    return bytes(number)


class CopyWorld(World):
    """Two storages that copy between them, and the loop of rules over them."""

    def __init__(self) -> None:
        self.pic, self.cscs = FakeStorageServer("pic.test"), FakeStorageServer("cscs.test")
        self.network = FakeStorageNetwork(self.pic, self.cscs)
        self.tokens = FakeStorageTokens()
        self.work = OwnWork()
        super().__init__()
        self.use(tpc=True)

    def use(self, *, tpc: bool) -> None:
        """Put both storages in force."""
        entries = {
            name: StorageEntry(
                type="davs", url=f"https://{name}.test/data", prefix="/data", tpc=tpc
            )
            for name in ("pic", "cscs")
        }
        self.storages.book = StorageBook(storages=entries)

    def new_carrier(self) -> CopyRuleLoop:
        copies = ThirdPartyCopies(
            store=self.store,
            storages=self.storages,
            remote=fake_remote(self.network, self.tokens),
            work=self.work,
            clock=self.clock,
            log=self._log,
        )
        return CopyRuleLoop(
            self.store,
            self.storages,
            self,
            self.bans,
            clock=self.clock,
            log=self._log,
            third_party=copies,
        )

    async def file(self) -> None:
        """Register files on pic, with a rule for two copies."""
        await self.begin()
        for number in range(FILES):
            self.pic.files[f"/data/p{number}"] = content(number)

    async def copies(self) -> list[ReplicaRow]:
        (row,) = await self.store.read(record_read.files_by_did, "ctao", [RUN])
        assert row is not None
        return (await self.store.read(record_read.replicas_of, [row.file_id]))[row.file_id]

    async def leftovers(self) -> list[str]:
        rows = await self.store.read(
            record_remnants.remnants, storage="cscs", before=1e15, after=0, limit=100
        )
        return [row.path for row in rows]

    async def settled(self, turns: int = 6) -> None:
        for _ in range(turns):
            await self.turn()
            await settle(40)


@asynccontextmanager
async def running(world: CopyWorld) -> AsyncGenerator[None]:
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(world.work.run())
        await settle()
        try:
            yield
        finally:
            loop.cancel()


@pytest.fixture(autouse=True)
def _registered_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """`World.begin` registers odd checksums: here the servers tell the same ones."""
    monkeypatch.setattr("zlib.adler32", lambda data, _=1: len(data))


async def test_storages_copy_without_a_job() -> None:
    world = CopyWorld()
    await world.file()
    async with running(world):
        await world.settled(12)
        row = await world.turn()

    assert row.state is RuleState.OK and counts(row) == (10, 0, 0, 0)
    assert world.jobs == {}, "no byte goes through a pilot"
    assert {copy.storage for copy in await world.copies()} == {"pic", "cscs"}
    assert len(world.network.asked("COPY")) == FILES
    folder = world.network.asked("COPY")[0].rpartition("/")[0]
    assert f"cscs|storage.create:{folder}" in world.network.tokens, "as narrow as its folder"


@pytest.mark.parametrize("pulls", [True, False])
async def test_the_source_sends_if_the_target_cannot_fetch(pulls: bool) -> None:
    world = CopyWorld()
    world.cscs.pulls = pulls
    await world.file()
    async with running(world):
        await world.settled(12)

    assert world.jobs == {} and len(world.cscs.files) == FILES


@pytest.mark.parametrize("fault", ["says", "cuts", "refused", "away", "no copy"])
async def test_after_a_failure_a_job_makes_the_copy(fault: str) -> None:
    world = CopyWorld()
    await world.file()
    if fault == "says":
        world.cscs.says = world.pic.says = "failure: timed out"
    elif fault == "cuts":
        world.cscs.cuts = world.pic.cuts = True
    elif fault == "refused":
        world.tokens.refuses = True
    elif fault == "away":
        world.cscs.is_away = True
    else:
        world.cscs.pulls = world.pic.pushes = False
    async with running(world):
        await world.settled(3)

    empty = fault == "cuts"  # half of an empty file is whole
    assert len(world.jobs) == FILES - empty
    left = await world.leftovers()
    assert left and all(len(path.split("/")) == 4 and "/t" in path for path in left)
    assert [copy.storage for copy in await world.copies()] == ["pic"]
    assert "transfer_failed" in world.said


async def test_a_dead_leader_s_copy_counts_if_it_is_whole() -> None:
    world = CopyWorld()
    world.cscs.slow = asyncio.Event()
    await world.file()
    async with running(world):
        await world.settled(1)
    path = world.network.asked("COPY")[0]
    world.cscs.slow = None
    number = int(path.rpartition("run")[2].partition(".")[0])
    world.cscs.files[path] = content(number)
    world.work = OwnWork()
    world.carrier = world.new_carrier()
    before = len(world.network.asked("COPY"))
    async with running(world):
        await world.settled(1)

    assert path not in world.network.asked("COPY")[before:], "it was not copied again"
    assert await world.leftovers() == []


async def test_storages_without_tpc_get_jobs() -> None:
    world = CopyWorld()
    world.use(tpc=False)
    await world.file()
    async with running(world):
        await world.settled(1)

    assert len(world.jobs) == FILES and world.network.requests == []
