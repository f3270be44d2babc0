"""Hostile and broken clients at the embedded broker, byte by byte."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import uvloop
from amqtt.adapters import ReaderAdapter
from amqtt.broker import Broker

from pilotage.central.bus import door, frames
from pilotage.central.bus.embedded import EmbeddedBus
from pilotage.proto import topics
from pilotage.proto.topics import TopicKind
from tests.contract.bus.stages import (
    IMPATIENT,
    RealClock,
    RealRandomness,
    eventually,
    no_log,
)
from tests.unit.bus.test_frames import publish

UP = topics.up("ctao", "p1", TopicKind.BEAT)


def text(word: str) -> bytes:
    return len(word.encode()).to_bytes(2, "big") + word.encode()


def connect(
    user: str = "p1",
    password: str = "w",
    *,
    client_id: str = "x",
    level: int = 4,
    keep_alive: int = 60,
) -> bytes:
    body = text("MQTT") + bytes([level, 0xC2]) + keep_alive.to_bytes(2, "big")
    body += text(client_id) + text(user) + text(password)
    return bytes([0x10, len(body)]) + body


def subscribe(topic_filter: str) -> bytes:
    body = b"\0\1" + text(topic_filter) + b"\0"
    return bytes([0x82, len(body)]) + body


class Wire:
    """A client that says exactly these bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def hear(self, size: int) -> bytes:
        async with asyncio.timeout(5):
            return await self._reader.readexactly(size)

    async def is_cut(self) -> bool:
        """Read to the end; True when the broker closed."""
        try:
            async with asyncio.timeout(5):
                while await self._reader.read(1000):
                    pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._writer.transport.abort()

    def say_no_more(self) -> None:
        self._writer.write_eof()


class World:
    def __init__(self) -> None:
        self.bus = EmbeddedBus(
            clock=RealClock(), randomness=RealRandomness(), log=no_log, patience=IMPATIENT
        )
        self.port = int(self.bus.url.rsplit(":", 1)[1])
        self.heard: list[tuple[str, bytes]] = []
        self.wires: list[Wire] = []

    async def hear(self, topic: str, payload: bytes) -> None:
        self.heard.append((topic, payload))

    async def wire(self) -> Wire:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", self.port))
        self.wires.append(wire)
        return wire

    async def pilot(self, user: str = "p1") -> Wire:
        """Return a client that is in."""
        wire = await self.wire()
        await wire.say(connect(user))
        assert await wire.hear(4) == b"\x20\x02\x00\x00"
        return wire


@asynccontextmanager
async def running() -> AsyncGenerator[World]:
    world = World()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(world.bus.run(world.hear))
        await eventually(lambda: world.bus.up, "the bus is up")
        for pilot in ("p1", "p2"):
            await world.bus.add_login("ctao", pilot, "w")
        yield world
        for wire in world.wires:
            wire.close()
        task.cancel()


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    async with running() as one:
        yield one


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS hello
        b"\x10\xff\xff\xff\x7f",  # a CONNECT of 268 MB
        b"\x10\xff\xff\xff\xff\x01",
        b"\x10\x04\x00\x04MQ",
        bytes([0x10, 12]) + text("MQTT") + bytes([4, 0xC2, 0, 60]) + b"\x00\x09",  # lying length
        publish(UP.encode(), b"without a CONNECT"),
        b"\xc0\x00",
    ],
)
async def test_whatever_is_no_connect_is_cut_and_the_broker_lives(
    world: World, first: bytes
) -> None:
    wire = await world.wire()
    await wire.say(first)

    assert await wire.is_cut()

    good = await world.pilot()
    await good.say(publish(UP.encode(), b"fine"))
    await eventually(lambda: world.heard == [(UP, b"fine")], "a good pilot is served")


@pytest.mark.parametrize(("hello", "code"), [(connect(level=5), 1), (connect(password="v"), 5)])
async def test_who_is_turned_away_is_told_why(world: World, hello: bytes, code: int) -> None:
    wire = await world.wire()
    await wire.say(hello)

    assert await wire.hear(4) == bytes([0x20, 2, 0, code])
    assert await wire.is_cut()


