"""MQTT 3.1.1 on many connections, as lean as it can be: QoS 0 both ways."""

import asyncio
from collections.abc import Callable, Sequence

ALIVE_S = 300
_CONNACK, _PUBLISH, _SUBACK = 0x20, 0x30, 0x90


class Refused(Exception):
    """The broker let a connection not in: the bench is void."""


class Link(asyncio.Protocol):
    """One connection of one login."""

    def __init__(self, user: str, password: str, heard: Callable[[bytes, bytes], None]) -> None:
        self._user, self._password, self._heard = user, password, heard
        self._held = b""
        self._transport: asyncio.WriteTransport | None = None
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self._topics: Sequence[str] = ()

    async def open(self, port: int, topics: Sequence[str]) -> None:
        """Connect, and hear these topics. Raises Refused, OSError, TimeoutError."""
        self._topics = topics
        async with asyncio.timeout(60):
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)
            await self.ready

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def publish(self, topic: bytes, payload: bytes) -> None:
        assert self._transport is not None
        self._transport.write(packet(_PUBLISH, text(topic) + payload))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        assert self._transport is not None
        said = text(b"MQTT") + b"\x04\xc2" + ALIVE_S.to_bytes(2, "big")
        said += text(self._user.encode()) * 2 + text(self._password.encode())
        self._transport.write(packet(0x10, said))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(Refused(f"{self._user} was cut off: {exc}"))

    def data_received(self, data: bytes) -> None:
        if self._held:
            data = self._held + data
        at = 0
        while True:
            length, size, shift = 0, at + 1, 0
            while size < len(data):
                octet = data[size]
                size += 1
                length |= (octet & 0x7F) << shift
                shift += 7
                if octet < 0x80:
                    break
            else:
                break
            if len(data) < size + length:
                break
            self._take(data[at] & 0xF0, data[size : size + length])
            at = size + length
        self._held = data[at:]

    def _take(self, kind: int, body: bytes) -> None:
        if kind == _PUBLISH:
            end = 2 + int.from_bytes(body[:2], "big")
            self._heard(body[2:end], body[end:])
        elif kind == _CONNACK:
            if body[1]:
                self.ready.set_exception(Refused(f"{self._user}: the broker says {body[1]}"))
                return
            wanted = b"".join(text(topic.encode()) + b"\0" for topic in self._topics)
            assert self._transport is not None
            self._transport.write(packet(0x82, b"\0\1" + wanted))
        elif kind == _SUBACK and not self.ready.done():
            if any(code >= 128 for code in body[2:]):
                self.ready.set_exception(Refused(f"{self._user} may not subscribe"))
            else:
                self.ready.set_result(None)


def text(word: bytes) -> bytes:
    """Return a text as MQTT has it."""
    return len(word).to_bytes(2, "big") + word


def packet(kind: int, body: bytes) -> bytes:
    """Return a packet."""
    length, head = len(body), bytearray((kind,))
    while True:
        length, octet = length >> 7, length & 0x7F
        head.append(octet | (0x80 if length else 0))
        if not length:
            return bytes(head) + body
