"""Slow, half-open and oversized peers: memory stays bounded, and everybody else is served.

Hundreds of each kind at once, on the HTTP port and on both brokers.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from pilotage.central.client import AsyncClient
from pilotage.central.http.connection import AHEAD_MAX
from tests.acceptance.running import RunningCentral, eventually, running_central
from tests.services.mosquitto import missing

from .campaign import a_broker, many_files, unforeseen
from .crowd import percentile

FEW, MANY = 100, 2_000
HOLD_S, HOLD_LONG_S = 2.0, 60.0
MORE_MB = 20.0  # of the central itself, which works meanwhile
SERVED_S = 2.0  # what a request may take beside them, at the 99th percentile
PARTS: Final = 64

Say = Callable[[asyncio.StreamReader, asyncio.StreamWriter, str], Awaitable[None]]


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: str) -> None:
    await asyncio.sleep(3_600)


async def drips_its_head(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: str
) -> None:
    writer.write(b"GET /v1/health HTTP/1.1\r\nhost: x\r\nx-slow: ")
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.5)


async def endless_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: str) -> None:
    writer.write(b"GET /v1/health HTTP/1.1\r\n")
    for _part in range(PARTS):
        writer.write(b"x-%d: " % _part + b"a" * (1 << 16) + b"\r\n")
        await writer.drain()


async def half_a_body(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str
) -> None:
    writer.write(_head("POST", "/v1/submissions", token, 1_000_000) + b"[" * 500_000)
    await writer.drain()
    await asyncio.sleep(3_600)


async def a_hundred_gigabytes(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str
) -> None:
    writer.write(_head("POST", "/v1/submissions", token, 100_000_000_000))
    for _part in range(PARTS):
        writer.write(bytes(1 << 16))
        await writer.drain()


async def a_stranger_with_a_large_body(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: str
) -> None:
    await half_a_body(reader, writer, "no.token.of.ours")


async def takes_no_answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str
) -> None:
    writer.write(_head("GET", "/openapi.json", token, 0) * AHEAD_MAX)
    await writer.drain()
    await asyncio.sleep(3_600)


async def asks_hundreds_ahead(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: str
) -> None:
    for _part in range(PARTS):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 300)
        await writer.drain()


def _head(method: str, path: str, token: str, length: int) -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
        f"content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


async def an_endless_packet(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: str
) -> None:
    writer.write(b"\x10\xff\xff\xff\x7f")  # CONNECT of 256 MB
    for _part in range(PARTS):
        writer.write(bytes(1 << 16))
        await writer.drain()


async def half_a_packet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: str) -> None:
    writer.write(b"\x10\x80\x20\x00\x04MQTT")
    await writer.drain()
    await asyncio.sleep(3_600)


# what each may cost the server, in kB: its connection, and what it has sent or has not taken
OF_HTTP: Final[dict[Say, int]] = {
    says_nothing: 40,
    drips_its_head: 40,
    endless_head: 150,
    half_a_body: 1_100,  # a body of less than 1 MiB stands in memory, of those who have a token
    a_hundred_gigabytes: 250,
    a_stranger_with_a_large_body: 250,
    takes_no_answer: 1_100,  # one answer
    asks_hundreds_ahead: 150,
}
OF_MQTT: Final[dict[Say, int]] = {says_nothing: 40, an_endless_packet: 100, half_a_packet: 40}


@dataclass(frozen=True)
class Peers:
    """Where bad peers go."""

    port: int
    token: str

    async def come(self, say: Say) -> None:
        """Connect, say it, and stay or be thrown out."""
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                await say(reader, writer, self.token)
                await reader.read()
            finally:
                writer.close()


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def besiege(
    central: RunningCentral, ports: dict[int, dict[Say, int]], count: int, hold_s: float, pid: int
) -> None:
    """Let `count` peers of each kind come, hold on for so long, and look at memory and service."""
    token = (central.data / "admin.token").read_text().strip()
    bound_mb = MORE_MB + count * sum(sum(kinds.values()) for kinds in ports.values()) / 1e3
    took_s: list[float] = []
    async with AsyncClient(central.url, token) as client, asyncio.TaskGroup() as tasks:
        await client.health()
        before_mb = resident_mb(pid)
        peers = [
            tasks.create_task(Peers(port, token).come(say))
            for port, kinds in ports.items()
            for say in kinds
            for _ in range(count)
        ]
        await asyncio.sleep(1.0)  # this process, which plays them all, is busy with their coming
        until = time.monotonic() + hold_s
        most_mb = before_mb
        while time.monotonic() < until:
            began = time.monotonic()
            await client.health()
            took_s.append(time.monotonic() - began)
            most_mb = max(most_mb, resident_mb(pid))
            await asyncio.sleep(0.05)
        for peer in peers:
            peer.cancel()
        await asyncio.wait(peers)
        await asyncio.sleep(0.1)
    slow_s = percentile(took_s, 0.99)
    print(
        f"{len(peers)} peers: {before_mb:.0f} MB and {most_mb - before_mb:.0f} of {bound_mb:.0f}, "
        f"p99 {slow_s:.2f} s"
    )

    assert most_mb - before_mb < bound_mb
    assert slow_s < SERVED_S
    assert unforeseen(central.log) == []


@contextmanager
def a_central(folder: Path, options: dict[str, str]) -> Generator[RunningCentral]:
    with many_files(), running_central(folder, options) as central:
        yield central


def _bus_of(central: RunningCentral) -> str:
    bus = central.client.health().bus
    return bus if bus.startswith("mqtt://") else ""


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


async def test_bad_peers_of_the_api_and_the_embedded_broker_cost_little(tmp_path: Path) -> None:
    with a_central(tmp_path, {}) as central:
        bus = await asyncio.to_thread(eventually, lambda: _bus_of(central), what="the bus")
        ports = {_port(central.url): OF_HTTP, _port(bus): OF_MQTT}
        await besiege(central, ports, FEW, HOLD_S, central.process.pid)


@pytest.mark.skipif(bool(missing()), reason=f"needs {missing()}")
async def test_bad_peers_of_mosquitto_cost_little(tmp_path: Path) -> None:
    async with a_broker(tmp_path / "broker") as (broker, options):
        with a_central(tmp_path / "it", options) as central:
            await besiege(central, {broker.port: OF_MQTT}, FEW, HOLD_S, broker.pid)


@pytest.mark.long
@pytest.mark.parametrize("kind", OF_HTTP)
async def test_thousands_of_bad_peers_of_a_kind_cost_little(tmp_path: Path, kind: Say) -> None:
    with a_central(tmp_path, {}) as central:
        ports = {_port(central.url): {kind: OF_HTTP[kind]}}
        await besiege(central, ports, MANY, HOLD_LONG_S, central.process.pid)
