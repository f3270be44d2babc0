"""The outbox reaches Rucio whole and once, whatever happens between two steps."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
import pytest

from pilotage.central.catalogue import record_registration as registration
from pilotage.central.catalogue.record_types import NewFile, NewReplica
from pilotage.central.catalogue.storages import (
    StorageBook,
    StorageCredential,
    StorageEntry,
    Storages,
)
from pilotage.central.errors import Refused
from pilotage.central.identity.callers import User
from pilotage.central.rucio import outbox_record
from pilotage.central.rucio.drivers import RucioDrivers
from pilotage.central.rucio.files import RucioBook, RucioEntry, RucioFiles, RucioOutputs, RucioRule
from pilotage.central.rucio.http import RucioAway
from pilotage.central.rucio.mirror import RucioMirrors
from pilotage.central.rucio.outbox_record import EntryRow, EntryState, Outgoing
from pilotage.central.rucio.publisher import BATCH, OutboxPublisher
from pilotage.central.rucio.service import RucioService
from pilotage.proto.catalogue import Did, Value
from pilotage.proto.claims import Role
from tests.fake_central import FakeClock
from tests.fake_rucio import FAILS, FakeRucio
from tests.memory_store import MemoryStore

SERVER = RucioEntry(
    url="https://rucio.org",
    account="pilotage",
    community="ctao",
    credential=StorageCredential(source="file"),
    storages={"PIC-DISK": "pic"},
    strip="/",
    outputs=RucioOutputs(scopes=("sim",), rules=(RucioRule(rse_expression="tape"),)),
)
PROTOCOL = {"scheme": "https", "hostname": "se.org", "port": 443, "prefix": "/ctao/"}
AWAY_S = 6 * 3_600.0


class Killed(BaseException):
    """The central died before a request, or after it and before its answer."""


class World:
    """A store whose outbox a publisher sends to a fake server."""

    def __init__(self) -> None:
        self.store, self.clock = MemoryStore(), FakeClock()
        self.rucio = FakeRucio(self.clock.wall, "PIC-DISK")
        self.rucio.protocols["PIC-DISK"] = [PROTOCOL]
        self.storages = Storages()
        entry = StorageEntry(type="davs", url="https://se.org/ctao")
        self.storages.book = StorageBook(storages={"pic": entry})
        self.files = RucioFiles()
        self.ended: dict[int, str] = {}
        self.log: list[str] = []
        self.set(SERVER)
        self.publisher = self.begun()

    def set(self, entry: RucioEntry) -> None:
        """Change the file of the server."""
        self.files.book = RucioBook({"rucio": entry})

    def begun(self) -> OutboxPublisher:
        """Return the publisher of a central that has just started."""
        return OutboxPublisher(
            RucioDrivers(self.files, lambda name, entry: self.rucio),
            store=self.store,
            storages=self.storages,
            end_jobs=self._end_jobs,
            clock=self.clock,
            log=lambda event, **fields: self.log.append(event),
        )

    async def _end_jobs(self, settled: Mapping[int, str]) -> None:
        self.ended |= settled
        await self.store.write(outbox_record.release_jobs, list(settled))

    async def put(
        self,
        count: int,
        *,
        confirm: bool = False,
        job: int = 1,
        server: str = "rucio",
        scope: str = "sim",
        more: Mapping[str, Value] | None = None,
    ) -> None:
        for first in range(0, count, 500):
            names = [f"{job}/{i}" for i in range(first, min(count, first + 500))]
            files = [a_file(name, scope, more or {}) for name in names]
            done = await self.store.write(
                registration.register_files, "ctao", files, at=0.0, make_datasets=True
            )
            outgoing = [
                Outgoing(
                    file=i, rucio=server, storage="pic", datasets=("sim:set",), confirm=confirm
                )
                for i in range(len(files))
            ]
            ids = [one.file_id for one in done]
            await self.store.write(
                outbox_record.put_outgoing, "ctao", job, outgoing, ids, at=self.clock.wall()
            )

    async def entries(self, state: EntryState = EntryState.WAITING) -> list[EntryRow]:
        return await self.store.read(outbox_record.entries, "ctao", state, after=0, limit=100_000)

    async def turns(self, count: int, every_s: float = 1.0) -> None:
        for _ in range(count):
            async with asyncio.TaskGroup() as tasks:
                self.publisher.send(tasks)
            await self.publisher.settle()
            self.clock.move(every_s)

    def in_dataset(self) -> list[tuple[str, str]]:
        return self.rucio.datasets["sim", "/set"].names


def a_user(community: str) -> User:
    return User(
        issuer="here",
        subject="maria",
        name="maria",
        community=community,
        groups=(),
        role=Role.USER,
        expires_at=1e12,
        jti="1",
    )


def a_file(name: str, scope: str, more: Mapping[str, Value]) -> NewFile:
    return NewFile(
        did=Did(scope, name),
        bytes=7,
        adler32="00000001",
        metadata={"run": 20, "good": True, **more},
        replicas=(NewReplica(storage="pic", path=f"ctao/{name}"),),
        datasets=(Did("sim", "set"),),
    )


class Killer:
    """Kills the central around one of the next requests."""

    def __init__(self, chance: random.Random) -> None:
        self._left, self._is_over = chance.randint(1, 9), chance.random() < 0.5

    def __call__(self, is_over: bool) -> None:
        self._left -= is_over is self._is_over
        if self._left == 0:
            raise Killed


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.long)])
async def test_each_file_is_in_rucio_once_after_an_outage_and_a_hundred_deaths(count: int) -> None:
    world, chance = World(), random.Random(23)
    world.rucio.is_away = True
    await world.put(count)
    until = world.clock.monotonic() + AWAY_S
    while world.clock.monotonic() < until:
        await world.turns(1, every_s=30.0)
    asked = len(world.rucio.asked)
    world.rucio.is_away = False
    died = 0
    while await world.entries() or died < 100:
        if not await world.entries():
            await world.put(10, job=count)
            count += 10
        world.rucio.around = Killer(chance) if died < 100 else lambda is_over: None
        try:
            await world.turns(1, every_s=300.0)
        except BaseExceptionGroup as why:
            assert why.subgroup(Killed)
            died += 1
            world.publisher = world.begun()

    assert asked < AWAY_S / 200  # it backs off to minutes
    assert len(world.rucio.files) == world.rucio.added == count
    assert sorted(world.in_dataset()) == sorted(world.rucio.files)
    assert world.rucio.rules == [(("sim", "/set"), "tape")]
    assert await world.entries(EntryState.CLASH) == []
    one = world.rucio.file("sim:/1/0")
    assert (one.bytes, one.adler32, one.meta) == (7, "00000001", {"run": 20, "good": "true"})
    assert one.copies == {"PIC-DISK": "https://se.org:443/ctao/ctao/1/0"}


async def test_other_bytes_under_a_known_name_are_a_clash_that_stays() -> None:
    world = World()
    await world.turns(1)  # the first one removes clashes of jobs that are gone: here, of all
    world.rucio.add("sim:/1/3", rse="LST-DISK", size=8)
    await world.put(5, confirm=True)
    await world.turns(3)
    (clash,) = await world.entries(EntryState.CLASH)

    assert "Rucio has another sim:/1/3: its bytes is 8, not 7" in clash.why
    assert list(world.rucio.file("sim:/1/3").copies) == ["LST-DISK"]
    assert world.ended == {1: clash.why}
    assert (await world.entries(), clash.tries) == ([], 1)


async def test_another_path_on_the_rse_is_a_clash() -> None:
    world = World()
    await world.turns(1)
    world.rucio.add("sim:/1/0", rse="PIC-DISK", size=7, adler32="00000001")
    await world.put(1)
    await world.turns(1)
    (clash,) = await world.entries(EntryState.CLASH)

    assert clash.why.startswith("Rucio has another copy of sim:/1/0 on PIC-DISK: davs://")


async def test_a_copy_that_rucio_loses_at_once_is_sent_again() -> None:
    world = World()

    def lose(is_over: bool) -> None:
        if world.rucio.asked[-1] == "/replicas" and is_over:
            world.rucio.file("sim:/1/0").copies.clear()

    world.rucio.around = lose
    await world.put(1)
    await world.turns(1)
    (left,) = await world.entries()
    world.rucio.around = lambda is_over: None
    await world.turns(30)

    assert left.why == "Rucio shows no copy of sim:/1/0 on PIC-DISK"
    assert await world.entries() == []


async def test_a_job_ends_when_all_of_its_files_are_there() -> None:
    world = World()
    await world.put(BATCH + 1, confirm=True)
    world.rucio.refused = {f"/1/{BATCH}": "InvalidObject"}
    await world.turns(1)
    before, left = dict(world.ended), len(await world.entries())
    world.rucio.refused.clear()
    await world.turns(30)

    assert (before, left, world.ended) == ({}, 1, {1: ""})
    assert await world.entries(EntryState.CONFIRMED) == []


async def test_full_batches_follow_each_other_without_a_pause() -> None:
    world = World()
    await world.put(2 * BATCH + 1)
    await world.turns(1)

    assert await world.entries() == []
    assert world.rucio.asked.count("/replicas") == 3


@pytest.mark.parametrize(
    ("kind", "why"),
    [("InvalidObject", "InvalidObject: /1/3 is refused"), (FAILS, "Failed: status 500")],
)
async def test_a_poisoned_file_does_not_hold_the_others(kind: str, why: str) -> None:
    world = World()
    world.rucio.refused = {"/1/3": kind}
    await world.put(20)
    await world.turns(1)
    (left,) = await world.entries()
    world.rucio.refused = {}
    await world.turns(30)

    assert (left.tries, left.why) == (1, why)
    assert await world.entries() == []
    assert world.rucio.added == 20


async def test_a_denied_account_waits_after_one_request() -> None:
    world = World()
    world.rucio.refused = {"/1/3": "AccessDenied"}
    await world.put(20)
    await world.turns(1)

    assert world.rucio.asked.count("/replicas") == 1
    assert {row.why for row in await world.entries()} == {"AccessDenied: /1/3 is refused"}
    assert world.publisher.trouble("rucio").endswith("batch: AccessDenied: /1/3 is refused")


class Slow(FakeRucio):
    """A server behind a gateway that gives up on many files."""

    async def post(self, path: str, body: Any) -> None:
        if path == "/replicas" and len(body["files"]) > 40:
            raise RucioAway("status 504")
        await super().post(path, body)


async def test_a_server_that_is_too_slow_for_a_batch_gets_smaller_ones() -> None:
    world = World()
    slow = Slow(world.clock.wall, "PIC-DISK")
    slow.protocols, world.rucio = world.rucio.protocols, slow
    await world.put(BATCH)
    await world.turns(40, every_s=60.0)

    assert await world.entries() == []
    assert world.rucio.added == BATCH


async def test_a_scope_without_a_right_does_not_hold_the_others() -> None:
    world = World()
    world.rucio.refused = {"dl2": "AccessDenied"}
    await world.put(20)
    await world.put(20, job=2, scope="dl2")
    await world.turns(1)

    assert [row.job_id for row in await world.entries()] == [2] * 20
    assert world.rucio.asked.count("/replicas") == 3


@pytest.mark.parametrize("key", ["lifetime", "adler32", "a.b"])
async def test_metadata_that_rucio_acts_on_are_a_clash(key: str) -> None:
    world = World()
    await world.turns(1)
    await world.put(20)
    await world.put(1, job=2, confirm=True, more={key: 1})
    await world.turns(2)

    why = f"metadata.{key}: found {key!r}, expected a key without '.' that Rucio does not use"
    assert world.ended == {2: f"{why} itself"}
    assert await world.entries() == []
    assert len(world.rucio.files) == 20


async def test_a_number_that_rucio_writes_with_all_its_digits_is_the_same() -> None:
    world = World()

    def written_out(is_over: bool) -> None:
        for one in world.rucio.files.values():
            one.meta["energy"] = 10**17

    world.rucio.around = written_out
    await world.put(1, more={"energy": 1e17})
    await world.turns(1)

    assert await world.entries() == []


class Garbage(FakeRucio):
    """A server whose answers about files have another form."""

    path, rows = "", cast(list[object], [])

    async def lines(
        self, path: str, body: object = None, *, query: Mapping[str, str] | None = None
    ) -> Sequence[object]:
        return self.rows if path == self.path else await super().lines(path, body, query=query)


NAMED = {"scope": "sim", "name": "/1/0"}
GARBAGE: list[tuple[str, object]] = [
    ("/dids/bulkmeta", 5),
    ("/dids/bulkmeta", None),
    ("/replicas/list", ["a"]),
    ("/replicas/list", {**NAMED, "rses": "here"}),
    ("/replicas/list", {**NAMED, "states": 5}),
    ("/replicas/list", {**NAMED, "states": {"PIC-DISK": "A"}, "rses": {"PIC-DISK": 5}}),
]


@pytest.mark.parametrize(("path", "row"), GARBAGE)
async def test_a_server_that_answers_rubbish_counts_as_away(path: str, row: object) -> None:
    world = World()
    rubbish = Garbage(world.clock.wall, "PIC-DISK")
    rubbish.protocols = world.rucio.protocols
    rubbish.path, rubbish.rows = path, [row]
    world.rucio = rubbish
    await world.put(1)
    await world.turns(1)
    (left,) = await world.entries()
    rubbish.path = ""
    await world.turns(30)

    assert left.why.startswith("its answer has another form than that of Rucio 41")
    assert await world.entries() == []


@pytest.mark.parametrize("fault", ["rule", "closed"])
async def test_files_of_a_refused_dataset_wait_with_its_reason(fault: str) -> None:
    world = World()
    dataset = world.rucio.dataset("sim:/set")
    if fault == "rule":
        world.rucio.refused = {"tape": "InsufficientAccountLimit"}
    else:
        dataset.open = False
    await world.put(20, confirm=True)
    await world.turns(1)
    held, ended = await world.entries(), dict(world.ended)
    asked = len(world.rucio.asked)
    world.rucio.refused, dataset.open = {}, True
    await world.turns(30)

    words = {"rule": "InsufficientAccountLimit: tape", "closed": "UnsupportedOperation: /set"}
    assert len(held) == 20
    assert all(row.why.startswith(f"dataset sim:/set: {words[fault]} is") for row in held)
    assert asked < 12  # the batch is not sent by halves
    assert (ended, world.ended) == ({}, {1: ""})
    assert sorted(world.in_dataset()) == sorted(world.rucio.files)
    assert world.rucio.rules == [(("sim", "/set"), "tape")]


#     fault           reason
WAITS = """
      no rse          rucio/rucio.yaml: storages names no RSE for the storage pic
      unknown rse     RSENotFound: PIC-DISK
      deterministic   RSE PIC-DISK is deterministic, so it holds no paths of ours: make it another
      no protocol     RSE PIC-DISK has no protocol for https://se.org/ctao/ctao/1/0
      no storage      no storage file defines pic
