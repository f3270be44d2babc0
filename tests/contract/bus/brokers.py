"""Brokers as they are run for more than a laptop, each with one way in for every kind of client."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import aiomqtt

from pilotage.central.bus import dynsec
from pilotage.central.bus.address import Address
from pilotage.central.bus.mosquitto import MosquittoBus
from tests.contract.bus.stages import (
    IMPATIENT,
    SOON_S,
    RealClock,
    RealRandomness,
    SocketClient,
    TurnedAway,
    Will,
    eventually,
    no_log,
)
from tests.services.mosquitto import Mosquitto
from tests.services.nats import Nats


class Broker(Protocol):
    """What an operator has of a broker: its nodes, the central's login, and a way to more."""

    user: str
    password: str

    @property
    def ports(self) -> Sequence[int]:
        """Where its nodes take MQTT."""
        ...

    async def add_login(self, community: str, pilot: str, password: str) -> None: ...
    async def remove_login(self, community: str, pilot: str) -> None: ...
    def kill_node(self, node: int) -> None: ...


class Ground:
    """A broker and the clients that a test lets in."""

    def __init__(self, broker: Broker, stack: AsyncExitStack) -> None:
        self.broker, self._stack = broker, stack

    async def central(self, *, node: int = 0) -> SocketClient:
        """Connect with the central's login, under a client id of its own."""
        broker = self.broker
        name = f"central-{secrets.token_hex(6)}"
        return await self.enter(broker.user, broker.password, client_id=name, node=node)

    async def pilot(
        self, community: str, pilot: str, *, node: int = 0, within_s: float = SOON_S
    ) -> SocketClient:
        """Make a login and connect with it, as a pilot does: its id is its client id too."""
        word = secrets.token_urlsafe(16)
        await self.broker.add_login(community, pilot, word)
        return await self.comes_in(pilot, word, node=node, within_s=within_s)

    async def comes_in(
        self,
        user: str,
        password: str,
        will: Will | None = None,
        *,
        node: int = 0,
        within_s: float = SOON_S,
    ) -> SocketClient:
        """Connect as soon as the broker knows the login."""
        async with asyncio.timeout(within_s):
            while True:
                try:
                    return await self.enter(user, password, will, client_id=user, node=node)
                except TurnedAway:
                    await asyncio.sleep(0.1)

    async def enter(
        self,
        user: str,
        password: str,
        will: Will | None = None,
        *,
        client_id: str,
        node: int = 0,
    ) -> SocketClient:
        """Connect a client. Raises TurnedAway."""
        client = aiomqtt.Client(
            "127.0.0.1",
            self.broker.ports[node],
            username=user,
            password=password,
            will=aiomqtt.Will(*will) if will is not None else None,
            identifier=client_id,
            timeout=SOON_S,
        )
        try:
            await client.__aenter__()
        except aiomqtt.MqttError:
            raise TurnedAway from None
        self._stack.push_async_callback(_leave, client)
        return SocketClient(client)


async def _leave(client: aiomqtt.Client) -> None:
    ended: asyncio.Future[None] = client._disconnected
    if ended.done():
        ended.exception()  # cut off, as the test wanted
    else:
        await client.__aexit__(None, None, None)


class OneMosquitto:
    """mosquitto as it is shipped; its logins are made by the central's own driver."""

    def __init__(self, server: Mosquitto) -> None:
        self._server = server
        self.user, self.password = "second", secrets.token_urlsafe(16)
        self.bus = MosquittoBus(
            Address("127.0.0.1", server.port, server.user, server.password),
            clock=RealClock(),
            randomness=RealRandomness(),
            log=no_log,
            patience=IMPATIENT,
        )

    def second_login(self) -> list[dynsec.DynsecCommand]:
        client = {"username": self.user, "password": self.password}
        role = {"username": self.user, "rolename": dynsec.OWN_ROLE}
        return [
            {"command": "createClient", **client},
            {"command": "addClientRole", **role},
        ]

    @property
    def ports(self) -> Sequence[int]:
        return (self._server.port,)

    async def add_login(self, community: str, pilot: str, password: str) -> None:
        await self.bus.add_login(community, pilot, password)

    async def remove_login(self, community: str, pilot: str) -> None:
        await self.bus.remove_login(community, pilot)

    def kill_node(self, node: int) -> None:
        self._server.kill()


class NatsCluster:
    """Three nodes of NATS; their logins are lines of a file."""

    def __init__(self, server: Nats) -> None:
        self._server = server
        self.user, self.password = server.user, server.password

    @property
    def ports(self) -> Sequence[int]:
        return self._server.ports

    async def add_login(self, community: str, pilot: str, password: str) -> None:
        self._server.add_login(community, pilot, password)

    async def remove_login(self, community: str, pilot: str) -> None:
        self._server.remove_login(pilot)

    def kill_node(self, node: int) -> None:
        self._server.kill_node(node)


async def _hear(topic: str, payload: bytes) -> None:
    """What the driver's own connection hears is nobody's business here."""


@asynccontextmanager
async def on_mosquitto(folder: Path) -> AsyncGenerator[Ground]:
    """Start it as it is shipped, with another central's login beside the driver's."""
    server = Mosquitto(folder, secrets.token_urlsafe(16))
    await server.start()
    broker = OneMosquitto(server)
    try:
        async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
            task = tasks.create_task(broker.bus.run(_hear))
            stack.callback(task.cancel)
            await eventually(lambda: broker.bus.up, "the bus is up")
            broker.bus.publish(dynsec.CONTROL, dynsec.encode(broker.second_login()))
            yield Ground(broker, stack)
    finally:
        server.stop()


@asynccontextmanager
async def on_nats(server: Nats) -> AsyncGenerator[Ground]:
    """Use a cluster that runs."""
    for node in server.dead():
        server.start_node(node)
        await asyncio.to_thread(server.wait_ready)
    async with AsyncExitStack() as stack:
        yield Ground(NatsCluster(server), stack)
