"""The entrance of the embedded broker: sockets, first packets, timeouts and sizes.

This protects amqtt, which has these weaknesses:

- It acts on a CONNECT before it checks the sender: it drops the session of the given client id.
- It sends last wills without checking that the topic belongs to the sender.
- It waits without limit for a silent client, and queues without limit for a slow one.

Clients therefore connect to this door first. Accepted clients reach amqtt under a client id that
is their user name.
"""

# pyright: reportMissingTypeStubs=false

import asyncio
import socket
import ssl
from collections.abc import Callable

from amqtt.adapters import BufferReader, ReaderAdapter, WriterAdapter
from amqtt.broker import Broker
from amqtt.errors import AMQTTError, CodecError, MQTTError, NoDataError, ProtocolHandlerError
from amqtt.mqtt.connect import ConnectPacket

from ..anonymous_connections import PART, AnonymousConnection, AnonymousConnections
from ..observe.events import Log
from ..ports import Clock
from . import frames
from .errors import EntryRefused
from .logins import Logins

LISTENER = "default"
FIRST_PACKET_S = 10.0
CROWDED_FIRST_PACKET_S = 2.0  # while more than half of all connections are in use
CLOSE_S = 5.0
END_S = 1.0  # time for amqtt to end a session whose client has gone
LINKS_MAX = 1000
BACKLOG_MAX_BYTES = 4 * 1024 * 1024  # unread bytes after which a client is cut off
KEEPALIVE_MAX_S = 600  # also for clients that promise no keep-alive

# Exceptions that a broken or hostile client can cause in amqtt.
CLIENT_FAULTS = (
    AMQTTError, MQTTError, CodecError, NoDataError, ProtocolHandlerError,
    OSError, EOFError, TimeoutError, ValueError, asyncio.QueueEmpty,
)  # fmt: skip


class ClientReader(ReaderAdapter):
    """Passes checked packets to amqtt one by one, and ends the stream after a bad one."""

    def __init__(
        self,
        packets: frames.PacketReader,
        first: bytes,
        *,
        clock: Clock,
        silence_max_s: float,
        end: Callable[[], None],
    ) -> None:
        self._packets, self._clock, self._silence_max_s = packets, clock, silence_max_s
        self._end = end  # called once no more packets will come
        self._packet, self._at = first, 0
        self._heard = clock.monotonic()
        self._over = False

    async def read(self, n: int = -1) -> bytes:
        if self._at >= len(self._packet):
            self._packet, self._at = await self._next(), 0
        if not 0 <= n <= len(self._packet) - self._at:
            self._finish()  # the length given in the packet is wrong
            raise frames.BadPacket("a packet ends too early")
        self._at += n
        return self._packet[self._at - n : self._at]

    async def _next(self) -> bytes:
        # amqtt starts a new read after each keep-alive, so this check runs at least as often.
        if self._over or self._clock.monotonic() - self._heard > self._silence_max_s:
            self._finish()
            raise ConnectionResetError("the client was silent for too long, or sent a bad packet")
        try:
            packet = frames.cleared(await self._packets.next(frames.MESSAGE_MAX_BYTES))
        except OSError:  # includes BadPacket
            self._finish()
            raise
        self._heard = self._clock.monotonic()
        return packet

    def feed_eof(self) -> None:
        self._finish()

    def stop(self) -> None:
        """Stop without calling `end`."""
        self._over = True

    def _finish(self) -> None:
        if not self._over:
            self._over = True
            self._end()


class ClientWriter(WriterAdapter):
    """Writes without waiting. A client that does not read is cut off."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def write(self, data: bytes) -> None:
        if self._writer.is_closing():
            return
        if self._writer.transport.get_write_buffer_size() > BACKLOG_MAX_BYTES:
            self._writer.transport.abort()
            return
        self._writer.write(data)

    async def drain(self) -> None:
        return

    def get_peer_info(self) -> tuple[str, int] | None:
        peer = self._writer.get_extra_info("peername")
        return (peer[0], peer[1]) if peer else None

    def get_ssl_info(self) -> ssl.SSLObject | None:
        found: ssl.SSLObject | None = self._writer.get_extra_info("ssl_object")
        return found

    async def close(self) -> None:
        hang_up(self._writer)


def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close after the written bytes were sent, or by force if that takes too long.

    The caller does not wait: amqtt cancels its own closing, and a stream's `wait_closed` does not
    survive that.
    """
    writer.close()
    if writer.transport.get_write_buffer_size():
        asyncio.get_running_loop().call_later(CLOSE_S, writer.transport.abort)


