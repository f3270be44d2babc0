"""The central's connection to a broker, through aiomqtt (formerly asyncio-mqtt).

This module does three things that aiomqtt leaves to its caller: it reconnects, limits the queues,
and checks the broker's answer to a subscription.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import aiomqtt

from ..errors import Refused
from ..observe.events import Log
from ..ports import Clock, Inbound, Randomness
from .address import Address, BusTimeouts
from .errors import SubscriptionRefused

# Exceptions of an inbound handler that do not end the connection. Any other one is a bug.
HANDLER_FAULTS = (Refused, ValueError, TimeoutError)


@dataclass
class Traffic:
    """Counters of messages and connections."""

    received: int = 0
    sent: int = 0
    dropped_in: int = 0  # the inbox was full, and its oldest message was dropped
    dropped_out: int = 0  # the outbound queue was full, and its oldest message was dropped
    lost_down: int = 0  # published while there was no connection
    faults: int = 0  # messages that the handler refused
    connections: int = 0


class Inbox(asyncio.Queue[aiomqtt.Message]):
    """A bounded queue of received messages. If it is full, its oldest message is dropped."""

    def __init__(self, size_max: int, traffic: Traffic) -> None:
        super().__init__(maxsize=size_max)
        self._traffic = traffic

    def put_nowait(self, item: aiomqtt.Message) -> None:
        if self.full():
            self.get_nowait()
            self._traffic.dropped_in += 1
        super().put_nowait(item)


class BusConnection:
    """A connection that reconnects by itself. It uses QoS 0, since messages are only hints."""

    def __init__(
        self,
        address: Address,
        filters: Sequence[str],
        *,
        clock: Clock,
        randomness: Randomness,
        log: Log,
        patience: BusTimeouts | None = None,
        queue_max: int = 10_000,
        greet: Callable[[], None] | None = None,
    ) -> None:
        self.traffic = Traffic()
        self._address, self._filters = address, tuple(filters)
        self._clock, self._randomness, self._log = clock, randomness, log
        self._patience = patience or BusTimeouts()
        self._queue_max = queue_max
        self._greet = greet  # called after each connect
        self._outbound: deque[tuple[str, bytes]] = deque()
        self._to_send = asyncio.Event()
        self._up = self._ending = self._told_down = False

    @property
    def up(self) -> bool:
        """Whether the connection is up, and the broker granted its subscriptions."""
        return self._up

    def publish(self, topic: str, payload: bytes) -> None:
        """Queue a message without waiting. Without a connection the message is lost."""
        if not self._up:
            self.traffic.lost_down += 1
            return
        if len(self._outbound) >= self._queue_max:
            self._outbound.popleft()
            self.traffic.dropped_out += 1
        self._outbound.append((topic, payload))
        self._to_send.set()

    async def run(self, inbound: Inbound) -> None:
        """Connect, and reconnect, until cancelled. Pass every message to `inbound`."""
        self._ending = False
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._connect_again(inbound))
            try:
                await asyncio.Event().wait()
            finally:
                self._ending = True

    async def _connect_again(self, inbound: Inbound) -> None:
        failures = 0
        while True:
            self._end_if_asked()
            began = self._clock.monotonic()
            try:
                await self._live(inbound)
            except* (aiomqtt.MqttError, OSError, TimeoutError, SubscriptionRefused) as group:
                if not self._told_down:  # once for each outage, however long it lasts
                    self._log("bus_down", url=self._address.url, why=_reason(group))
                self._told_down = True
            if self._clock.monotonic() - began > self._patience.back_off_max_s:
                failures = 0
            failures += 1
            longest_s = self._patience.longest_wait_s(failures)
            await self._clock.sleep(self._randomness.uniform(0.0, longest_s))

    def _end_if_asked(self) -> None:
        """Raise CancelledError if a cancellation may have been lost.

        aiomqtt waits with asyncio.wait_for. Before Python 3.12 that loses a cancellation which
        arrives together with its result; the central would then never end.
        """
        if self._ending:
            raise asyncio.CancelledError

    async def _live(self, inbound: Inbound) -> None:
        """Keep one connection until it breaks. It ends only by an exception."""
        inbox = Inbox(self._queue_max, self.traffic)
        async with self._client(inbox) as client:
            await self._subscribe(client)
            self._end_if_asked()
            self._up, self._told_down = True, False
            self.traffic.connections += 1
            self._log("bus_up", url=self._address.url)
            if self._greet is not None:
                self._greet()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._send(client))
                    tasks.create_task(self._receive(client, inbox, inbound))
            finally:
                self._up = False
                self._outbound.clear()

    def _client(self, inbox: Inbox) -> aiomqtt.Client:
        return aiomqtt.Client(
            self._address.host,
            self._address.port,
            username=self._address.user,
            password=self._address.password,
            # Random, because some brokers let a client take over another one's guessed client id.
            identifier=f"central-{self._randomness.token(12)}",
            tls_context=self._address.tls,
            timeout=self._patience.connect_s,
            keepalive=self._patience.keepalive_s,
            # aiomqtt expects a class, and calls it once; this returns our own queue instead.
            queue_type=cast("type[asyncio.Queue[aiomqtt.Message]]", lambda maxsize: inbox),  # pyright: ignore[reportUnknownLambdaType]
            # Without it, a small message waits up to 40 ms for the previous acknowledgement.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        for topic_filter in self._filters:
            granted = await client.subscribe(topic_filter, qos=0, timeout=self._patience.connect_s)
            for code in granted:
                if code >= 128 if isinstance(code, int) else code.is_failure:
                    raise SubscriptionRefused(topic_filter)

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            while self._outbound:
                topic, payload = self._outbound.popleft()
                await client.publish(topic, payload, qos=0, timeout=self._patience.send_s)
                self._end_if_asked()
                self.traffic.sent += 1

    async def _receive(self, client: aiomqtt.Client, inbox: Inbox, inbound: Inbound) -> None:
        async for message in client.messages:
            await self._give(message, inbound)
            while not inbox.empty():  # waking up costs more than a message, so read all of them
                await self._give(inbox.get_nowait(), inbound)

    async def _give(self, message: aiomqtt.Message, inbound: Inbound) -> None:
        if message.retain:
            # A retained heartbeat would renew the leases of a pilot that may be dead.
            self.traffic.faults += 1
            return
        self.traffic.received += 1
        try:
            await inbound(message.topic.value, message.payload)
        except HANDLER_FAULTS as why:
            self.traffic.faults += 1
            self._log("refused", code="fault", message=str(why), where=message.topic.value)


def _reason(group: BaseExceptionGroup[BaseException]) -> str:
    why = group.exceptions[0]
    return str(why) or type(why).__name__
