"""What lies between the central and everybody else: its HTTP application, and a message bus."""

import asyncio
import random
from typing import Any, Final, TypeVar

from pilotage.central.http.app import HttpApp
from pilotage.proto.messages import Registered
from pilotage.proto.wire import decode, encode
from tests.fake_bus import CENTRAL, FakeBroker, FakePilotBus, Link
from tests.fakes import request

T = TypeVar("T")

LOST: Final = 0.01  # of messages on the bus


class RefusedRequest(Exception):
    """The central has answered with another status than 2xx."""


class Line:
    """Requests to a central, each a whole HTTP request, and the bus that pilots share with it."""

    def __init__(self, front: HttpApp, broker: FakeBroker, admin: str) -> None:
        self.broker, self.admin = broker, admin
        self.requests = 0
        self._front = front

    async def ask(self, method: str, path: str, body: bytes, token: str) -> bytes:
        """Return the body of the answer. Raises RefusedRequest."""
        self.requests += 1
        reply = await request(self._front, method, path, body, token)
        if not 200 <= reply.status < 300:
            raise RefusedRequest(f"{method} {path}: {reply.status} {reply.body[:500]!r}")
        return reply.body

    async def post(self, path: str, message: Any, gives: type[T], token: str) -> T:
        """Say something in the words of pilots."""
        return decode(gives, await self.ask("POST", path, encode(message), token))

    def bus(self, me: Registered) -> FakePilotBus:
        """Return a pilot's side of the bus, with the login that the central has given it."""
        assert me.broker is not None, "the central has no bus"
        return FakePilotBus(self.broker, me.community, me.pilot, me.broker)


class YearBroker(FakeBroker):
    """A broker for very many messages: it looks at those alone whom a message may be for."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        chance = random.Random(f"messages of {seed}")
        self.fate = lambda topic, payload: int(chance.random() >= LOST)

    def candidates(self, topic: str) -> list[Link]:
        links = (self._links.get(user) for user in (CENTRAL, topic.split("/")[4]))
        return [link for link in links if link is not None]


async def bus_outages(broker: FakeBroker, away: tuple[tuple[float, float], ...]) -> None:
    """Let the broker be away; `away` has its times from now on, in seconds."""
    begun = asyncio.get_running_loop().time()
    for first, end in away:
        await asyncio.sleep(begun + first - asyncio.get_running_loop().time())
        broker.cut()
        await asyncio.sleep(end - first)
        broker.heal()