"""


@pytest.mark.parametrize("line", WAITS.strip().splitlines())
async def test_a_file_without_a_place_in_rucio_waits_for_the_operator(line: str) -> None:
    fault, why = map(str.strip, line.strip().split("  ", 1))
    world = World()
    book = world.storages.book
    if fault == "no rse":
        world.set(msgspec.structs.replace(SERVER, storages={}))
    elif fault == "unknown rse":
        world.rucio.readable = {}
    elif fault == "deterministic":
        world.rucio.is_deterministic = True
    elif fault == "no protocol":
        world.rucio.protocols["PIC-DISK"] = [{**PROTOCOL, "prefix": "/other/"}]
    else:
        world.storages.book = StorageBook()
    await world.put(1)
    await world.turns(1)
    (left,) = await world.entries()
    world.storages.book = book
    world.rucio.readable, world.rucio.is_deterministic = {"PIC-DISK": True}, False
    world.rucio.protocols["PIC-DISK"] = [PROTOCOL]
    world.set(SERVER)
    await world.turns(30)

    assert left.why == why
    assert await world.entries() == []


async def test_a_hanging_server_delays_no_other() -> None:
    world, hangs = World(), asyncio.Event()
    world.files.book = RucioBook({"rucio": SERVER, "slow": SERVER})

    class Hanging(FakeRucio):
        async def get(self, path: str) -> object:
            await hangs.wait()
            return {}

    slow = Hanging(world.clock.wall)
    drivers = RucioDrivers(world.files, lambda name, _: slow if name == "slow" else world.rucio)
    world.publisher._drivers = drivers  # pyright: ignore[reportPrivateUsage]
    await world.put(1, server="slow", job=2)
    await world.put(1, confirm=True)
    async with asyncio.TaskGroup() as tasks:
        publishing = tasks.create_task(world.publisher.run())
        for _ in range(5):
            await world.clock.advance(1.0)
        publishing.cancel()

    assert world.ended == {1: ""}
    assert [row.rucio for row in await world.entries()] == ["slow"]


async def test_the_outbox_is_shown_by_community_with_reasons() -> None:
    world = World()
    world.rucio.refused = {"/1/0": "InvalidObject"}
    await world.put(1)
    await world.turns(1)
    await world.put(1, job=2, confirm=True)
    await world.put(1, job=3, server="gone")
    drivers = RucioDrivers(world.files, lambda name, entry: world.rucio)
    mirrors = cast(RucioMirrors, None)
    service = RucioService(drivers, mirrors, world.publisher, world.store)
    first = await service.outbox(a_user("ctao"), state=EntryState.WAITING, after=0, limit=2)
    rest = await service.outbox(
        a_user("ctao"), state=EntryState.WAITING, after=first.after or 0, limit=2
    )
    awaited = [await service.awaited_of_job(job) for job in (1, 2)]
    others = await service.outbox(a_user("lhcb"), state=EntryState.WAITING, after=0, limit=9)
    with pytest.raises(Refused, match="names no community"):
        await service.outbox(a_user(""), state=EntryState.WAITING, after=0, limit=9)

    refused = "InvalidObject: /1/0 is refused"
    assert [(one.did, one.job, one.tries, one.why) for one in first.entries + rest.entries] == [
        ("sim:1/0", 1, 1, refused),
        ("sim:2/0", 2, 0, f"it refused all files of the last batch: {refused}"),
        ("sim:3/0", 3, 0, "no file rucio/gone.yaml defines this server"),
    ]
    assert rest.after is None and others.entries == []
    assert awaited[0] == [], "this job does not wait"
    assert awaited[1] == [f"waits until Rucio rucio has 1 output: sim:2/0: {first.entries[1].why}"]
    assert [one.next_at is None for one in first.entries] == [False, True]
