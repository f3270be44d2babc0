"""The message bus over MQTT. It carries hints only: every lost message is repeated over HTTPS.

aiomqtt is imported when a bus is made, so that a pilot without it works, only slower.
"""

import asyncio
import importlib
import importlib.util
import socket
import ssl
import urllib.parse
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Optional

from pilotage.proto import topics
from pilotage.proto.messages import BrokerLogin
from pilotage.proto.tasks import Tasks, time_limit
from pilotage.proto.trust import trusting

from ..events import WriteEvent
from ..heap import give_back
from ..mind.pace import Uniform
from ..ports import BusFactory, Clock, Randomness

if TYPE_CHECKING:
    import aiomqtt

KEEPALIVE_S = 30
PATIENCE_S = 10.0  # for connecting, subscribing and each publication
BACK_OFF_MIN_S, BACK_OFF_MAX_S = 0.5, 30.0
SPREAD_S = 10.0  # all pilots lose a good connection at once when their broker restarts
STAYED_S = 10.0  # a connection that was up for this long was a good one
OUTGOING_MAX = 1_000  # when full, the oldest message is dropped
INCOMING_MAX = 1_000


class NotSubscribed(Exception):
    """The broker does not let the pilot read its own topic."""


class MqttBus:
    """Driver of ports.Bus."""

    def __init__(
        self,
        login: BrokerLogin,
        ca_pem: str,
        community: str,
        pilot: str,
        will: bytes,
        *,
        clock: Clock,
        random: Randomness,
        log: WriteEvent,
    ) -> None:
        self._login, self._pilot, self._will = login, pilot, will
        self._clock, self._random, self._log = clock, random, log
        url = urllib.parse.urlsplit(login.url)
        self._host, secure = url.hostname or "", url.scheme == "mqtts"
        self._port = url.port or (8883 if secure else 1883)
        self._tls: Optional[ssl.SSLContext] = None
        if secure:
            self._tls = trusting(ca_pem=ca_pem)
        self._down = topics.down(community, pilot)
        self._will_topic = topics.up(community, pilot, topics.TopicKind.WILL)
        self._outgoing: deque[tuple[str, bytes]] = deque(maxlen=OUTGOING_MAX)
        self._waiting: Optional[asyncio.Event] = None
        self._up = False
        self._up_since = 0.0
        self._leaving = False

    @property
    def up(self) -> bool:
        return self._up

    def publish(self, topic: str, payload: bytes) -> None:
        if self._up and self._waiting is not None:
            self._outgoing.append((topic, payload))
            self._waiting.set()

    async def run(
        self, inbound: Callable[[bytes], Awaitable[None]], changed: Callable[[bool], None]
    ) -> None:
        await asyncio.get_running_loop().run_in_executor(None, _read_library)
        import aiomqtt

        self._waiting = asyncio.Event()
        failures = 0
        while True:
            stayed = False
            try:
                await self._connected(inbound, changed)
            except (aiomqtt.MqttError, OSError, asyncio.TimeoutError, NotSubscribed) as why:
                if self._leaving:  # the broker was faster; the end of the pilot is what counts
                    raise asyncio.CancelledError from why
                stayed = self._up and self._clock.now() - self._up_since > STAYED_S
                self._say_why(why)
            finally:
                if self._up:
                    self._up = False
                    changed(False)
            failures = 0 if stayed else failures + 1
            await self._clock.sleep(back_off_s(failures, self._random.uniform))

    def _say_why(self, why: BaseException) -> None:
        """Log the end of a connection, or that none was made."""
        reason = f"{type(why).__name__}: {why.__cause__ or why}"
        if self._up:
            self._log("bus_down", {"url": self._login.url, "why": reason})
        else:
            self._log("bus_refused", {"why": reason})

    async def _connected(
        self, inbound: Callable[[bytes], Awaitable[None]], changed: Callable[[bool], None]
    ) -> None:
        """Keep one connection from its start to its end, which is always an exception."""
        import aiomqtt

        client = aiomqtt.Client(
            self._host,
            self._port,
            username=self._login.user,
            password=self._login.password,
            identifier=self._pilot,
            will=aiomqtt.Will(self._will_topic, self._will),
            clean_session=True,
            timeout=PATIENCE_S,
            keepalive=KEEPALIVE_S,
            max_queued_incoming_messages=INCOMING_MAX,
            max_queued_outgoing_messages=OUTGOING_MAX,
            tls_context=self._tls,
            socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
        )
        async with client:
            granted = await client.subscribe(self._down, qos=0)
            if any(_refused(code) for code in granted):
                raise NotSubscribed(f"{self._down} was refused by {self._login.url}")
            self._outgoing.clear()  # older messages were meant for an earlier connection
            self._up, self._up_since = True, self._clock.now()
            self._log("bus_up", {"url": self._login.url})
            changed(True)
            try:
                async with Tasks() as tasks:
                    tasks.start(self._send(client), name="bus out")
                    async for message in client.messages:
                        await inbound(bytes(message.payload))
            except asyncio.CancelledError:
                self._leaving = True
                raise

    async def _send(self, client: "aiomqtt.Client") -> None:
        assert self._waiting is not None
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            while self._outgoing:
                topic, payload = self._outgoing.popleft()
                async with time_limit(PATIENCE_S):
                    await client.publish(topic, payload, qos=0)


def factory(clock: Clock, random: Randomness, log: WriteEvent) -> BusFactory:
    """Return a function that makes a bus once the login is known: None without aiomqtt."""

    def make(
        login: BrokerLogin, ca_pem: str, community: str, pilot: str, will: bytes
    ) -> Optional[MqttBus]:
        if importlib.util.find_spec("aiomqtt") is None:
            return None
        return MqttBus(login, ca_pem, community, pilot, will, clock=clock, random=random, log=log)

    return make


def _read_library() -> None:
    """Import the library of the bus outside the loop, in which payloads start at the same time."""
    importlib.import_module("aiomqtt")
    give_back()


def back_off_s(failures: int, uniform: Uniform) -> float:
    """Return how long to wait after this many failures in a row; 0 after a good connection."""
    most = min(BACK_OFF_MAX_S, 2.0 ** min(failures, 10)) if failures else SPREAD_S
    return uniform(BACK_OFF_MIN_S, most)


def _refused(code: object) -> bool:
    """Return whether a subscription was refused: 0x80 and above, as number or as reason code."""
    value = getattr(code, "value", code)
    return isinstance(value, int) and value >= 0x80