async def test_a_wrong_password_under_anothers_client_id_does_not_touch_him(world: World) -> None:
    victim = await world.pilot("p2")
    await victim.say(subscribe(topics.down("ctao", "p2")))
    assert (await victim.hear(5))[4] == 0
    thief = await world.wire()
    await thief.say(connect("p1", "wrong", client_id="p2"))
    assert await thief.is_cut()
    down = topics.down("ctao", "p2")
    world.bus.publish(down, b"still yours")
    whole = publish(down.encode(), b"still yours")

    assert await victim.hear(len(whole)) == whole


@pytest.mark.parametrize(
    "bad",
    [
        publish(b"pilotage/1/+/p/p1/up/beat", b"x"),
        publish(b"\xff", b"x"),
        publish(b"", b"x"),
        bytes([0x30, 4, 0, 200]) + b"ab",
        connect(),
        b"\x30\xff\xff\xff\x7f",
        b"\xf0\x00",
        b"\x00\x00",
        b"\x82\x03\x00\x01\x00",
    ],
)
async def test_a_broken_packet_ends_its_client_and_nothing_else(world: World, bad: bytes) -> None:
    wire, other = await world.pilot("p1"), await world.pilot("p2")
    await wire.say(bad + publish(UP.encode(), b"hidden behind it"))

    assert await wire.is_cut()

    up = topics.up("ctao", "p2", TopicKind.BEAT)
    await other.say(publish(up.encode(), b"fine"))
    await eventually(lambda: bool(world.heard), "the other pilot is served")
    assert world.heard == [(up, b"fine")]


HIDDEN = publish(UP.encode(), b"hidden", flags=1)
NO_UTF8 = len(HIDDEN).to_bytes(2, "big") + b"\xff" * len(HIDDEN)


@pytest.mark.parametrize(
    ("kind", "before"),
    [
        (0x82, b"\0\1" + NO_UTF8 + b"\0"),  # SUBSCRIBE
        (0xA2, b"\0\1" + NO_UTF8),  # UNSUBSCRIBE
        (0x40, b"\0\1"),  # PUBACK
        (0xC0, b""),  # PINGREQ
    ],
)
async def test_no_packet_hides_in_another_one(world: World, kind: int, before: bytes) -> None:
    body = before + HIDDEN
    wire = await world.pilot()
    await wire.say(bytes([kind, len(body)]) + body)

    assert await wire.is_cut()
    assert world.heard == []


# Packets that miss a part, which amqtt would take from the packet that follows.
TOPIC = len(UP).to_bytes(2, "big") + UP.encode()
SHORT = {
    "a subscription without a number": b"\x82\x00",
    "a subscription with half a number": b"\x82\x01\x00",
    "a subscription without topics": b"\x82\x02\x00\x01",
    "a subscription without its quality": b"\x82\x05\x00\x01\x00\x01a",
    "a subscription of quality 7": b"\x82\x06\x00\x01\x00\x01a\x07",
    "an end of a subscription without a number": b"\xa2\x00",
    "an end of a subscription without topics": b"\xa2\x02\x00\x01",
    "a message without its number": bytes([0x32, len(TOPIC)]) + TOPIC,
    "a message of quality 3": bytes([0x36, len(TOPIC) + 2]) + TOPIC + b"\x00\x01",
}


@pytest.mark.parametrize("short", SHORT.values(), ids=SHORT)
async def test_no_packet_takes_its_missing_part_from_the_next_one(
    world: World, short: bytes
) -> None:
    wire = await world.pilot()
    await wire.say(short + HIDDEN)

    assert await wire.is_cut()
    assert world.heard == []


async def test_nothing_is_kept_for_later_readers(world: World) -> None:
    wire = await world.pilot()
    await wire.say(publish(UP.encode(), b"keep me", flags=1))
    await eventually(lambda: bool(world.heard), "it is heard now")

    assert world.bus.counts()["faults"] == 0  # it came as a fresh message, not as a kept one