class BrokerListener:
    """Listens, checks the clients, and passes accepted ones to amqtt."""

    def __init__(self, broker: Broker, logins: Logins, *, clock: Clock, log: Log) -> None:
        self._broker, self._logins = broker, logins
        self._clock, self._log = clock, log
        self.broken = 0  # clients that ended without a DISCONNECT
        self._server: asyncio.Server | None = None
        self._inside: dict[str, asyncio.StreamWriter] = {}
        self._links: set[asyncio.StreamWriter] = set()  # including clients not accepted yet
        self._strangers = AnonymousConnections(max(1, LINKS_MAX // PART))
        self._empty = asyncio.Event()
        self._empty.set()

    async def open(self, listening: socket.socket) -> None:
        """Accept clients on this socket from now on. The door closes the socket."""
        self._server = await asyncio.start_server(self._enter, sock=listening)

    async def close(self) -> None:
        """Stop listening, disconnect all clients and wait until their handlers have ended."""
        if self._server is not None:
            self._server.close()
        for writer in self._links:
            writer.transport.abort()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._empty.wait()
        except TimeoutError:
            self._log(
                "loop_failed", loop="bus door", error=f"{len(self._links)} clients do not end"
            )

    def cut(self, user: str) -> None:
        """Disconnect this user at once."""
        writer = self._inside.pop(user, None)
        if writer is not None:
            writer.transport.abort()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.add(writer)
        self._empty.clear()
        peer = writer.get_extra_info("peername")
        stranger = self._strangers.come(peer[0] if peer else "")
        try:
            if stranger is not None and len(self._links) <= LINKS_MAX:
                await self._serve(reader, writer, stranger)
        except EntryRefused as why:
            writer.write(frames.refusal(why.code))
            self._log("refused", code="bad_token", message=str(why), where="bus")
        except CLIENT_FAULTS:
            self.broken += 1
        finally:
            if stranger is not None:
                stranger.end()
            hang_up(writer)
            self._links.discard(writer)
            if not self._links:
                self._empty.set()

    async def _serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        stranger: AnonymousConnection,
    ) -> None:
        packets = frames.PacketReader(reader)
        is_crowded = 2 * len(self._links) > LINKS_MAX
        async with asyncio.timeout(CROWDED_FIRST_PACKET_S if is_crowded else FIRST_PACKET_S):
            first = await packets.next(frames.CONNECT_MAX_BYTES, frozenset({frames.CONNECT}))
        connect = await self._examined(first)
        stranger.end()  # the login is valid
        user = str(connect.username)
        self.cut(user)  # the same pilot connects again: its older connection is of no use
        self._inside[user] = writer
        try:
            await self._within(packets, connect, writer)
        finally:
            if self._inside.get(user) is writer:
                del self._inside[user]

    async def _within(
        self, packets: frames.PacketReader, connect: ConnectPacket, writer: asyncio.StreamWriter
    ) -> None:
        """Let amqtt serve a client until it ends.

        amqtt would wait for ever if the client leaves during the start, so a timeout ends it then.
        """
        now = asyncio.get_running_loop().time
        async with asyncio.timeout(None) as patience:
            inflow = ClientReader(
                packets,
                connect.to_bytes(),
                clock=self._clock,
                silence_max_s=1.5 * connect.keep_alive,
                end=lambda: patience.reschedule(now() + END_S),
            )
            try:
                await self._broker.external_connected(inflow, ClientWriter(writer), LISTENER)
            finally:
                inflow.stop()

    async def _examined(self, first: bytes) -> ConnectPacket:
        """Check the first packet, and return it in the form for amqtt.

        Raises EntryRefused, or one of CLIENT_FAULTS.
        """
        connect = await ConnectPacket.from_stream(BufferReader(first))
        if connect.proto_name != "MQTT" or connect.proto_level != 4:
            raise EntryRefused(frames.BAD_PROTOCOL, f"MQTT level {connect.proto_level}, not 4")
        user, password = connect.username, connect.password
        if not user or password is None or not self._logins.knows(user, password):
            raise EntryRefused(frames.NOT_AUTHORISED, f"unknown login {user!r}")
        if connect.will_flag and not self._logins.may_publish(user, str(connect.will_topic)):
            raise EntryRefused(frames.NOT_AUTHORISED, f"last will of {user!r} on another's topic")
        connect.client_id = user
        connect.clean_session_flag = True
        connect.will_retain_flag = False
        connect.keep_alive = min(connect.keep_alive or KEEPALIVE_MAX_S, KEEPALIVE_MAX_S)
        return connect
