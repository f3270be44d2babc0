"""The same stage for every bus: a central's `Bus`, a broker that can crash, clients of any kind."""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import aiomqtt

from pilotage.central.bus.address import Address, BusTimeouts
from pilotage.central.bus.embedded import EmbeddedBus
from pilotage.central.bus.mosquitto import MosquittoBus
from pilotage.central.ports import Bus
from tests.fake_bus import FakeBroker, FakeBus, Link, LinkCut, NotLetIn
from tests.services.mosquitto import Mosquitto

SOON_S = 5.0
NEVER_S = 0.2  # so long we listen for what must not come
IMPATIENT = BusTimeouts(connect_s=3.0, back_off_first_s=0.05, back_off_max_s=0.2)

Will = tuple[str, bytes]


class TurnedAway(Exception):
    """The broker did not let the client in."""


class Client(Protocol):
    """Anybody who connects to the broker."""

    async def subscribe(self, topic_filter: str) -> bool:
        """Return whether the broker granted it."""
        ...

    async def publish(self, topic: str, payload: bytes) -> None: ...

    async def receive(self, within_s: float = SOON_S) -> tuple[str, bytes] | None:
        """Return the next message, or None when none came. Raises TurnedAway when cut off."""
        ...

    async def vanish(self) -> None:
        """Go without a good-bye."""
        ...


class Stage(Protocol):
    """A broker and the central's bus on it."""

    bus: Bus

    async def enter(
        self, user: str, password: str, will: Will | None = None, *, client_id: str = ""
    ) -> Client:
        """Connect a client. Raises TurnedAway."""
        ...

    async def crash(self) -> None:
        """Everybody's connection breaks at once."""
        ...

    async def recover(self) -> None: ...


class RealClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class RealRandomness:
    def token(self, size: int = 32) -> str:
        return secrets.token_urlsafe(size)

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)


def no_log(event: str, **fields: Any) -> None:
    pass


async def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until it holds; the event is on the other side of a socket."""
    try:
        async with asyncio.timeout(SOON_S):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"in {SOON_S} s not: {what}") from None


# -- fake ------------------------------------------------------------------------------------------


class FakeClient:
    def __init__(self, link: Link) -> None:
        self._link = link

    async def subscribe(self, topic_filter: str) -> bool:
        return self._link.subscribe(topic_filter)

    async def publish(self, topic: str, payload: bytes) -> None:
        self._link.publish(topic, payload)

    async def receive(self, within_s: float = SOON_S) -> tuple[str, bytes] | None:
        try:
            async with asyncio.timeout(within_s / 10):
                return await self._link.receive()
        except TimeoutError:
            return None
        except LinkCut:
            raise TurnedAway from None

    async def vanish(self) -> None:
        self._link.end(politely=False)


class FakeStage:
    def __init__(self) -> None:
        self._broker = FakeBroker()
        self.bus: Bus = FakeBus(self._broker)

    async def enter(
        self, user: str, password: str, will: Will | None = None, *, client_id: str = ""
    ) -> Client:
        try:
            return FakeClient(self._broker.connect(user, password, will=will))
        except NotLetIn:
            raise TurnedAway from None

    async def crash(self) -> None:
        self._broker.cut()

    async def recover(self) -> None:
        self._broker.heal()


# -- over sockets ----------------------------------------------------------------------------------


class SocketClient:
    """A client over aiomqtt."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client

    async def subscribe(self, topic_filter: str) -> bool:
        try:
            (code,) = await self._client.subscribe(topic_filter)
        except aiomqtt.MqttError:
            raise TurnedAway from None
        return code < 128 if isinstance(code, int) else not code.is_failure

    async def publish(self, topic: str, payload: bytes) -> None:
        try:
            await self._client.publish(topic, payload)
        except aiomqtt.MqttError:
            raise TurnedAway from None

    async def keep(self, topic: str, payload: bytes) -> None:
        """Ask the broker to give a message to all who come later."""
        try:
            await self._client.publish(topic, payload, retain=True)
        except aiomqtt.MqttError:
            raise TurnedAway from None

    async def receive(self, within_s: float = SOON_S) -> tuple[str, bytes] | None:
        try:
            async with asyncio.timeout(within_s):
                async for message in self._client.messages:
                    return message.topic.value, message.payload
        except TimeoutError:
            return None
        except aiomqtt.MqttError:
            raise TurnedAway from None
        return None

    async def vanish(self) -> None:
        # aiomqtt always says good-bye; only its socket can be taken from it.
        paho: Any = self._client._client
        paho.socket().shutdown(2)


class SocketStage:
    """What the embedded broker and mosquitto have in common."""

    def __init__(self, bus: Bus, port: int) -> None:
        self.bus, self.port = bus, port
        self._clients: list[aiomqtt.Client] = []

    async def enter(
        self, user: str, password: str, will: Will | None = None, *, client_id: str = ""
    ) -> Client:
        client = aiomqtt.Client(
            "127.0.0.1",
            self.port,
            username=user or None,
            password=password or None,
            will=aiomqtt.Will(*will) if will is not None else None,
            identifier=client_id or None,
            timeout=SOON_S,
        )
        try:
            await client.__aenter__()
        except aiomqtt.MqttError:
            raise TurnedAway from None
        self._clients.append(client)
        return SocketClient(client)

    async def leave(self) -> None:
        for client in self._clients:
            ended: asyncio.Future[None] = client._disconnected
            if ended.done():
                ended.exception()  # cut off, as the test wanted
            else:
                await client.__aexit__(None, None, None)


class EmbeddedStage(SocketStage):
    def __init__(self) -> None:
        self.embedded = EmbeddedBus(
            clock=RealClock(), randomness=RealRandomness(), log=no_log, patience=IMPATIENT
        )
        super().__init__(self.embedded, int(self.embedded.url.rsplit(":", 1)[1]))

    async def crash(self) -> None:
        # It cannot die without us; what can happen is that connections break.
        door = self.embedded._door
        assert door is not None
        for user in list(door._inside):
            door.cut(user)

    async def recover(self) -> None:
        pass


class MosquittoStage(SocketStage):
    def __init__(self, broker: Mosquitto) -> None:
        self.broker = broker
        bus = MosquittoBus(
            Address("127.0.0.1", broker.port, broker.user, broker.password),
            clock=RealClock(),
            randomness=RealRandomness(),
            log=no_log,
            patience=IMPATIENT,
        )
        super().__init__(bus, broker.port)

    async def crash(self) -> None:
        self.broker.kill()

    async def recover(self) -> None:
        await self.broker.start()


@asynccontextmanager
async def stage(driver: str, folder: Path) -> AsyncGenerator[Stage]:
    """Set up broker and bus of this driver; the bus does not run yet."""
    if driver == "fake":
        yield FakeStage()
        return
    if driver == "embedded":
        embedded = EmbeddedStage()
        try:
            yield embedded
        finally:
            await embedded.leave()
            embedded.embedded.close()
        return
    broker = Mosquitto(folder, secrets.token_urlsafe(16))
    await broker.start()
    on_mosquitto = MosquittoStage(broker)
    try:
        yield on_mosquitto
    finally:
        await on_mosquitto.leave()
        broker.stop()
