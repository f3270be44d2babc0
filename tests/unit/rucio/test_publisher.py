"""The outbox reaches Rucio whole and once, whatever happens between two steps."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pilotage.central.catalogue import record_registration as registration
from pilotage.central.catalogue.record_types import NewFile, NewReplica
from pilotage.central.catalogue.storages import StorageBook, StorageEntry, Storages
from pilotage.central.rucio import outbox_record
from pilotage.central.rucio.outbox_ports import OutputPlan, OutputRule, RucioAway, RucioRefused
from pilotage.central.rucio.outbox_record import EntryRow, EntryState, Outgoing
from pilotage.central.rucio.publisher import BATCH, OutboxPublisher
from pilotage.proto.catalogue import Did
from tests.fake_central import FakeClock
from tests.memory_store import MemoryStore

PLAN = OutputPlan(
    community="ctao",
    account="pilotage",
    storages={"PIC-DISK": "pic"},
    scopes=frozenset({"sim"}),
    rules=(OutputRule(rse_expression="tape"),),
)
AWAY_S = 6 * 3_600.0
Name = tuple[str, str]


class Killed(BaseException):
    """The central died before a request, or after it and before its answer."""


class FakeRucio:
    """A server that behaves as 41.5 does; it may be away, and its client may be killed."""

    def __init__(self) -> None:
        self.files: dict[Name, dict[str, Any]] = {}
        self.copies: dict[tuple[Name, str], str] = {}
        self.added = 0  # copies that it has ever stored
        self.datasets: dict[Name, set[Name]] = {}
        self.rules: list[tuple[Name, str]] = []
        self.is_away = False
        self.poison: set[str] = set()
        self.requests = 0
        self.kill_at = 0  # number of the request that kills; 0: none
        self.kills_after = False

    async def post(self, path: str, body: Any) -> None:
        self._begin()
        self._do(path, body)
        self._end()

    async def lines(self, path: str, body: Any) -> Sequence[dict[str, Any]]:
        self._begin()
        found = list(self._shown(path, body))
        self._end()
        return found

    def _begin(self) -> None:
        self.requests += 1
        if self.is_away:
            raise RucioAway("no connection")
        if self.requests == self.kill_at and not self.kills_after:
            raise Killed

    def _end(self) -> None:
        if self.requests == self.kill_at:
            raise Killed

    def _do(self, path: str, body: Any) -> None:
        if path == "/replicas":
            for one in body["files"]:
                if one["name"] in self.poison:
                    raise RucioRefused("InvalidObject", f"{one['name']} is bad")
            for one in body["files"]:
                name = _name(one)
                self.files.setdefault(name, {"bytes": one["bytes"], "adler32": one["adler32"]})
                if (name, body["rse"]) not in self.copies:
                    self.added += 1
                    self.copies[name, body["rse"]] = one["pfn"]
        elif path == "/dids/attachments":
            for one in body["attachments"]:
                self.datasets[_name(one)] |= {_name(did) for did in one["dids"]}
        elif path == "/dids/bulkdidsmeta":
            for one in body["dids"]:
                self.files[_name(one)].update(one["meta"])
        elif path == "/rules/":
            asked = (_name(body["dids"][0]), body["rse_expression"])
            if asked in self.rules:
                raise RucioRefused("DuplicateRule", "it is there")
            self.rules.append(asked)
        else:
            _, _, scope, its = path.split("/", 3)
            if (scope, its) in self.datasets:
                raise RucioRefused("DataIdentifierAlreadyExists", "it is there")
            self.datasets[scope, its] = set()

    def _shown(self, path: str, body: Any) -> Sequence[dict[str, Any]]:
        names = [_name(one) for one in body["dids"] if _name(one) in self.files]
        said = [{"scope": n[0], "name": n[1], **self.files[n]} for n in names]
        if path == "/replicas/list":
            for name, one in zip(names, said, strict=True):
                one["rses"] = {
                    rse: [pfn.replace(".org/", ".org:443/")]
                    for (whose, rse), pfn in self.copies.items()
                    if whose == name
                }
        return said


def _name(one: Mapping[str, str]) -> Name:
    return one["scope"], one["name"]


class World:
    """A store whose outbox a publisher sends to a fake server."""

    def __init__(self) -> None:
        self.store, self.clock, self.rucio = MemoryStore(), FakeClock(), FakeRucio()
        self.storages = Storages()
        entry = StorageEntry(type="http", url="https://se.org/ctao")
        self.storages.book = StorageBook(storages={"pic": entry})
        self.ended: dict[int, str] = {}
        self.log: list[str] = []
        self.plans = {"rucio": PLAN}
        self.publisher = self.begun()

    def begun(self) -> OutboxPublisher:
        """Return the publisher of a central that has just started."""
        return OutboxPublisher(
            self.store,
            lambda: self.plans,
            self.storages,
            connect=lambda name, plan: self.rucio,
            end_jobs=self._end_jobs,
            clock=self.clock,
            log=lambda event, **fields: self.log.append(event),
        )

    async def _end_jobs(self, settled: Mapping[int, str]) -> Sequence[int]:
        self.ended |= settled
        return list(settled)

    async def put(self, count: int, *, confirm: bool = False, job: int = 1) -> None:
        for first in range(0, count, 500):
            names = [f"{job}/{i}" for i in range(first, min(count, first + 500))]
            files = [a_file(name) for name in names]
            done = await self.store.write(
                registration.register_files, "ctao", files, at=0.0, make_datasets=True
            )
            outgoing = [
                Outgoing(
                    file=i, rucio="rucio", storage="pic", datasets=("sim:set",), confirm=confirm
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
            await self.publisher.turn()
            self.clock.move(every_s)


def a_file(name: str) -> NewFile:
    return NewFile(
        did=Did("sim", name),
        bytes=7,
        adler32="00000001",
        metadata={"run": 20, "good": True},
        replicas=(NewReplica(storage="pic", path=f"ctao/{name}"),),
        datasets=(Did("sim", "set"),),
    )


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.long)])
async def test_each_file_is_in_rucio_once_after_an_outage_and_a_hundred_deaths(count: int) -> None:
    world, chance = World(), random.Random(23)
    world.rucio.is_away = True
    await world.put(count)
    until = world.clock.monotonic() + AWAY_S
    while world.clock.monotonic() < until:
        await world.turns(1, every_s=30.0)
    asked = world.rucio.requests
    world.rucio.is_away = False
    died = 0
    while await world.entries() or died < 100:
        world.rucio.kill_at = 0
        if died < 100:
            world.rucio.kill_at = world.rucio.requests + chance.randint(1, 8)
            world.rucio.kills_after = chance.random() < 0.5
        if not await world.entries():
            await world.put(10, job=count)
            count += 10
        try:
            await world.turns(1, every_s=300.0)
        except BaseExceptionGroup as why:
            assert why.subgroup(Killed)
            died += 1
            world.publisher = world.begun()

    assert asked < AWAY_S / 200  # it backs off to minutes
    assert len(world.rucio.files) == world.rucio.added == count
    assert world.rucio.datasets == {("sim", "set"): set(world.rucio.files)}
    assert world.rucio.rules == [(("sim", "set"), "tape")]
    assert await world.entries(EntryState.CLASH) == []
    assert world.rucio.files["sim", "1/0"] == {
        "bytes": 7, "adler32": "00000001", "run": 20, "good": "true"
    }  # fmt: skip


async def test_other_bytes_under_a_known_name_are_a_clash_that_stays() -> None:
    world = World()
    await world.turns(1)  # the first one removes clashes of jobs that are gone: here, of all
    world.rucio.files["sim", "1/3"] = {"bytes": 8, "adler32": "00000002"}
    await world.put(5, confirm=True)
    await world.turns(3)
    (clash,) = await world.entries(EntryState.CLASH)

    assert "Rucio has another sim:1/3: its bytes is 8, not 7" in clash.why
    assert world.rucio.files["sim", "1/3"] == {"bytes": 8, "adler32": "00000002"}
    assert (("sim", "1/3"), "PIC-DISK") not in world.rucio.copies
    assert world.ended == {1: clash.why}
    assert (await world.entries(), clash.tries) == ([], 1)


async def test_a_job_ends_when_all_of_its_files_are_there() -> None:
    world = World()
    await world.put(BATCH + 1, confirm=True)
    await world.turns(1)
    before = dict(world.ended)
    await world.turns(2)

    assert (before, world.ended) == ({}, {1: ""})
    assert await world.entries(EntryState.CONFIRMED) == []


async def test_a_poisoned_file_does_not_hold_the_others() -> None:
    world = World()
    world.rucio.poison = {"1/3"}
    await world.put(20)
    await world.turns(1)
    (left,) = await world.entries()
    world.rucio.poison = set()
    await world.turns(30)

    assert (left.tries, left.why) == (1, "InvalidObject: 1/3 is bad")
    assert await world.entries() == []
    assert world.rucio.added == 20


async def test_a_storage_without_an_rse_is_named_and_waits_for_the_file() -> None:
    world = World()
    world.plans = {"rucio": OutputPlan(community="ctao", account="a", storages={})}
    await world.put(1)
    await world.turns(1)
    (left,) = await world.entries()
    world.plans = {"rucio": PLAN}
    await world.turns(30)

    assert left.why == "rucio/rucio.yaml: storages names no RSE for the storage pic"
    assert await world.entries() == []