async def test_the_same_pilot_again_ends_its_older_connection(world: World) -> None:
    older = await world.pilot()
    newer = await world.pilot()

    assert await older.is_cut()

    await newer.say(publish(UP.encode(), b"newer"))
    await eventually(lambda: world.heard == [(UP, b"newer")], "the newer one is heard")


async def test_a_silent_client_is_cut_off(world: World) -> None:
    wire = await world.wire()
    await wire.say(connect(keep_alive=1))
    assert await wire.hear(4) == b"\x20\x02\x00\x00"

    assert await wire.is_cut()


async def test_a_client_that_never_speaks_is_cut_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "FIRST_PACKET_S", 0.1)
    wire = await world.wire()

    assert await wire.is_cut()


async def test_a_client_that_does_not_read_is_cut_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "BACKLOG_MAX_BYTES", 100_000)
    wire = await world.pilot()
    down = topics.down("ctao", "p1")
    await wire.say(subscribe(down))
    assert (await wire.hear(5))[4] == 0
    inside = world.bus._door
    assert inside is not None
    for _ in range(100):
        world.bus.publish(down, bytes(frames.MESSAGE_MAX_BYTES // 2))
        await asyncio.sleep(0.01)
        if "p1" not in inside._inside:
            break

    assert "p1" not in inside._inside
    assert world.bus.up


async def test_too_many_clients_find_the_door_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "LINKS_MAX", 2)  # the central is one
    inside = await world.pilot()
    late = await world.wire()
    await late.say(connect("p2"))

    assert await late.is_cut()

    await inside.say(publish(UP.encode(), b"fine"))
    await eventually(lambda: bool(world.heard), "who is in stays in")


async def test_links_of_one_address_without_a_login_leave_room_for_those_with_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "LINKS_MAX", 12)
    monkeypatch.setattr(door, "CROWDED_FIRST_PACKET_S", 30.0)  # it is not what cuts
    async with running() as world:
        inside = [await world.pilot(), await world.pilot("p2")]  # these are no strangers
        strangers = [await world.wire() for _ in range(3)]
        for wire in strangers:
            await wire.say(b"\x10")
        one_more = await world.wire()

        assert await one_more.is_cut()
        strangers[0].close()
        await asyncio.sleep(0.05)
        await world.pilot()
        await inside[1].say(publish(topics.up("ctao", "p2", TopicKind.BEAT).encode(), b"fine"))
        await eventually(lambda: bool(world.heard), "who is in stays in")


async def test_first_packets_have_less_time_when_half_of_all_links_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "LINKS_MAX", 12)
    monkeypatch.setattr(door, "CROWDED_FIRST_PACKET_S", 0.05)
    async with running() as world:
        monkeypatch.setattr(door, "LINKS_MAX", 3)
        await world.pilot()
        late = await world.wire()
        await late.say(b"\x10")

        assert await late.is_cut()


async def test_a_client_that_ended_is_cut_where_amqtt_did_not_notice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def deaf(_: Broker, reader: ReaderAdapter, *__: object) -> None:
        with contextlib.suppress(ConnectionResetError):
            while True:
                await reader.read(1)
        await asyncio.Event().wait()

    monkeypatch.setattr(door, "END_S", 0.05)
    async with running() as world:
        monkeypatch.setattr(Broker, "external_connected", deaf)
        wire = await world.wire()
        await wire.say(connect())
        wire.say_no_more()

        assert await wire.is_cut()


def test_the_broker_runs_and_stops_on_uvloop_too() -> None:
    async def story() -> list[tuple[str, bytes]]:
        async with running() as world:
            wire = await world.pilot()
            await wire.say(publish(UP.encode(), b"over uvloop"))
            await eventually(lambda: bool(world.heard), "it is heard")
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", world.port)
        return world.heard

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(story()) == [(UP, b"over uvloop")]
