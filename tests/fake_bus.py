"""An honest message broker in memory: logins, rights, last wills, take-over, and faults on demand.

It has no thread, socket or clock, so that a central and its pilots run on it in virtual time. Like
the real ones it forgets what it cannot deliver. Queues are bounded; the oldest message goes.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from pilotage.central.bus.connection import HANDLER_FAULTS
from pilotage.central.bus.logins import Logins
from pilotage.central.ports import Inbound
from pilotage.proto import topics
from pilotage.proto.messages import BrokerLogin

QUEUE_MAX = 10_000
MESSAGE_MAX_BYTES = 512 * 1024
CENTRAL = "central"

Fate = Callable[[str, bytes], int]  # how many copies of a message arrive


class NotLetIn(Exception):
    """The broker is down, or does not know the login, or the last will is on a foreign topic."""


class LinkCut(Exception):
    """The connection ended from the other side."""


class Link:
    """One client's connection."""

    def __init__(self, broker: "FakeBroker", user: str, will: tuple[str, bytes] | None) -> None:
        self.user, self.will = user, will
        self.filters: set[str] = set()
        self.open = True
        self._broker = broker
        self._queue: deque[tuple[str, bytes]] = deque(maxlen=QUEUE_MAX)
        self._news = asyncio.Event()

    def subscribe(self, topic_filter: str) -> bool:
        """Ask for messages; return whether it was granted."""
        granted = self.open and self._broker.logins.may_read(self.user, topic_filter)
        if granted:
            self.filters.add(topic_filter)
        return granted

    def publish(self, topic: str, payload: bytes) -> None:
        """Say something; nobody tells whether it was allowed."""
        if len(payload) > MESSAGE_MAX_BYTES:
            self.end(politely=False)
        elif self.open and self._broker.logins.may_publish(self.user, topic):
            self._broker.deliver(topic, payload)

    async def receive(self) -> tuple[str, bytes]:
        """Return the next message. Raises LinkCut."""
        while not self._queue:
            if not self.open:
                raise LinkCut(self.user)
            self._news.clear()
            await self._news.wait()
        return self._queue.popleft()

    def take(self, topic: str, payload: bytes) -> None:
        """The broker's side: queue a message for this client."""
        self._queue.append((topic, payload))
        self._news.set()

    def end(self, *, politely: bool) -> None:
        """Close; without a good-bye the last will is said."""
        if self.open:
            self.open = False
            self._news.set()
            self._broker.forget(self, say_will=not politely)


class FakeBroker:
    """The broker itself. `cut` and `heal` are its crash and return; `fate` loses and doubles."""

    def __init__(self) -> None:
        self.logins = Logins(CENTRAL, CENTRAL)
        self.standing = True
        self.fate: Fate = lambda topic, payload: 1
        self.delivered = 0
        self._links: dict[str, Link] = {}
        self._changes: dict[asyncio.Event, None] = {}  # in order, so that runs repeat

    def connect(self, user: str, password: str, *, will: tuple[str, bytes] | None = None) -> Link:
        """Let a client in; an older connection of the same user ends. Raises NotLetIn."""
        if not self.standing or not self.logins.knows(user, password):
            raise NotLetIn(user)
        if will is not None and not self.logins.may_publish(user, will[0]):
            raise NotLetIn(user)
        older = self._links.get(user)
        if older is not None:
            older.end(politely=False)
        link = self._links[user] = Link(self, user, will)
        return link

    def deliver(self, topic: str, payload: bytes) -> None:
        """Give a message to everybody who subscribed to it, as often as its fate says."""
        for link in self.candidates(topic):
            if any(matches(topic, one) for one in link.filters):
                for _ in range(self.fate(topic, payload)):
                    link.take(topic, payload)
                    self.delivered += 1

    def candidates(self, topic: str) -> list[Link]:
        """Return the links among which those are that have subscribed to a topic."""
        return list(self._links.values())

    def forget(self, link: Link, *, say_will: bool) -> None:
        """A link has ended."""
        if self._links.get(link.user) is link:
            del self._links[link.user]
        if say_will and link.will is not None and self.standing:
            self.deliver(*link.will)
        self.changed()

    def cut_user(self, user: str) -> None:
        """End one client's connection from our side."""
        link = self._links.get(user)
        if link is not None:
            link.end(politely=False)

    def cut(self) -> None:
        """Crash: everybody's connection ends and nobody comes in."""
        self.standing = False
        for link in list(self._links.values()):
            link.end(politely=False)

    def heal(self) -> None:
        self.standing = True
        self.changed()

    def changed(self) -> None:
        """Tell those who wait outside that it may be worth another try."""
        for event in list(self._changes):
            event.set()

    async def wait_for_change(self) -> None:
        event = asyncio.Event()
        self._changes[event] = None
        try:
            await event.wait()
        finally:
            self._changes.pop(event, None)


