"""The parts of a connection that need no broker: bounds, back-off, and what is never shown."""

import asyncio
import gc

import aiomqtt
import pytest

from pilotage.central.bus.address import Address, BusTimeouts
from pilotage.central.bus.connection import BusConnection, Inbox, Traffic
from pilotage.central.bus.embedded import EmbeddedBus
from pilotage.central.bus.errors import PortTaken
from tests.contract.bus.stages import RealClock, RealRandomness, no_log


def message(n: int) -> aiomqtt.Message:
    return aiomqtt.Message("t", b"%d" % n, 0, False, 0, None)


def test_a_full_inbox_lets_its_oldest_message_go() -> None:
    traffic = Traffic()
    inbox = Inbox(3, traffic)
    for n in range(5):
        inbox.put_nowait(message(n))

    assert [inbox.get_nowait().payload for _ in range(3)] == [b"2", b"3", b"4"]
    assert traffic.dropped_in == 2


def test_the_wait_doubles_and_stays_under_its_maximum() -> None:
    patience = BusTimeouts(back_off_first_s=0.5, back_off_max_s=30.0)

    assert [patience.longest_wait_s(n) for n in (1, 2, 3, 7, 10_000)] == [0.5, 1, 2, 30, 30]


def test_an_address_does_not_show_its_password() -> None:
    address = Address("host", 1883, "central", "secret word")

    assert "secret" not in repr(address)
    assert address.url == "mqtt://host:1883"
    assert Address("::1", 1, "u", "p").url == "mqtt://[::1]:1"


class StillClock:
    """Time passes only by sleeping; after enough sleeps the test ends."""

    def __init__(self, sleeps_max: int) -> None:
        self.slept: list[float] = []
        self._sleeps_max = sleeps_max

    def monotonic(self) -> float:
        return sum(self.slept)

    def wall(self) -> float:
        return self.monotonic()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == self._sleeps_max:
            raise EOFError
        await asyncio.sleep(0)


class Highest:
    """Always the upper end."""

    def token(self, size: int = 32) -> str:
        return "t"

    def uniform(self, low: float, high: float) -> float:
        return high


async def test_attempts_at_a_broker_that_is_gone_spread_out() -> None:
    with EmbeddedPort() as port:
        address = Address("127.0.0.1", port, "u", "p")
    clock = StillClock(6)
    patience = BusTimeouts(back_off_first_s=1.0, back_off_max_s=5.0)
    said: list[str] = []

    def log(event: str, **fields: object) -> None:
        said.append(event)

    connection = BusConnection(
        address, ["#"], clock=clock, randomness=Highest(), log=log, patience=patience
    )
    connection.publish("t", b"x")
    with pytest.raises(ExceptionGroup, match="unhandled"):
        await connection.run(lambda topic, payload: asyncio.sleep(0))

    assert clock.slept == [1, 2, 4, 5, 5, 5]
    assert said == ["bus_down"], "one line for each outage"
    assert connection.traffic.lost_down == 1
    assert not connection.up


class EmbeddedPort:
    """A port that an embedded bus holds for a while."""

    def __init__(self) -> None:
        self.bus = EmbeddedBus(clock=RealClock(), randomness=RealRandomness(), log=no_log)

    def __enter__(self) -> int:
        return int(self.bus.url.rsplit(":", 1)[1])

    def __exit__(self, *_: object) -> None:
        self.bus.close()


def test_a_taken_port_is_named() -> None:
    with EmbeddedPort() as port, pytest.raises(PortTaken, match=str(port)):
        EmbeddedBus("127.0.0.1", port, clock=RealClock(), randomness=RealRandomness(), log=no_log)


def test_pilots_are_told_the_public_address() -> None:
    bus = EmbeddedBus(
        clock=RealClock(),
        randomness=RealRandomness(),
        log=no_log,
        public_url="mqtt://central.example:1883",
    )
    bus.close()

    assert bus.url == "mqtt://central.example:1883"


# aiomqtt leaves its socket to the collector when it is cancelled while it connects.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_bus_that_is_stopped_while_it_connects_ends() -> None:
    """aiomqtt can lose a cancellation that comes with an answer of the broker: at each moment of
    the first 30 ms there must be an end."""

    async def inbound(topic: str, payload: bytes) -> None:
        pass

    for step in range(60):
        bus = EmbeddedBus(clock=RealClock(), randomness=RealRandomness(), log=no_log)
        running = asyncio.get_running_loop().create_task(bus.run(inbound))
        await asyncio.sleep(step * 0.0005)
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=5.0)
        bus.close()

        assert done, f"cancelled after {step * 0.5} ms, it runs on"
    gc.collect()  # so that the warnings come here and not in another test
