"""Packets cut out of a stream: whole, bounded, and cleared of what nobody may send."""

import asyncio

import pytest
from hypothesis import given, strategies as some

from pilotage.central.bus.frames import BadPacket, PacketReader, cleared, take


def publish(topic: bytes, payload: bytes, *, flags: int = 0) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + payload
    length = bytearray()
    rest = len(body)
    while True:
        rest, low = rest >> 7, rest & 0x7F
        length.append(low | (0x80 if rest else 0))
        if not rest:
            return bytes([0x30 | flags]) + bytes(length) + body


@given(
    packets=some.lists(some.binary(max_size=300).map(lambda body: publish(b"t", body)), max_size=5),
    step=some.integers(min_value=1, max_value=50),
)
def test_packets_come_out_whole_however_they_arrive(packets: list[bytes], step: int) -> None:
    stream = b"".join(packets)
    arrived, found = bytearray(), list[bytes]()
    for at in range(0, len(stream), step):
        arrived += stream[at : at + step]
        while (packet := take(arrived, 1000)) is not None:
            found.append(packet)

    assert found == packets
    assert not arrived


def test_a_packet_over_the_limit_is_refused_by_its_length_alone() -> None:
    with pytest.raises(BadPacket, match="2000 bytes"):
        take(bytearray(publish(b"t", bytes(1997))[:3]), 1000)


def test_a_length_of_five_bytes_is_refused() -> None:
    with pytest.raises(BadPacket):
        take(bytearray([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]), 1000)


def test_the_retain_flag_is_taken_off() -> None:
    assert cleared(publish(b"a/b", b"x", flags=1)) == publish(b"a/b", b"x")


@pytest.mark.parametrize("topic", [b"", b"a/+", b"#", b"a\0b", b"\xff\xfe"])
def test_a_topic_that_is_no_topic_ends_the_connection(topic: bytes) -> None:
    with pytest.raises(BadPacket):
        cleared(publish(topic, b"x"))


def test_a_topic_longer_than_its_packet_ends_the_connection() -> None:
    with pytest.raises(BadPacket):
        cleared(bytes([0x30, 4, 0, 200]) + b"ab")


@pytest.mark.parametrize("first", [b"\x10", b"\x20", b"\x00", b"\xf0"])
async def test_what_is_not_for_clients_to_say_is_known_by_its_first_byte(first: bytes) -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(first)

    with pytest.raises(BadPacket, match="packet type"):
        await PacketReader(stream).next(1000)


async def test_a_cancelled_read_loses_nothing() -> None:
    stream = asyncio.StreamReader()
    packets = PacketReader(stream)
    whole = publish(b"t", b"payload")
    stream.feed_data(whole[:5])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await packets.next(1000)
    stream.feed_data(whole[5:])

    assert await packets.next(1000) == whole


async def test_the_end_of_the_stream_is_a_reset() -> None:
    stream = asyncio.StreamReader()
    stream.feed_eof()

    with pytest.raises(ConnectionResetError):
        await PacketReader(stream).next(1000)