class FakeBus:
    """The central's side: `pilotage.central.ports.Bus`."""

    def __init__(self, broker: FakeBroker) -> None:
        self.faults = 0
        self._broker = broker
        self._link: Link | None = None

    @property
    def up(self) -> bool:
        return self._link is not None and self._link.open

    @property
    def url(self) -> str:
        return "mqtt://fake:1883"

    def counts(self) -> dict[str, int]:
        return {"faults": self.faults}

    def publish(self, topic: str, payload: bytes) -> None:
        if self._link is not None:
            self._link.publish(topic, payload)

    async def add_login(self, community: str, pilot: str, password: str) -> None:
        self._broker.logins.add(community, pilot, password)
        self._broker.changed()

    async def remove_login(self, community: str, pilot: str) -> None:
        if self._broker.logins.remove(community, pilot):
            self._broker.cut_user(pilot)

    async def run(self, inbound: Inbound) -> None:
        while True:
            self._link = await enter(self._broker, CENTRAL, CENTRAL, topics.all_up())
            try:
                while True:
                    await self._give(inbound, *await self._link.receive())
            except LinkCut:
                continue
            finally:
                self._link.end(politely=True)

    async def _give(self, inbound: Inbound, topic: str, payload: bytes) -> None:
        try:
            await inbound(topic, payload)
        except HANDLER_FAULTS:
            self.faults += 1


class FakePilotBus:
    """A pilot's side: `pilotage.pilot.ports.Bus`."""

    def __init__(self, broker: FakeBroker, community: str, pilot: str, login: BrokerLogin) -> None:
        self._broker, self._login = broker, login
        self._down = topics.down(community, pilot)
        self._will = topics.up(community, pilot, topics.TopicKind.WILL)
        self._link: Link | None = None

    @property
    def up(self) -> bool:
        return self._link is not None and self._link.open

    def publish(self, topic: str, payload: bytes) -> None:
        if self._link is not None:
            self._link.publish(topic, payload)

    async def run(
        self, inbound: Callable[[bytes], Awaitable[None]], changed: Callable[[bool], None]
    ) -> None:
        while True:
            self._link = await enter(
                self._broker,
                self._login.user,
                self._login.password,
                self._down,
                will=(self._will, b"{}"),
            )
            changed(True)
            try:
                while True:
                    await inbound((await self._link.receive())[1])
            except LinkCut:
                changed(False)
            finally:
                self._link.end(politely=True)


async def enter(
    broker: FakeBroker,
    user: str,
    password: str,
    topic_filter: str,
    *,
    will: tuple[str, bytes] | None = None,
) -> Link:
    """Come in and subscribe, as soon as the broker lets us."""
    while True:
        try:
            link = broker.connect(user, password, will=will)
        except NotLetIn:
            await broker.wait_for_change()
            continue
        link.subscribe(topic_filter)
        return link


def matches(topic: str, topic_filter: str) -> bool:
    """Say whether a topic falls under a filter (MQTT 3.1.1, section 4.7)."""
    ours, wanted = topic.split("/"), topic_filter.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(ours) or level not in ("+", ours[index]):
            return False
    return len(ours) == len(wanted)
