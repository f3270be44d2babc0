"""The port of a process that does not lead, on real sockets: the central's limits, and its end."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import uvloop

from pilotage.central.http import standby
from pilotage.central.http.body import LARGE_MAX
from pilotage.central.http.connection import HEAD_MAX
from pilotage.central.http.forwarding import MARK, LeaderLink
from pilotage.central.http.standby import StandbyServer
from pilotage.central.observe.events import no_log
from pilotage.pilot.clock import BootClock
from pilotage.pilot.talk.requests import Requests
from pilotage.proto.messages import FOLLOWS
from pilotage.proto.trust import trusting
from tests.certificates import self_signed
from tests.fakes import LoopClock
from tests.integration.test_pilot_api import api, served

PATIENCE_S = 5.0
HASH = "0" * 64
ENDS_S = 0.5  # with room for a slow machine; a peer that is waited for takes seconds
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


class Standby:
    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        pem: Path | None,
        leader: str = "https://leader",
        passed_bytes_max: int = LARGE_MAX,
    ) -> None:
        certificate = str(pem or "")
        self.elsewhere = LeaderLink(lambda: leader, no_log, passed_bytes_max=passed_bytes_max)
        self.server = StandbyServer(
            host="127.0.0.1",
            port=0,
            tls_certificate=certificate,
            tls_key=certificate,
            leader=lambda: leader,
            leader_link=self.elsewhere,
            clock=LoopClock(),
            connections_max=16,
        )
        self.address = ("127.0.0.1", self.server.port)
        self.task = tasks.create_task(self.server.run())

    async def end(self) -> float:
        """Take over; return how long that took."""
        began = time.monotonic()
        self.task.cancel()
        await asyncio.wait([self.task])
        return time.monotonic() - began

    async def raw(self, *parts: bytes, source: str = "127.0.0.1") -> bytes:
        """Send bytes as they are; return what comes until the server closes, or pauses."""
        reader, writer = await asyncio.open_connection(*self.address, local_addr=(source, 0))
        said = b""
        with suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
            async with asyncio.timeout(PATIENCE_S):
                said = await reader.read(4_096)
        writer.close()
        return said


@asynccontextmanager
async def standing_by(
    pem: Path | None = None,
    leader: str = "https://leader",
    passed_bytes_max: int = LARGE_MAX,
) -> AsyncGenerator[Standby]:
    async with asyncio.TaskGroup() as tasks:
        standby = Standby(tasks, pem, leader, passed_bytes_max)
        try:
            yield standby
        finally:
            await standby.end()
            standby.server.listener.close()
            await standby.elsewhere.close()


def _shaken(connection: socket.socket, pem: Path) -> ssl.SSLSocket:
    """Return the connection after its handshake; from now on the peer reads nothing."""
    context = trusting(str(pem))
    return context.wrap_socket(connection, server_hostname="127.0.0.1")


async def test_a_head_without_an_end_is_not_taken() -> None:
    async with standing_by() as it:
        said = await it.raw(b"GET / HTTP/1.1\r\nX: " + b"a" * (HEAD_MAX - 100), b"a" * 65_536)

    assert said.startswith(b"HTTP/1.1 431 ")


async def test_an_address_that_opens_all_it_can_leaves_room_for_others() -> None:
    async with standing_by() as it:
        silent = [socket.create_connection(it.address) for _ in range(40)]
        said = await it.raw(HEALTH, source="127.0.0.2")
        for one in silent:
            one.close()

    assert said.startswith(b"HTTP/1.1 200 ")
    assert b'"standby"' in said


def test_it_ends_at_once_whatever_its_peers_do_and_the_port_stays_bound(tmp_path: Path) -> None:
    async def whole() -> None:
        pem = self_signed(tmp_path)
        async with standing_by(pem) as it:
            deaf = await asyncio.to_thread(_shaken, socket.create_connection(it.address), pem)
            deaf.send(b"GET / HT")
            late = socket.create_connection(it.address)  # nothing of its handshake was sent
            late.settimeout(PATIENCE_S)
            await asyncio.sleep(0.1)
            took_s = await it.end()
            said = await asyncio.to_thread(_said_to, late, pem)
            socket.create_connection(it.address).close()
            it.server.listener.close()
            with socket.create_server(it.address):
                deaf.close()

        assert took_s < ENDS_S
        assert said == b""

    uvloop.run(whole())


def _said_to(late: socket.socket, pem: Path) -> bytes:
    with suppress(OSError), _shaken(late, pem) as connection:
        connection.sendall(HEALTH)
        return connection.recv(4_096)
    return b""


def _put(*headers: str, body: bytes = b"file") -> bytes:
    lines = (f"PUT /v1/blobs/{HASH} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join((*lines, "", "")).encode() + body


TOKEN, NEW = "Authorization: Bearer t", f"{FOLLOWS}: 1"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (_put(TOKEN), 200),
        (
            b"GET /v1/blobs/"
            + HASH.encode()
            + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n",
            200,
        ),
        (b"POST /v1/pilots/log HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n", 200),
        (_put(TOKEN, NEW), 421),
        (_put(), 421),
        (_put(TOKEN, f"{MARK}: 1"), 503),
        (b"POST /v1/blobs/missing HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n", 421),
        (
            b"PUT /v1/blobs/../jobs/actions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n",
            421,
        ),
        (b"POST /v1/turn HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n", 421),
    ],
    ids=[
        "put",
        "get",
        "log",
        "who follows",
        "stranger",
        "handed on before",
        "missing",
        "dots",
        "turn",
    ],
)
async def test_files_of_pilots_that_follow_nobody_are_handed_on_and_nothing_else(
    request_: bytes, status: int
) -> None:
    with served() as (port, _):
        async with standing_by(leader=f"http://127.0.0.1:{port}") as it:
            said = await it.raw(request_)

    assert said.startswith(b"HTTP/1.1 %d " % status), said


async def test_a_file_that_is_larger_than_any_leader_takes_is_not_handed_on() -> None:
    head = (
        b"PUT /v1/blobs/"
        + b"a" * 64
        + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Length: "
    )
    async with standing_by(leader="http://127.0.0.1:9", passed_bytes_max=1_000) as it:
        larger = await it.raw(head + b"1001\r\n\r\n" + b"a" * 1_001)
        fitting = await it.raw(head + b"1000\r\n\r\n" + b"a" * 1_000)

    assert larger.startswith(b"HTTP/1.1 413 ")
    assert fitting.startswith(b"HTTP/1.1 503 ")


async def test_one_address_has_a_share_of_what_is_handed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(standby, "HANDED_ON_MAX", 2)
    slow = _put(TOKEN).replace(b"Content-Length: 4", b"Content-Length: 5")
    with served() as (port, _):
        async with standing_by(leader=f"http://127.0.0.1:{port}") as it:
            held = [socket.create_connection(it.address) for _ in range(2)]
            for one in held:
                one.send(slow)
            await asyncio.sleep(0.3)
            same, other = await it.raw(_put(TOKEN)), await it.raw(_put(TOKEN), source="127.0.0.2")
            for one in held:
                one.close()

    assert (same[9:12], other[9:12]) == (b"503", b"200")


async def test_a_file_that_cannot_be_handed_on_is_to_be_sent_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        gone = probe.getsockname()[1]
    async with standing_by(leader=f"http://127.0.0.1:{gone}") as it:
        said = await it.raw(_put(TOKEN))

    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"the leader does not answer" in said


@pytest.mark.parametrize("size", [10, 20_000_000])
async def test_a_pilot_brings_a_file_of_any_size_to_the_leader_that_a_standby_names(
    tmp_path: Path, size: int
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * size)
    with served() as (port, _):
        async with standing_by(leader=f"http://127.0.0.1:{port}") as it:
            with api(f"http://127.0.0.1:{it.server.port}") as central:
                requests = Requests(central, BootClock(), lambda event, facts: None)
                reply = await requests.upload("/echo", file, token="t")

    assert (reply.status, len(reply.body)) == (200, size)
