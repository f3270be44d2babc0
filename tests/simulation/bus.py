"""The message bus of a simulated world: a broker on a host of its own, reached over the network.

QoS 0: what cannot be carried is lost. A connection that nothing passes any more ends after the
keep-alive time, and then the last will is said.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable

from pilotage.central.bus.connection import HANDLER_FAULTS
from pilotage.central.bus.logins import Logins
from pilotage.central.ports import Inbound
from pilotage.proto import topics
from pilotage.proto.messages import BrokerLogin
from tests.fake_bus import CENTRAL, QUEUE_MAX, LinkCut, matches

from .clocks import sleep
from .network import Network
from .processes import Host, HostLoop, Process

KEEPALIVE_S = 30.0
AGAIN_S = (1.0, 5.0)  # between two tries to connect

Point = Callable[[Process, str], None]  # where a process may be made to die


class Broker:
    """The broker. `crash` and `begin` are its end and its return; only messages are forgotten."""

    def __init__(self, loop: HostLoop, network: Network, host: Host) -> None:
        self.loop, self.network, self.host = loop, network, host
        self.logins = Logins(CENTRAL, CENTRAL)
        self.standing = True
        self.carried: list[bytes] = []  # the first of what was said, for those who look for secrets
        self.links: dict[str, Link] = {}

    def crash(self) -> None:
        """Everybody's connection ends, and nobody comes in."""
        self.standing = False
        for link in list(self.links.values()):
            link.end()
        self.links.clear()

    def begin(self) -> None:
        self.standing = True

    def let_in(self, link: "Link", password: str) -> None:
        """A client has arrived; an older connection of the same user ends."""
        if not self.standing or not self.logins.knows(link.user, password):
            link.tell(link.refused)
            return
        older = self.links.get(link.client)
        if older is not None:
            self.close(older)
        self.links[link.client] = link
        link.process.died.append(lambda: self.close(link))
        link.tell(link.accepted)
        self._look(link)

    def _look(self, link: "Link") -> None:
        """End a connection over which nothing has come for the keep-alive time."""
        if self.links.get(link.client) is not link:
            return
        both = self.network.passes(link.host.name, self.host.name) and self.network.passes(
            self.host.name, link.host.name
        )
        if not both or link.host.suspended_at is not None or link.process.stopped:
            link.silent += 1
            if link.silent > 1:
                self.close(link)
                return
        else:
            link.silent = 0
        self.loop.at(self.loop.now + KEEPALIVE_S, None, self._look, link)

    def close(self, link: "Link") -> None:
        """End a connection from this side: the last will is said."""
        if self.links.get(link.client) is link:
            del self.links[link.client]
            link.end()
            if link.will is not None and self.standing:
                self.deliver(*link.will)

    def hear(self, link: "Link", topic: str, payload: bytes) -> None:
        """A client has published something."""
        if self.links.get(link.client) is link and self.logins.may_publish(link.user, topic):
            if len(self.carried) < QUEUE_MAX:
                self.carried.append(payload)
            self.deliver(topic, payload)

    def deliver(self, topic: str, payload: bytes) -> None:
        """Give a message to everybody who has subscribed to it."""
        for link in list(self.links.values()):
            if matches(topic, link.topic_filter):
                link.tell(link.take, topic, payload, copied=True)


