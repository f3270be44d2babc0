"""The pilot's end of the bus against real brokers: beats up, hints down, cuts that heal."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pilotage.pilot.clock import BootClock
from pilotage.pilot.talk.bus import SPREAD_S, MqttBus, factory
from pilotage.proto import topics
from pilotage.proto.messages import BrokerLogin
from pilotage.proto.tasks import Tasks
from tests.contract.bus.stages import EmbeddedStage, MosquittoStage, eventually, stage
from tests.services import mosquitto

NO_MOSQUITTO = mosquitto.missing()
DRIVERS = [
    "embedded",
    pytest.param("mosquitto", marks=pytest.mark.skipif(bool(NO_MOSQUITTO), reason=NO_MOSQUITTO)),
]
COMMUNITY, PILOT, PASSWORD = "ctao", "pic-1", "word"
BEAT = topics.up(COMMUNITY, PILOT, topics.TopicKind.BEAT)
DOWN = topics.down(COMMUNITY, PILOT)


class Impatient:
    """Randomness that always takes the low end, and notes the high one."""

    def __init__(self) -> None:
        self.most: list[float] = []

    def token(self) -> str:
        return "t"

    def uniform(self, low: float, high: float) -> float:
        self.most.append(high)
        return low


class Leaping(BootClock):
    """A clock that can be set ahead."""

    ahead_s = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s


class Joined:
    """A pilot's bus and what was heard on either side."""

    def __init__(self, place: EmbeddedStage | MosquittoStage) -> None:
        self.place = place
        self.clock, self.random = Leaping(), Impatient()
        self.log: list[tuple[str, Any]] = []
        make = factory(self.clock, self.random, self._note)
        self.url = f"mqtt://127.0.0.1:{place.port}"
        bus = make(BrokerLogin(self.url, PILOT, PASSWORD), "", COMMUNITY, PILOT, b"gone")
        assert isinstance(bus, MqttBus)
        self.bus = bus
        self.running: asyncio.Task[None] | None = None
        self.central_heard: list[tuple[str, bytes]] = []
        self.pilot_heard: list[bytes] = []
        self.changes: list[bool] = []

    def _note(self, event: str, facts: Mapping[str, object]) -> None:
        self.log.append((event, facts))

    async def at_central(self, topic: str, payload: bytes) -> None:
        self.central_heard.append((topic, payload))

    async def at_pilot(self, payload: bytes) -> None:
        self.pilot_heard.append(payload)


class _Enough(Exception):
    pass


@asynccontextmanager
async def joined(driver: str, folder: Path, *, login: str = PASSWORD) -> AsyncGenerator[Joined]:
    """Join a pilot's bus and the central's, which lets the pilot in with the password `login`."""
    async with stage(driver, folder) as place:
        assert isinstance(place, (EmbeddedStage, MosquittoStage))
        both = Joined(place)
        try:
            async with Tasks() as tasks:
                tasks.start(place.bus.run(both.at_central))
                await eventually(lambda: place.bus.up, "the central's bus is up")
                await place.bus.add_login(COMMUNITY, PILOT, login)
                both.running = tasks.start(both.bus.run(both.at_pilot, both.changes.append))
                yield both
                raise _Enough
        except _Enough:
            pass


@pytest.mark.parametrize("driver", DRIVERS)
async def test_beats_go_up_and_hints_come_down(driver: str, tmp_path: Path) -> None:
    async with joined(driver, tmp_path) as both:
        await eventually(lambda: both.bus.up, "the pilot's bus is up")
        both.bus.publish(BEAT, b"beat")
        both.place.bus.publish(DOWN, b"wake")
        await eventually(lambda: bool(both.central_heard and both.pilot_heard), "both were heard")

    assert both.central_heard[0] == (BEAT, b"beat")
    assert both.pilot_heard == [b"wake"]
    assert both.changes == [True, False]
    assert both.log == [("bus_up", {"url": both.url})], "our own end is no news"


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_broken_connection_is_said_and_heals(driver: str, tmp_path: Path) -> None:
    async with joined(driver, tmp_path) as both:
        await eventually(lambda: both.bus.up, "the pilot's bus is up")
        await both.place.crash()
        await eventually(lambda: both.changes[-1] is False, "the cut was said")
        both.bus.publish(BEAT, b"lost")
        (_, said) = both.log[1]
        await both.place.recover()
        await eventually(lambda: both.bus.up and both.place.bus.up, "the bus is up again")
        both.bus.publish(BEAT, b"beat")
        await eventually(lambda: (BEAT, b"beat") in both.central_heard, "the beat was heard")

    assert (BEAT, b"lost") not in both.central_heard
    assert both.changes[:3] == [True, False, True]
    assert [event for event, _ in both.log if event != "bus_refused"] == [
        "bus_up",
        "bus_down",
        "bus_up",
    ]
    assert said["url"] == both.url and said["why"]


@pytest.mark.parametrize(("up_for_s", "most_s"), [(0.0, 2.0), (60.0, SPREAD_S)])
async def test_after_a_connection_that_had_stayed_the_first_wait_is_spread_over_some_seconds(
    up_for_s: float, most_s: float, tmp_path: Path
) -> None:
    async with joined("embedded", tmp_path) as both:
        await eventually(lambda: both.bus.up, "the pilot's bus is up")
        both.clock.ahead_s = up_for_s
        await both.place.crash()
        await eventually(lambda: bool(both.random.most), "the cut was seen")

    assert both.random.most[0] == most_s


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_pilot_that_leaves_and_is_cut_off_meanwhile_says_nothing(
    driver: str, tmp_path: Path
) -> None:
    async with joined(driver, tmp_path) as both:
        await eventually(lambda: both.bus.up, "the pilot's bus is up")
        assert both.running is not None
        both.running.cancel()
        await both.place.bus.remove_login(COMMUNITY, PILOT)
        await eventually(both.running.done, "it has left")

    assert [event for event, _ in both.log] == ["bus_up"]


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_login_that_is_refused_is_never_up_and_never_an_error(
    driver: str, tmp_path: Path
) -> None:
    async with joined(driver, tmp_path, login="another") as both:
        await asyncio.sleep(0.5)

    assert both.changes == []
    assert {event for event, _ in both.log} == {"bus_refused"}
    assert not both.bus.up
