"""The loop over all Rucio servers, what people see of them, and the commands that print it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from pilotage.central.catalogue import record_read as catalogue_read
from pilotage.central.catalogue.storages import (
    StorageBook,
    StorageCredential,
    StorageEntry,
    Storages,
)
from pilotage.central.cli.main import run
from pilotage.central.errors import Refused
from pilotage.central.identity.scope import Owners
from pilotage.central.rucio.drivers import RucioDrivers
from pilotage.central.rucio.events import Heard, RucioEvent, event_of
from pilotage.central.rucio.files import RucioBook, RucioEntry, RucioEvents, RucioFiles, RucioInput
from pilotage.central.rucio.http import RucioApi
from pilotage.central.rucio.mirror import EVERY_S, RucioMirrors
from pilotage.central.rucio.publisher import OutboxPublisher
from pilotage.central.rucio.service import RucioService
from pilotage.central.store.errors import StoreError
from pilotage.proto.api.rucio import RucioInputView, RucioList, RucioView
from pilotage.proto.catalogue import Did
from tests.fake_central import FakeClock
from tests.fake_rucio import FakeRucio
from tests.memory_store import MemoryStore
from tests.unit.catalogue.test_catalogue_service import a_user
from tests.unit.cli.stub_client import give

ENTRY = RucioEntry(
    url="https://rucio.example.org",
    account="pilotage",
    community="ctao",
    credential=StorageCredential(source="issuer"),
    storages={"A": "sa"},
    strip="/",
    inputs=(RucioInput(scope="raw", dataset="/night"),),
    events=RucioEvents(broker="stomp://broker:61613", destination="/topic/rucio"),
)


class World:
    """A central's mirrors, and the servers `one` and `two`."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.servers = {name: FakeRucio(self.clock.wall, "A") for name in ("one", "two")}
        self.store = MemoryStore(clock_wall=self.clock.wall)
        self.storages = Storages()
        self.storages.book = StorageBook(
            {"sa": StorageEntry(type="davs", url="https://a.example.org/top")}
        )
        self.files = RucioFiles(Path("unread"))
        self.heard: dict[str, Heard] = {}
        self.said: list[str] = []
        drivers = RucioDrivers(self.files, self.connect, self.listen)
        owners = Owners(self.store, "here")
        self.mirrors = RucioMirrors(
            drivers,
            store=self.store,
            owners=owners,
            storages=self.storages,
            clock=self.clock,
            log=lambda event, **fields: self.said.append(event),
        )
        self.service = RucioService(drivers, self.mirrors, cast(OutboxPublisher, None), self.store)
        for server in self.servers.values():
            server.add("raw:/f1")
            server.dataset("raw:/night", "raw:/f1")

    def connect(self, name: str, entry: RucioEntry) -> RucioApi:
        return self.servers[name]

    async def listen(self, events: RucioEvents, heard: Heard, name: str) -> None:
        self.heard[name] = heard
        try:
            await asyncio.Event().wait()
        finally:
            del self.heard[name]

    def write(self, **entries: RucioEntry) -> None:
        self.files.book = RucioBook(entries, {"bad": "bad.yaml:1: url: is missing"})

    async def has(self, name: str) -> bool:
        (row,) = await self.store.read(catalogue_read.files_by_did, "ctao", [Did("raw", name)])
        return row is not None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.mirrors.run())
            await self.clock.advance(2 * EVERY_S)
            yield
            running.cancel()


async def test_a_file_of_a_closed_dataset_is_here_soon_after_its_event() -> None:
    world = World()
    world.write(one=ENTRY)
    async with world.running():
        await world.clock.advance(5.0)
        world.servers["one"].add("raw:/f2")
        world.servers["one"].dataset("raw:/night", "raw:/f2").open = False
        await world.clock.advance(5.0)
        before = await world.has("f2")
        world.heard["one"](RucioEvent(type="close", scope="raw", name="/night"))
        await world.clock.advance(EVERY_S)

        assert not before
        assert await world.has("f2")


async def test_a_server_that_is_away_delays_no_other() -> None:
    world = World()
    world.servers["one"].is_away = True
    world.write(one=ENTRY, two=ENTRY)
    async with world.running():
        assert await world.has("f1")
        assert "no connection" in (await world.service.show(a_user("ada"), "one")).trouble


async def test_an_rse_that_the_server_does_not_have_is_told() -> None:
    world = World()
    world.write(one=RucioEntry(**{**as_fields(ENTRY), "storages": {"A": "sa", "NONE": "sb"}}))
    async with world.running():
        shown = await world.service.show(a_user("ada"), "one")

        assert shown.off == {"sb": "NONE"}
        right = "correct the name in rucio/one.yaml"
        assert shown.trouble == f"storages: Rucio has no RSE NONE: {right}"