class Link:
    """One client's connection, from its first try on."""

    def __init__(
        self,
        broker: Broker,
        process: Process,
        user: str,
        topic_filter: str,
        will: tuple[str, bytes] | None,
    ) -> None:
        self.user, self.topic_filter, self.will = user, topic_filter, will
        self.process, self.host = process, process.host
        # Of a client the broker keeps one connection. Pilots have a name, centrals their own.
        self.client = process.host.name if user == CENTRAL else user
        self.open, self.silent = False, 0
        self._broker = broker
        self._queue: deque[tuple[str, bytes]] = deque(maxlen=QUEUE_MAX)
        self._news = asyncio.Event()
        self._over = False

    async def enter(self, password: str) -> bool:
        """Connect and subscribe; say whether that worked."""
        broker = self._broker
        broker.network.send(self.host, broker.host, broker.let_in, self, password)
        try:
            async with asyncio.timeout(10.0):
                while not self.open and not self._over:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            self._over = True
        return self.open and not self._over

    def tell(self, what: Callable[..., None], *args: object, copied: bool = False) -> None:
        """Carry something from the broker to the client."""
        broker = self._broker
        broker.network.send(
            broker.host, self.host, what, *args, process=self.process, copied=copied
        )

    def accepted(self) -> None:
        self.open = not self._over
        self._news.set()

    def refused(self) -> None:
        self._over = True
        self._news.set()

    def end(self) -> None:
        """The connection is gone; the client sees it when it looks."""
        self.open, self._over = False, True
        self._news.set()

    def say_goodbye(self) -> None:
        """The client ends it politely: no last will."""
        self.will = None
        self._broker.network.send(self.host, self._broker.host, self._broker.close, self)
        self.open, self._over = False, True

    def publish(self, topic: str, payload: bytes) -> None:
        """Say something; nobody tells whether it arrives."""
        broker = self._broker
        broker.network.send(self.host, broker.host, broker.hear, self, topic, payload, copied=True)

    def take(self, topic: str, payload: bytes) -> None:
        self._queue.append((topic, payload))
        self._news.set()

    async def receive(self) -> tuple[str, bytes]:
        """Return the next message. Raises LinkCut."""
        while not self._queue:
            if self._over:
                raise LinkCut(self.user)
            self._news.clear()
            await self._news.wait()
        return self._queue.popleft()


class _Client:
    """What central and pilots share: a connection that is made again and again."""

    def __init__(
        self, broker: Broker, process: Process, chance: random.Random, point: Point
    ) -> None:
        self._broker, self._process, self._chance = broker, process, chance
        self._point = point
        self._link: Link | None = None

    @property
    def up(self) -> bool:
        return self._link is not None and self._link.open

    def publish(self, topic: str, payload: bytes) -> None:
        if self._link is not None and self._link.open:
            self._point(self._process, "before a publish")
            self._link.publish(topic, payload)
            self._point(self._process, "after a publish")

    async def connected(
        self, user: str, password: str, topic_filter: str, will: tuple[str, bytes] | None
    ) -> Link:
        while True:
            link = Link(self._broker, self._process, user, topic_filter, will)
            if await link.enter(password):
                self._link = link
                return link
            await sleep(self._broker.loop, self._chance.uniform(*AGAIN_S))


class CentralBus(_Client):
    """The central's side: `pilotage.central.ports.Bus`."""

    faults = 0

    @property
    def url(self) -> str:
        return "mqtt://bus:1883"

    def counts(self) -> dict[str, int]:
        return {"faults": self.faults}

    async def add_login(self, community: str, pilot: str, password: str) -> None:
        self._broker.logins.add(community, pilot, password)

    async def remove_login(self, community: str, pilot: str) -> None:
        if self._broker.logins.remove(community, pilot) and pilot in self._broker.links:
            self._broker.close(self._broker.links[pilot])

    async def run(self, inbound: Inbound) -> None:
        while True:
            link = await self.connected(CENTRAL, CENTRAL, topics.all_up(), None)
            try:
                while True:
                    topic, payload = await link.receive()
                    try:
                        await inbound(topic, payload)
                    except HANDLER_FAULTS:
                        self.faults += 1
            except LinkCut:
                continue


class PilotBus(_Client):
    """A pilot's side: `pilotage.pilot.ports.Bus`."""

    def __init__(
        self,
        broker: Broker,
        process: Process,
        chance: random.Random,
        point: Point,
        login: BrokerLogin,
        *,
        down: str,
        will: tuple[str, bytes],
    ) -> None:
        super().__init__(broker, process, chance, point)
        self._login, self._down, self._will = login, down, will

    async def run(
        self, inbound: Callable[[bytes], Awaitable[None]], changed: Callable[[bool], None]
    ) -> None:
        login = self._login
        while True:
            link = await self.connected(login.user, login.password, self._down, self._will)
            changed(True)
            try:
                while True:
                    await inbound((await link.receive())[1])
            except LinkCut:
                changed(False)
            except asyncio.CancelledError:
                link.say_goodbye()
                raise
