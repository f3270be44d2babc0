"""Whom a central calls that has just begun, and how fast."""

import asyncio

import msgspec

from pilotage.central.bus.downlink import Downlink
from pilotage.central.bus.no_bus import SilentBus
from pilotage.central.dispatch.roll_call import RollCall
from pilotage.central.leadership import LeaderLease
from pilotage.central.pilots.presence import Pilots, Presence
from pilotage.proto import topics
from pilotage.proto.messages import Down, Node, Offer, Wake
from pilotage.proto.pilot_states import PilotState

TERM = 7
OFFER = Offer(1, 1, 1, 1, 1.0)
LEADER = "https://two:8443"
CALL = Down(wake=Wake(0, TERM, LEADER))
LEADS = LeaderLease(TERM, LEADER, lambda: 0.0)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Bus(SilentBus):
    """One that comes up after 3 s, and keeps what was said over it, and when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.said: list[tuple[float, str, Down]] = []

    @property
    def up(self) -> bool:
        return self._clock.now >= 3.0

    @property
    def url(self) -> str:
        return "mqtt://bus"

    def publish(self, topic: str, payload: bytes) -> None:
        self.said.append((self._clock.now, topic, msgspec.json.decode(payload, type=Down)))


def presence(name: str, *, offer: Offer | None = None, drain: bool = False) -> Presence:
    return Presence(
        pilot=name,
        community="ctao",
        site="PIC",
        element="ce",
        session=1,
        state=PilotState.RUNNING,
        node=Node(host="wn"),
        registered_at=0.0,
        heard=0.0,
        offer=offer,
        drain=drain,
    )


def called(*presences: Presence) -> list[tuple[float, str, Down]]:
    pilots, clock = Pilots(), Clock()
    bus = Bus(clock)
    for one in presences:
        pilots.put(one)
    asyncio.run(RollCall(pilots, bus, Downlink(bus), clock, LEADS).run())
    return bus.said


def test_who_has_not_asked_is_called_once_when_the_bus_stands() -> None:
    said = called(presence("a"), presence("b", offer=OFFER), presence("c", drain=True))

    assert said == [(3.0, topics.down("ctao", "a"), CALL)]


def test_a_crowd_is_called_500_a_second() -> None:
    said = called(*(presence(f"p{number}") for number in range(2_000)))

    assert len({topic for _, topic, _ in said}) == 2_000
    assert 3.8 <= said[-1][0] - said[0][0] <= 4.0


def test_without_a_bus_nobody_is_waited_for() -> None:
    bus, clock = SilentBus(), Clock()
    asyncio.run(RollCall(Pilots(), bus, Downlink(bus), clock, LEADS).run())

    assert clock.now == 0.0