async def test_a_changed_file_counts_and_a_removed_one_is_followed_no_more() -> None:
    world = World()
    world.write()
    async with world.running():
        before = dict(world.heard)
        world.write(one=ENTRY)
        await world.clock.advance(2 * EVERY_S)
        added = list(world.heard), await world.has("f1")
        world.servers["one"].readable["A"] = False
        world.write(one=RucioEntry(**{**as_fields(ENTRY), "events": None}))
        await world.clock.advance(4 * EVERY_S)
        changed = list(world.heard), world.storages.book.storages["sa"].readable
        world.write()
        await world.clock.advance(2 * EVERY_S)

        assert before == {}
        assert added == (["one"], True)
        assert changed == ([], False)
        assert world.mirrors.servers == {}
        assert world.storages.book.storages["sa"].readable


def as_fields(entry: RucioEntry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__struct_fields__}


async def test_the_age_of_a_poll_grows_while_the_server_is_away() -> None:
    world = World()
    world.write(one=ENTRY)
    async with world.running():
        world.servers["one"].is_away = True
        await world.clock.advance(1_000.0)
        away = world.mirrors.poll_ages_s()["one"]
        world.servers["one"].is_away = False
        await world.clock.advance(400.0)

        assert 999 < away <= 1_001
        assert world.mirrors.poll_ages_s()["one"] <= 61


async def test_a_store_that_takes_no_writes_stops_the_loop_only_for_a_while() -> None:
    world = World()
    world.write(one=ENTRY)
    refuses = True

    class Store(MemoryStore):
        def committing(self) -> None:
            if refuses:
                raise StoreError("no space")

    world.mirrors._store = store = Store(clock_wall=world.clock.wall)
    async with world.running():
        refuses = False
        await world.clock.advance(10.0)
        (row,) = await store.read(catalogue_read.files_by_did, "ctao", [Did("raw", "f1")])

        assert row is not None
        assert "rucio_away" in world.said


async def test_people_see_the_servers_of_their_community_and_bad_files() -> None:
    world = World()
    world.write(one=ENTRY)
    async with world.running():
        mine = await world.service.all(a_user("ada"))
        theirs = await world.service.all(a_user("ali", community="lhcb"))

        bad, one = mine.servers
        assert (bad.name, bad.trouble) == ("bad", "bad.yaml:1: url: is missing")
        assert [(each.input, each.files) for each in one.inputs] == [("dataset raw:/night", 1)]
        assert [each.name for each in theirs.servers] == ["bad"]
        with pytest.raises(Refused, match="unknown Rucio server 'nix'; known servers: bad, one"):
            await world.service.compare(a_user("ada"), "nix")


async def test_a_comparison_comes_when_it_is_asked_for() -> None:
    world = World()
    world.write(one=ENTRY)
    async with world.running():
        before = (await world.service.show(a_user("ada"), "one")).compared_at
        await world.service.compare(a_user("ada"), "one")
        await world.clock.advance(EVERY_S)

        assert before is None
        assert (await world.service.show(a_user("ada"), "one")).compared_at is not None


MESSAGES = {
    '{"event_type": "close", "payload": {"scope": "a", "name": "/b"}}': ("close", "a", "/b"),
    '{"event_type": "email", "payload": {"to": ["x"]}}': ("email", "", ""),
    '{"event_type": "x", "payload": {"scope": 5}}': ("x", "", ""),
    "rubbish": None,
    "[1]": None,
}


@pytest.mark.parametrize("text", MESSAGES)
def test_messages_are_events_or_nothing(text: str) -> None:
    found = event_of(text)

    assert (found and (found.type, found.scope, found.name)) == MESSAGES[text]


@pytest.mark.parametrize(
    "inside", ["[" * 100_000 + "]" * 100_000, '"\ud800"'], ids=["deep", "half a letter"]
)
def test_a_message_that_nobody_can_read_is_nothing(inside: str) -> None:
    assert event_of(f'{{"event_type": "x", "payload": {{"a": {inside}}}}}') is None


class StubClient:
    """Knows one server with a trouble."""

    view = RucioView(
        name="main",
        url="https://rucio.example.org",
        storages={"A": "sa"},
        off={"sa": "A"},
        inputs=[
            RucioInputView(
                input="dataset raw:/night",
                files=2,
                waiting=1,
                troubles={"raw:/a": "bytes: other"},
                trouble="no rights",
            )
        ],
        trouble="away",
    )

    async def rucio_servers(self) -> RucioList:
        return RucioList(servers=[self.view, RucioView(name="bad", trouble="bad.yaml:1: url")])

    async def rucio_server(self, name: str) -> RucioView:
        return self.view

    async def compare_rucio(self, name: str) -> RucioView:
        return self.view


def test_the_command_shows_servers_with_their_troubles(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(StubClient(), monkeypatch)
    codes = run(["rucio", "list"]), run(["rucio", "show", "main"])
    said = capsys.readouterr()

    assert codes == (0, 0)
    assert "dataset raw:/night: 2 files, 1 waiting, polled never" in said.out
    assert "  raw:/a: bytes: other" in said.out and "  no rights" in said.out
    assert "sa (A)" in said.out
    assert "main: away" in said.err and "bad: bad.yaml:1: url" in said.err
