"""The bus as a face: who is asked what, what is answered, and what becomes of garbage."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from pilotage.central.bus.bridge import BEAT_USEFUL_S, TOLD_EVERY_S, BusBridge
from pilotage.central.bus.downlink import Downlink
from pilotage.central.errors import Refused
from pilotage.central.identity.callers import PilotCaller
from pilotage.central.observe.events import no_log
from pilotage.proto import topics, wire
from pilotage.proto.messages import (
    Attempt,
    Beat,
    BeatAnswer,
    BrokerLogin,
    Down,
    LogChunk,
    Stop,
    Stream,
    Wake,
    Why,
)
from pilotage.proto.problems import Code
from pilotage.proto.topics import TopicKind
from tests.fake_bus import FakeBroker, FakeBus, FakePilotBus

CALLER = PilotCaller(pilot="p1", community="ctao", site="PIC", element="pic-1")
BEAT = Beat(gen="g", session=1, n=7)


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0
        self._moved = asyncio.Event()

    def move(self, seconds: float) -> None:
        self.now += seconds
        self._moved.set()
        self._moved = asyncio.Event()

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            await self._moved.wait()


class Dispatch:
    """Answers with the beat's number, or refuses."""

    def __init__(self) -> None:
        self.asked: list[tuple[PilotCaller, Beat]] = []
        self.refusal: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def beat(self, caller: PilotCaller, message: Beat, /) -> BeatAnswer:
        await self.gate.wait()
        self.asked.append((caller, message))
        if self.refusal is not None:
            raise self.refusal
        return BeatAnswer(n=message.n, term=3)


class Logs:
    def __init__(self) -> None:
        self.chunks: list[LogChunk] = []

    async def chunk(self, caller: PilotCaller, chunk: LogChunk, /) -> None:
        self.chunks.append(chunk)


class World:
    """A bridge and one pilot on a broker in memory."""

    def __init__(self, *, waiting_max: int = 100, workers: int = 2) -> None:
        self.broker, self.clock = FakeBroker(), HandClock()
        self.bus = FakeBus(self.broker)
        self.dispatch, self.logs = Dispatch(), Logs()
        self.gone: list[str] = []
        self.known = {"p1": CALLER}
        self.bridge = BusBridge(
            self.bus,
            who=self.known.get,
            beat=self.dispatch.beat,
            chunk=self.logs.chunk,
            clock=self.clock,
            log=self.log,
            will=lambda caller: self.gone.append(caller.pilot),
            workers=workers,
            waiting_max=waiting_max,
        )
        self.pilot = FakePilotBus(
            self.broker, "ctao", "p1", BrokerLogin(url="", user="p1", password="w")
        )
        self.down: list[Down] = []
        self.told: list[dict[str, int]] = []
        self.failed: list[str] = []
        self.changes: list[bool] = []

    async def hear(self, payload: bytes) -> None:
        self.down.append(wire.decode(Down, payload))

    def log(self, event: str, **fields: Any) -> None:
        no_log(event, **fields)
        if event == "bus_traffic":
            self.told.append(fields["counts"])
        else:
            self.failed.append(fields["error"])

    async def settle(self) -> None:
        """Let everything run that can: there are no sockets to wait for."""
        for _ in range(50):
            await asyncio.sleep(0)

    def say(self, kind: TopicKind, payload: bytes) -> None:
        self.pilot.publish(topics.up("ctao", "p1", kind), payload)


@asynccontextmanager
async def running(world: World) -> AsyncGenerator[World]:
    async with asyncio.TaskGroup() as tasks:
        await world.bus.add_login("ctao", "p1", "w")
        running = [
            tasks.create_task(world.bridge.run()),
            tasks.create_task(world.pilot.run(world.hear, world.changes.append)),
        ]
        await world.settle()
        yield world
        await world.settle()
        for task in running:
            task.cancel()


