"""MQTT 3.1.1 packets as bytes: cut out of a stream, limited, and freed of forbidden parts.

amqtt parses directly from the socket, trusts every length, lets all clients retain messages, and
loses its place in the stream at a malformed topic. This module cuts out whole packets first.
"""

import asyncio

MESSAGE_MAX_BYTES = 512 * 1024  # a log chunk has 64 kB, or six times that if all is escaped
CONNECT_MAX_BYTES = 8 * 1024  # for user, password, client id and a last will

CONNECT = 1
PUBLISH = 3
SUBSCRIBE = 8
UNSUBSCRIBE = 10
# Packets whose body has a fixed size: the acknowledgements of PUBLISH, PINGREQ, DISCONNECT.
_BODY_BYTES = {4: 2, 5: 2, 6: 2, 7: 2, 12: 0, 14: 0}
# Packets that a connected client may send.
OF_CLIENTS = frozenset({PUBLISH, SUBSCRIBE, UNSUBSCRIBE, *_BODY_BYTES})

BAD_PROTOCOL = 1
NOT_AUTHORISED = 5

_RETAIN = 0x01
QOS_MAX = 2
NUMBER_BYTES = 2  # of a packet identifier


class BadPacket(ConnectionResetError):
    """The bytes are not a packet that a client may send now. amqtt then ends the connection."""


def take(arrived: bytearray, size_max: int) -> bytes | None:
    """Cut the first whole packet out of the received bytes, or return None. Raises BadPacket."""
    length, at = 0, 1
    while True:
        if at >= len(arrived):
            return None
        length |= (arrived[at] & 0x7F) << 7 * (at - 1)
        if arrived[at] < 0x80:
            break
        at += 1
        if at > 4:
            raise BadPacket("a length has more than four bytes")
    if length > size_max:
        raise BadPacket(f"a packet has {length} bytes; at most {size_max} are allowed")
    end = at + 1 + length
    if len(arrived) < end:
        return None
    packet = bytes(arrived[:end])
    del arrived[:end]
    return packet


class PacketReader:
    """Whole packets from a stream. A cancelled `next` loses no received bytes."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._arrived = bytearray()

    async def next(self, size_max: int, kinds: frozenset[int] = OF_CLIENTS) -> bytes:
        """Return the next packet. Raises BadPacket, or ConnectionResetError at the end."""
        while True:
            if self._arrived and self._arrived[0] >> 4 not in kinds:
                raise BadPacket(
                    f"packet type {self._arrived[0] >> 4} is not for clients, or not now"
                )
            packet = take(self._arrived, size_max)
            if packet is not None:
                return packet
            more = await self._reader.read(64 * 1024)
            if not more:
                raise ConnectionResetError("the client closed the connection")
            self._arrived += more


def cleared(packet: bytes) -> bytes:
    """Return the packet with its retain flag cleared and its topics checked.

    Raises BadPacket for an invalid topic, surplus bytes or a missing part. amqtt would take surplus
    bytes for the next packet, and missing bytes from it.
    """
    kind, at = packet[0] >> 4, 1
    while packet[at] >= 0x80:
        at += 1
    at += 1  # the end of the fixed header
    if kind == PUBLISH:
        name = _text(packet, at)
        if not name or any(mark in name for mark in b"+#\0"):
            raise BadPacket("the topic is invalid")
        qos = packet[0] >> 1 & 3
        if qos > QOS_MAX:
            raise BadPacket("the quality of service is 3")
        if at + 2 + len(name) + (NUMBER_BYTES if qos else 0) > len(packet):
            raise BadPacket("the packet identifier is missing")
        return bytes([packet[0] & ~_RETAIN]) + packet[1:]
    if kind in (SUBSCRIBE, UNSUBSCRIBE):
        at += NUMBER_BYTES
        if at >= len(packet):
            raise BadPacket("the list of topics is empty")
        while at < len(packet):
            at += 2 + len(_text(packet, at))
            if kind == SUBSCRIBE:
                if at >= len(packet) or packet[at] > QOS_MAX:
                    raise BadPacket("a topic has no quality of service from 0 to 2")
                at += 1
    elif len(packet) - at != _BODY_BYTES[kind]:
        raise BadPacket(f"a packet of type {kind} has a body of {len(packet) - at} bytes")
    return packet


def _text(packet: bytes, at: int) -> bytes:
    """Return the text at a position. Raises BadPacket if it is incomplete or not UTF-8.

    amqtt miscounts the bytes of a text that is not UTF-8.
    """
    start = at + 2
    end = start + int.from_bytes(packet[at:start], "big")
    text = packet[start:end]
    try:
        text.decode()
    except UnicodeDecodeError:
        raise BadPacket("a topic is not UTF-8") from None
    if end > len(packet):
        raise BadPacket("a topic ends too early")
    return text


def refusal(code: int) -> bytes:
    """Return the CONNACK that refuses a client."""
    return bytes([0x20, 2, 0, code])
