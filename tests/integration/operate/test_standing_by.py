"""From the lead that is taken to the first answer: what may take long costs no lead."""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop

from pilotage.central.http.standby import StandbyServer
from pilotage.central.leadership import LEASE_S, RENEW_EVERY_S
from pilotage.central.observe.events import Log
from pilotage.central.operate import serve
from pilotage.central.operate.clocks import boottime
from pilotage.central.operate.leadership import HeldLead
from pilotage.central.operate.start_failures import StartRefused
from pilotage.central.settings import load
from pilotage.central.store.errors import NewerSchema
from pilotage.central.store.leaders import SHARD, Lead
from pilotage.proto.trust import trusting
from tests.certificates import self_signed
from tests.fake_leaders import FakeLeaders

Ready = Callable[[str], Awaitable[None]]
BEGINS_S = 1.5  # from when the row is free: it is looked at every 0.5 s
WAITS_S = 10.0


class CountedLeaders(FakeLeaders):
    """An honest row that says when it was renewed first."""

    def __init__(self) -> None:
        super().__init__(boottime)
        self.renewed = asyncio.Event()

    async def renew_lead(self, lead: Lead, lease_s: float) -> bool:
        self.renewed.set()
        return await super().renew_lead(lead, lease_s)


class Standing:
    """A process that stands by with TLS; another one leads until it gives up."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, port: int = 0) -> None:
        self.leaders = CountedLeaders()
        self.begun = asyncio.Event()
        self.lost: list[str] = []
        self.answers = b""
        self.pem = str(self_signed(folder))
        given = {
            "http.tls_certificate": self.pem,
            "http.tls_key": self.pem,
            "http.port": str(port),
            "process.url": "https://standby",
            "store.url": "postgresql://db/x",
        }
        self._settings, self._place = load(None, {}, given), serve.ServeOptions(folder)
        self._port = asyncio.get_running_loop().create_future()

        def nothing(*words: object) -> None:
            """There is no database."""

        def leaders_of(store: object) -> CountedLeaders:
            return self.leaders

        def lost(log: object) -> Callable[[str], None]:
            return self.lost.append

        monkeypatch.setattr(serve, "check_server", nothing)
        monkeypatch.setattr(serve, "leaders_of", leaders_of)
        monkeypatch.setattr(serve, "_lost", lost)
        monkeypatch.setattr(serve, "_lead", self._lead)
        monkeypatch.setattr(serve, "StandbyServer", self._server)

    @property
    def port(self) -> int:
        return int(self._port.result())

    def _server(self, **words: Any) -> StandbyServer:
        made = StandbyServer(**words)
        self._port.set_result(made.port)
        return made

    async def _lead(
        self, place: Any, settings: Any, held: HeldLead, *others: object, **words: object
    ) -> None:
        assert held.standing.leads
        early = socket.create_connection(("127.0.0.1", self.port))  # before there is a server

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"leads")
            writer.close()

        async with await asyncio.start_server(answer, sock=place.listener.dup()):
            self.answers = await asyncio.to_thread(early.recv, 64)
            early.close()
            self.begun.set()
            await asyncio.Event().wait()

    def deaf(self, port: int) -> ssl.SSLSocket:
        """Return a connection with half a head; its peer reads nothing after the handshake."""
        context = trusting(self.pem)
        plain = socket.create_connection(("127.0.0.1", port))
        connection = context.wrap_socket(plain, server_hostname="127.0.0.1")
        connection.send(b"GET / HT")
        return connection

    async def serve(
        self, *, log: Log = lambda event, **fields: None, ready: Ready | None = None
    ) -> None:
        await serve.serve(self._place, self._settings, log=log, ready=ready)

    async def take_over(self, *, deaf: bool) -> float:
        """Return how long it took to begin, with a peer that is deaf or without one."""
        other = await self.leaders.take_lead(SHARD, "other", "https://other", 10 * LEASE_S)
        assert other is not None
        with ExitStack() as peers:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(self.serve())
                port = await self._port
                if deaf:
                    peers.enter_context(await asyncio.to_thread(self.deaf, port))
                await self.leaders.give_up_lead(other)
                began = time.monotonic()
                async with asyncio.timeout(WAITS_S):
                    await self.begun.wait()
                took_s = time.monotonic() - began
                serving.cancel()
        return took_s


def test_a_peer_that_reads_nothing_does_not_delay_a_take_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whole() -> tuple[float, Standing]:
        standing = Standing(tmp_path, monkeypatch)
        return await standing.take_over(deaf=True), standing

    took_s, standing = uvloop.run(whole())

    assert took_s < BEGINS_S
    assert standing.lost == []


def test_nobody_is_refused_between_the_one_that_waited_and_the_one_that_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whole() -> Standing:
        standing = Standing(tmp_path, monkeypatch)
        await standing.take_over(deaf=False)
        return standing

    standing = uvloop.run(whole())

    assert standing.answers == b"leads"
    with socket.create_server(("127.0.0.1", standing.port)):  # nothing holds it any more
        pass


def test_a_port_that_another_one_has_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whole() -> None:
        await Standing(tmp_path, monkeypatch, port=taken.getsockname()[1]).serve()

    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(StartRefused, match=r"http.port: \d+ is in use on 127.0.0.1"),
    ):
        uvloop.run(whole())


def test_the_lead_is_renewed_while_the_port_is_still_being_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = StandbyServer.run

    async def whole() -> list[str]:
        standing = Standing(tmp_path, monkeypatch)

        async def ends_slowly(server: StandbyServer) -> None:
            try:
                await ends(server)
            finally:
                async with asyncio.timeout(3 * RENEW_EVERY_S):
                    await standing.leaders.renewed.wait()

        monkeypatch.setattr(StandbyServer, "run", ends_slowly)
        await standing.take_over(deaf=False)
        return standing.lost

    assert uvloop.run(whole()) == []


def test_whoever_must_not_write_to_the_database_does_not_stand_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    async def whole() -> None:
        standing = Standing(tmp_path, monkeypatch)

        def newer(*words: object) -> None:
            raise NewerSchema(9, 8)

        async def ready(url: str) -> None:
            said.append("ready")

        monkeypatch.setattr(serve, "check_server", newer)
        await standing.serve(log=lambda event, **fields: said.append(event), ready=ready)

    with pytest.RaisesGroup(pytest.RaisesExc(StartRefused, match="the store has schema 9")):
        uvloop.run(whole())
    assert said == []