async def test_a_beat_is_answered_to_its_pilot() -> None:
    async with running(World()) as world:
        world.say(TopicKind.BEAT, wire.encode(BEAT))
        await world.settle()

        ((caller, beat),) = world.dispatch.asked
        assert (caller, msgspec.json.encode(beat)) == (CALLER, msgspec.json.encode(BEAT))
        assert world.down == [Down(beat=BeatAnswer(n=7, term=3))]


async def test_a_fault_of_ours_in_one_beat_ends_nothing() -> None:
    async with running(World()) as world:
        world.dispatch.refusal = KeyError("a bug")
        world.say(TopicKind.BEAT, wire.encode(BEAT))
        await world.settle()
        world.dispatch.refusal = None
        world.say(TopicKind.BEAT, wire.encode(dataclasses.replace(BEAT, n=8)))
        await world.settle()

        (told,) = world.failed
        assert "Traceback" in told and "KeyError: 'a bug'" in told
        assert (world.bridge.heard.failed, world.bridge.heard.answered) == (1, 1)


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (Code.OLD_SESSION, BeatAnswer(n=7, term=0, old_session=True)),
        (Code.OTHER_STORE, BeatAnswer(n=7, term=0, other_store=True)),
        (Code.UNAVAILABLE, None),
        (Code.NOT_LEADER, None),
    ],
)
async def test_a_refusal_is_told_where_the_bus_has_a_word_for_it(
    code: Code, answer: BeatAnswer | None
) -> None:
    async with running(World()) as world:
        world.dispatch.refusal = Refused(code, "no")
        world.say(TopicKind.BEAT, wire.encode(BEAT))
        await world.settle()

        assert world.down == ([Down(beat=answer)] if answer else [])
        assert world.bridge.heard.refused == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b"{}",
        b'{"gen":"g","session":"one","n":7}',
        b'{"gen":"g","session":-1,"n":7}',
        b'{"gen":"g","session":1,"n":1e400}',
        b'{"gen":"g","session":1,"n":7,"holding":[{"job":9007199254740993,"epoch":1}]}',
        b"[" * 100_000,
    ],
)
async def test_garbage_is_counted_and_the_next_beat_answered(payload: bytes) -> None:
    async with running(World()) as world:
        world.say(TopicKind.BEAT, payload)
        await world.settle()
        world.say(TopicKind.BEAT, wire.encode(BEAT))
        await world.settle()

        assert world.bridge.heard.garbage == 1
        assert len(world.down) == 1


async def test_unknown_fields_of_a_newer_pilot_are_ignored() -> None:
    async with running(World()) as world:
        world.say(TopicKind.BEAT, b'{"gen":"g","session":1,"n":7,"mood":"good"}')
        await world.settle()

        assert len(world.down) == 1


async def test_a_pilot_that_the_central_does_not_know_gets_no_answer() -> None:
    async with running(World()) as world:
        world.known.clear()
        world.say(TopicKind.BEAT, wire.encode(BEAT))
        await world.settle()

        assert world.bridge.heard.strangers == 1
        assert not world.dispatch.asked


async def test_a_topic_of_another_community_than_the_pilots_is_nobodys() -> None:
    world = World()
    await world.bridge.inbound(topics.up("lhcb", "p1", TopicKind.BEAT), wire.encode(BEAT))
    await world.bridge.inbound("pilotage/1/ctao/p/p1/up/shout", b"{}")

    assert (world.bridge.heard.strangers, world.bridge.heard.garbage) == (1, 1)


async def test_of_two_waiting_beats_of_a_pilot_the_newer_is_answered() -> None:
    async with running(World(workers=1)) as world:
        world.dispatch.gate.clear()
        for n in (7, 8, 9):
            world.say(TopicKind.BEAT, wire.encode(Beat(gen="g", session=1, n=n)))
            await world.settle()
        world.dispatch.gate.set()
        await world.settle()

        assert [beat.n for _, beat in world.dispatch.asked] == [7, 9]
        assert world.bridge.heard.replaced == 1


async def test_when_too_many_beats_wait_the_oldest_goes() -> None:
    world = World(waiting_max=2)
    for pilot in ("a", "b", "c"):
        world.known[pilot] = PilotCaller(pilot=pilot, community="ctao", site="s", element="e")
        await world.bridge.inbound(topics.up("ctao", pilot, TopicKind.BEAT), wire.encode(BEAT))
    async with running(world):
        await world.settle()

    assert [caller.pilot for caller, _ in world.dispatch.asked] == ["b", "c"]
    assert world.bridge.heard.dropped == 1


async def test_a_beat_that_waited_too_long_is_left_to_http() -> None:
    world = World()
    await world.bridge.inbound(topics.up("ctao", "p1", TopicKind.BEAT), wire.encode(BEAT))
    world.clock.now += BEAT_USEFUL_S + 1
    async with running(world):
        await world.settle()

    assert not world.dispatch.asked


async def test_live_output_goes_to_the_logs() -> None:
    chunk = LogChunk(job=1, epoch=1, stream=Stream.OUT, offset=0, text="héllo\n")
    async with running(World()) as world:
        world.say(TopicKind.LOG, wire.encode(chunk))
        world.say(TopicKind.LOG, b'{"job":1}')
        await world.settle()

        assert world.logs.chunks == [chunk]
        assert world.bridge.heard.garbage == 1


async def test_a_last_will_is_handed_on() -> None:
    async with running(World()) as world:
        world.broker.cut_user("p1")
        await world.settle()

        assert world.gone == ["p1"]


async def test_everything_the_central_says_is_read_by_the_pilot() -> None:
    async with running(World()) as world:
        down = Downlink(world.bus)
        down.wake("ctao", "p1", 5, 2)
        down.stop("ctao", "p1", Stop(job=1, epoch=2, why=Why.HOLD))
        down.drain("ctao", "p1")
        down.follow("ctao", "p1", Attempt(1, 2))
        await world.settle()

        assert world.down == [
            Down(wake=Wake(5, 2)),
            Down(stop=Stop(job=1, epoch=2, why=Why.HOLD)),
            Down(drain=True),
            Down(follow=Attempt(1, 2)),
        ]
        assert down.up


async def test_after_a_cut_both_sides_come_back_and_lost_words_stay_lost() -> None:
    async with running(World()) as world:
        world.broker.cut()
        world.say(TopicKind.BEAT, wire.encode(BEAT))
        await world.settle()
        assert not world.bus.up and not world.pilot.up

        world.broker.heal()
        await world.settle()
        world.say(TopicKind.BEAT, wire.encode(Beat(gen="g", session=1, n=8)))
        await world.settle()

        assert [message.beat.n for message in world.down if message.beat] == [8]
        assert world.changes == [True, False, True]


async def test_a_broker_that_loses_and_doubles_does_so_as_told() -> None:
    async with running(World()) as world:
        fates = iter((0, 2, 1, 1))
        world.broker.fate = lambda topic, payload: next(fates)
        for n in (1, 2):
            world.say(TopicKind.BEAT, wire.encode(Beat(gen="g", session=1, n=n)))
            await world.settle()

        assert [beat.n for _, beat in world.dispatch.asked] == [2]
        assert world.bridge.heard.replaced == 1


def test_an_answer_is_small() -> None:
    assert len(msgspec.json.encode(Down(beat=BeatAnswer(n=10**6, term=10)))) < 300


async def test_what_moved_on_the_bus_is_told_each_minute_and_nothing_where_nothing_did() -> None:
    async with running(World()) as world:
        for payload in (wire.encode(BEAT), b"garbage"):
            world.say(TopicKind.BEAT, payload)
            await world.settle()
        for _ in range(2):
            world.clock.move(TOLD_EVERY_S)
            await world.settle()
        world.say(TopicKind.WILL, b"")
        await world.settle()
        world.clock.move(TOLD_EVERY_S)
        await world.settle()

        assert world.told == [{"beats": 2, "answered": 1, "garbage": 1}, {"wills": 1}]
