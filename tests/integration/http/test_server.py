"""The server on a real socket: limits, streams, and how it ends."""

import asyncio
import hashlib
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import pytest

from pilotage.central.app.route_assembly import face
from pilotage.central.errors import Refused
from pilotage.central.http import app, body as bodies, connection, server as http_server
from pilotage.central.http.answers import JSON
from pilotage.central.http.server import HttpServer
from pilotage.central.jobs import routes as job_routes
from pilotage.central.store.errors import StoreBroken
from pilotage.proto.api import jobs
from pilotage.proto.messages import Problem, TurnReply
from pilotage.proto.problems import Code
from tests.certificates import self_signed

from .asgi import Client
from .requests import GOOD, Holder, holders
from .stub_jobs import REPLY, StubDispatch
from .stub_logins import StubSessions
from .stubs import World, build

PATIENCE_S = 5.0


@dataclass
class Running:
    """A server, and how to reach it."""

    world: World
    server: HttpServer
    holders: dict[str, Holder]
    http: httpx.AsyncClient

    def bearer(self, name: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.holders[name].token}"}

    async def raw(self, *parts: bytes, pause_s: float = 0.0) -> bytes:
        """Send bytes as they are and return all that comes until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            async with asyncio.timeout(PATIENCE_S):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(pause_s)
                return await reader.read()
        finally:
            writer.close()


@asynccontextmanager
async def running(**options: object) -> AsyncGenerator[Running]:
    world = build()
    server = HttpServer(face(world.services), **options)  # type: ignore[arg-type]
    by_name = await holders(world)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(server.run())
        url = f"http://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as http:
            yield Running(world, server, by_name, http)
        server.stop()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until `holds()` is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  (a real server: nobody could wake us)
            await asyncio.sleep(0.005)


async def test_the_port_is_known_before_the_server_runs() -> None:
    async with running() as it:
        reply = await it.http.get("/health")

        assert it.server.port > 0
        assert (reply.status_code, "server" in reply.headers) == (200, False)


async def test_signals_are_left_alone() -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    async with running() as it:
        await it.http.get("/health")

        assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


async def test_a_pilot_keeps_its_connection() -> None:
    async with running() as it:
        for _ in range(3):
            reply = await it.http.post(
                "/v1/turn", content=GOOD["POST", "/v1/turn"][1], headers=it.bearer("pilot")
            )
            assert reply.status_code == 200

        assert it.server.connections == 1


async def test_requests_that_are_sent_ahead_are_answered_in_turn() -> None:
    ahead = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" * connection.AHEAD_MAX
    last = b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    async with running() as it:
        said = await it.raw(ahead + last)

    statuses = [part[:3] for part in said.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200"] * connection.AHEAD_MAX + [b"404"]


async def test_a_peer_that_sends_hundreds_of_requests_ahead_is_cut_off() -> None:
    async with running() as it:
        said = await it.raw(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" * 500)
        reply = await it.http.get("/health")

    assert said.count(b"HTTP/1.1 200") <= connection.AHEAD_MAX + 1
    assert b"HTTP/1.1 400" not in said
    assert reply.status_code == 200


async def test_events_come_as_they_happen_with_their_number() -> None:
    async with running() as it:
        stub = it.world.calls
        async with it.http.stream("GET", "/v1/events", headers=it.bearer("user")) as reply:
            lines = reply.aiter_lines()
            await stub.events.put(jobs.Event(seq=6, at="now", kind="job", job=7))
            got = [line async for line in _first(lines, 4)]

        await until(lambda: stub.subscribed == 0)
        assert reply.headers["content-type"] == "text/event-stream"
        assert got[:3] == [": here", "", "id: 6"]
        assert got[3].startswith('data: {"seq":6,"at":"now","kind":"job","job":7')


async def _first(lines: AsyncIterator[str], count: int) -> AsyncIterator[str]:
    for _ in range(count):
        yield await anext(lines)


async def test_a_quiet_stream_gets_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_routes, "IDLE_S", 0.02)
    async with running() as it:
        async with it.http.stream("GET", "/v1/events", headers=it.bearer("user")) as reply:
            got = [line async for line in _first(reply.aiter_lines(), 5)]

        assert got == [": here", "", ": idle", "", ": idle"]


async def test_a_browser_says_in_a_header_what_it_has_seen() -> None:
    world = build()
    token = (await holders(world))["user"].token
    client = Client(face(world.services))
    headers = {"last-event-id": "41"}
    await client.ask("GET", "/v1/events", token=token, headers=headers, leave=True)
    wrong = await client.ask("GET", "/v1/events", token=token, headers={"last-event-id": "x"})

    assert world.calls.asked[0][2] == (None, 41)
    assert wrong.status == 422


async def test_a_stop_ends_streams_and_frees_the_port() -> None:
    async with running() as it:
        async with it.http.stream("GET", "/v1/events", headers=it.bearer("user")) as reply:
            lines = reply.aiter_lines()
            await anext(lines)
            it.server.stop()
            rest = [line async for line in lines]
        assert rest == [""]
        await until(lambda: it.world.calls.subscribed == 0)
    with pytest.raises(OSError, match="onnect"):
        await asyncio.open_connection("127.0.0.1", it.server.port)


async def test_a_cancelled_server_ends_its_streams_too() -> None:
    world = build()
    server = HttpServer(face(world.services), stop_s=1)
    token = (await holders(world))["user"].token
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        run = group.create_task(server.run())
        await asyncio.sleep(0)
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"GET /v1/events HTTP/1.1\r\nauthorization: Bearer {token}\r\n\r\n"
        writer.write(head.encode())
        await until(lambda: world.calls.subscribed == 1)
        run.cancel()
        await until(lambda: run.done())
        writer.close()

    assert world.calls.subscribed == 0
    assert run.cancelled()


@pytest.mark.parametrize(
    ("path", "holder", "before"),
    [("/v1/login/renew", "", 0), ("/v1/turn", "pilot", 0), ("/v1/turn", "pilot", 2)],
    ids=["ordinary", "hot", "direct"],
)
async def test_a_request_that_outlives_a_stop_is_told_to_come_again(
    path: str,
    holder: str,
    before: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After `before` requests on the same connection, whose head the server then knows."""
    world, begun, asked = build(), asyncio.Semaphore(0), 0

    async def hangs(*given: object, **named: object) -> TurnReply:
        nonlocal asked
        asked += 1
        begun.release()
        if asked > before:
            await asyncio.Event().wait()
        return REPLY

    monkeypatch.setattr(StubSessions, "renew", hangs)
    monkeypatch.setattr(StubDispatch, "turn", hangs)
    server, body = HttpServer(face(world.services), stop_s=1), GOOD["POST", path][1]
    token = (await holders(world))[holder].token if holder else ""
    fields = [f"POST {path} HTTP/1.1", "host: x", "content-type: application/json"]
    fields += [f"authorization: Bearer {token}"] if token else []
    head = "\r\n".join([*fields, f"content-length: {len(body)}", "", ""])
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        run = group.create_task(server.run())
        await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(before + 1):
            writer.write(head.encode() + body)
            await begun.acquire()
            await asyncio.sleep(0.02)
        run.cancel()
        answers = (await reader.read()).split(b"HTTP/1.1 ")[1:]
        writer.close()

    assert [one[:3] for one in answers] == [b"200"] * before + [b"503"]
    assert b"this central is stopping" in answers[-1]
    assert [one for one in caplog.records if one.exc_info] == []


async def test_who_does_not_come_to_an_end_with_tls_is_cut_off_soon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Until then nobody counts the connection, and it holds a file handle of ours."""
    monkeypatch.setattr(http_server, "HANDSHAKE_S", 0.3)
    pem = str(self_signed(tmp_path))
    async with running(tls_certificate=pem, tls_key=pem) as it:
        began = asyncio.get_running_loop().time()
        assert await it.raw() == b""
        took_s = asyncio.get_running_loop().time() - began

    assert 0.2 < took_s < 3.0


async def test_a_head_that_is_too_long_is_refused() -> None:
    async with running() as it:
        line = b"GET /health HTTP/1.1\r\nx: " + b"a" * 40_000
        got = await it.raw(line, b"a" * 40_000, b"a" * 40_000, pause_s=0.02)
        head, _, body = got.partition(b"\r\n\r\n")

        assert got.startswith(b"HTTP/1.1 431")
        assert f"content-length: {len(body)}".encode() in head


async def test_a_head_that_does_not_come_closes_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.05)
    async with running() as it:
        assert await it.raw(b"GET /health HTTP/1.1\r\n") == b""
        assert await it.raw() == b""


async def test_a_later_head_that_does_not_come_closes_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.1)
    async with running() as it:
        whole = b"GET /health HTTP/1.1\r\n\r\n"
        got = await it.raw(whole, b"GET /health HTTP/1.1\r\n", b"x: ", b"y", pause_s=0.02)

        assert got.count(b"HTTP/1.1") == got.count(b"HTTP/1.1 200") == 1


async def test_a_kept_connection_without_a_head_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.05)
    async with running() as it:
        kept, last = b"GET /health HTTP/1.1\r\n", b"connection: close\r\n\r\n"
        got = await it.raw(kept + b"\r\n", kept + b"\r\n", kept + last, pause_s=0.15)

        assert got.count(b"HTTP/1.1 200") == 3


async def test_the_rest_of_a_body_that_was_answered_early_has_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.1)
    async with running() as it:
        head = b"POST /v1/submissions HTTP/1.1\r\ncontent-length: 1000\r\n\r\n"
        got = await it.raw(head, b"a", b"a", b"a", pause_s=0.02)

        assert got.startswith(b"HTTP/1.1 401")


#                what comes after the last chunk began
ENDLESS = {
    "trailers": (b"0\r\n", b"name: value\r\n" * 2_000),
    "one trailer": (b"0\r\nname: ", b"a" * 24_000),
    "a trailer's name": (b"0\r\n", b"a" * 24_000),
    "a chunk's extension": (b"1;", b"a" * 24_000),
}


@pytest.mark.parametrize(("begin", "more"), ENDLESS.values(), ids=ENDLESS)
async def test_what_never_ends_after_a_body_closes_the_connection(
    begin: bytes, more: bytes
) -> None:
    async with running() as it:
        head = b"POST /v1/pilots/register HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
        try:
            got = await it.raw(head, begin, *[more] * 8, pause_s=0.02)
        except ConnectionError:  # we were still sending
            got = b""
        await until(lambda: it.server.connections == 0)

        assert got == b""


async def test_trailers_are_no_headers() -> None:
    async with running() as it:
        head = b"GET /v1/whoami HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n"
        trailer = f"authorization: {it.bearer('admin')['authorization']}\r\n"
        got = await it.raw(head + b"\r\n0\r\n" + trailer.encode() + b"\r\n")

        assert got.startswith(b"HTTP/1.1 401")


DRIPPED = {"/v1/pilots/register": "anonymous", "/v1/submissions": "user", "/v1/beat": "pilot"}


@pytest.mark.parametrize(("path", "who"), DRIPPED.items(), ids=DRIPPED)
async def test_a_body_that_drips_has_its_time(
    path: str, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_S", 0.1)
    monkeypatch.setattr(connection, "HEAD_S", 0.3)
    async with running() as it:
        head = f"POST {path} HTTP/1.1\r\ncontent-length: 1000\r\n"
        head += f"authorization: {it.bearer(who)['authorization']}\r\n\r\n"
        got = await it.raw(head.encode(), *[b"a"] * 10, pause_s=0.03)

        assert got.startswith(b"HTTP/1.1 503")


async def test_large_bodies_that_do_not_come_hold_up_their_owner_alone() -> None:
    async with running() as it:
        head = "POST /v1/submissions HTTP/1.1\r\ntransfer-encoding: chunked\r\n"
        head += f"authorization: {it.bearer('user')['authorization']}\r\n\r\n1\r\n{{\r\n"
        slow = [await asyncio.open_connection("127.0.0.1", it.server.port) for _ in range(5)]
        for _, writer in slow:
            writer.write(head.encode())
        await until(lambda: it.server.connections == len(slow))
        await asyncio.sleep(0.05)
        content = msgspec.json.encode({"key": "k", "jobs": ["a" * 1_000] * 3_000})
        reply = await it.http.post(
            "/v1/submissions",
            content=content,
            headers=it.bearer("manager") | {"content-type": JSON},
        )
        for _, writer in slow:
            writer.close()

        assert (reply.status_code, reply.json()["count"]) == (200, 3_000)
        ((_, _, (_, body_hash)),) = it.world.calls.asked
        assert body_hash == hashlib.sha256(content).hexdigest()


async def test_a_long_body_is_no_long_head() -> None:
    async with running() as it:
        content = b"a" * (4 * connection.HEAD_MAX)
        headers = it.bearer("user")
        for _ in range(2):
            reply = await it.http.put("/v1/blobs/" + "0" * 64, content=content, headers=headers)

            assert reply.json()["size_bytes"] == len(content)


async def test_a_request_that_comes_whole_in_one_read_is_no_long_head() -> None:
    async with running() as it:
        content = b"a" * (connection.HEAD_MAX + 10_000)
        head = f"PUT /v1/blobs/{'0' * 64} HTTP/1.1\r\ncontent-length: {len(content)}\r\n"
        head += f"authorization: {it.bearer('user')['authorization']}\r\nconnection: close\r\n\r\n"
        got = await it.raw(head.encode() + content)

        assert got.startswith(b"HTTP/1.1 200")


async def test_a_peer_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TAKE_S", 0.1)
    monkeypatch.setattr(connection, "AHEAD_MAX", 1_000)
    async with running() as it:
        _, writer = await asyncio.open_connection("127.0.0.1", it.server.port, limit=1_024)
        await until(lambda: it.server.connections == 1)
        writer.write(b"GET /openapi.json HTTP/1.1\r\n\r\n" * 1_000)
        await until(lambda: it.server.connections == 0)
        writer.close()


async def test_a_peer_that_takes_slowly_gets_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TAKE_S", 1.0)  # all takes more than two seconds
    monkeypatch.setattr(connection, "AHEAD_MAX", 200)
    async with running() as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", it.server.port, limit=65_536)
        ask = b"GET /openapi.json HTTP/1.1\r\n"
        writer.write((ask + b"\r\n") * 200 + ask + b"connection: close\r\n\r\n")
        got = 0
        while part := await reader.read(1 << 18):
            got += part.count(b"HTTP/1.1 200 OK")
            await asyncio.sleep(0.01)
        writer.close()

        assert got >= 200  # one may lie across two parts


@pytest.mark.parametrize(
    "sent",
    [
        *(b"\x16\x03\x01\x02\x00", b"FOO / HTTP/1.1\r\n\r\n", b"GET x HTTP/1.1\r\n\r\n"),
        b"POST /v1/jobs HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused_in_the_form_of_all_refusals(sent: bytes) -> None:
    async with running() as it:
        got = await it.raw(sent)
        head, _, body = got.partition(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 400")
        assert msgspec.json.decode(body, type=Problem).code == "malformed"


async def test_what_is_no_request_after_one_is_no_answer_to_it() -> None:
    async with running() as it:
        got = await it.raw(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nXX YY\r\n\r\n")

        assert b"400" not in got


@pytest.mark.parametrize("asks", ["GET /health", "POST /v1/jobs/explain"])
async def test_the_body_of_a_request_for_an_upgrade_is_no_next_request(asks: str) -> None:
    inner = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    length = f"content-length: {len(inner)}\r\n" if asks.startswith("POST") else ""
    head = f"{asks} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n{length}\r\n"
    async with running() as it:
        got = await it.raw(head.encode(), inner, pause_s=0.05)

        assert got.count(b"HTTP/1.1 ") == 1
        assert got.startswith(b"HTTP/1.1 400" if length else b"HTTP/1.1 200")


async def test_a_body_that_breaks_off_stores_nothing() -> None:
    async with running() as it:
        head = "POST /v1/submissions HTTP/1.1\r\ncontent-length: 1000\r\n"
        head += f"authorization: {it.bearer('user')['authorization']}\r\n"
        _, writer = await asyncio.open_connection("127.0.0.1", it.server.port)
        writer.write(head.encode() + b'\r\n{"key":"k","jobs":[]}')
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await asyncio.sleep(0.05)

        assert it.world.calls.asked == []
        assert (await it.http.get("/health")).status_code == 200


async def test_more_connections_than_the_limit_are_turned_away() -> None:
    async with running(connections_max=3, strangers_max=9) as it:
        held = [await asyncio.open_connection("127.0.0.1", it.server.port) for _ in range(3)]
        turned_away = await it.http.get("/health")
        for _, writer in held:
            writer.close()
        await until(lambda: it.server.connections <= 1)
        later = await it.http.get("/health")

        assert (turned_away.status_code, later.status_code) == (503, 200)


async def test_strangers_of_one_address_are_turned_away_and_told() -> None:
    async with running(connections_max=4, strangers_max=3) as it:
        held = [await asyncio.open_connection("127.0.0.1", it.server.port) for _ in range(3)]
        await until(lambda: it.server.connections == 3)
        turned_away = await it.http.get("/health")
        await until(lambda: it.server.connections == 3)
        held[0][1].close()
        await until(lambda: it.server.connections == 2)
        later = await it.http.get("/health")
        for _, writer in held:
            writer.close()

        assert (turned_away.status_code, turned_away.json()["code"]) == (503, "unavailable")
        assert "valid token" in turned_away.json()["message"]
        assert later.status_code == 200


#                         path         who may have as many as there are in all
SHOWN = {"a hot route": ("/v1/turn", "pilot"), "another": ("/v1/jobs", "user")}


@pytest.mark.parametrize(("path", "who"), SHOWN.values(), ids=SHOWN)
async def test_one_address_has_any_number_of_connections_that_showed_a_good_token(
    path: str, who: str
) -> None:
    async with running(connections_max=12) as it:
        method, body = ("POST", GOOD["POST", path][1]) if who == "pilot" else ("GET", b"")
        head = f"{method} {path} HTTP/1.1\r\ncontent-length: {len(body)}\r\n"
        head += f"authorization: {it.bearer(who)['authorization']}\r\n\r\n"
        held = list[asyncio.StreamWriter]()
        for _ in range(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", it.server.port)
            writer.write(head.encode() + body)
            async with asyncio.timeout(PATIENCE_S):
                assert b" 200 " in await reader.readline()
            held.append(writer)

        assert it.server.connections == 10
        for writer in held:
            writer.close()


async def test_strangers_beyond_a_quarter_have_one_request_and_little_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "HURRIED_HEAD_S", 0.1)
    async with running(connections_max=12) as it:
        held = [await asyncio.open_connection("127.0.0.1", it.server.port) for _ in range(3)]
        await until(lambda: it.server.connections == 3)
        asked = await it.raw(b"GET /health HTTP/1.1\r\n\r\n")  # it is closed, or this waits

        assert asked.startswith(b"HTTP/1.1 200")
        assert await it.raw(b"GET") == b""
        assert it.server.connections == 3
        for _, writer in held:
            writer.close()


async def test_a_bad_token_makes_nobody_known() -> None:
    async with running(connections_max=4, strangers_max=3) as it:
        head = b"GET /v1/jobs HTTP/1.1\r\nauthorization: Bearer x.y.z\r\n\r\n"
        held = list[asyncio.StreamWriter]()
        for status in (b" 401 ", b" 401 ", b" 401 ", b" 503 "):
            reader, writer = await asyncio.open_connection("127.0.0.1", it.server.port)
            held.append(writer)
            if status != b" 503 ":  # what is turned away need not be read
                writer.write(head)
            async with asyncio.timeout(PATIENCE_S):
                assert status in await reader.readline()
        for writer in held:
            writer.close()


@pytest.mark.parametrize("sent", ["one request", "requests ahead"])
async def test_a_stranger_who_leaves_counts_until_the_request_has_ended(
    sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = asyncio.Event()
    async with running(connections_max=8, strangers_max=2) as it:
        logins = it.world.services.logins
        assert logins is not None

        async def poll(body: object) -> None:
            await hangs.wait()
            raise Refused(Code.NOT_FOUND, "no such login")

        monkeypatch.setattr(logins.device, "poll", poll)
        body = b'{"login":"h"}'
        request = b"POST /v1/login/poll HTTP/1.1\r\nhost: x\r\n"
        request += (
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        for _ in range(30):  # each closes its socket at once
            _, writer = await asyncio.open_connection("127.0.0.1", it.server.port)
            writer.write(request * (1 if sent == "one request" else 3))
            await writer.drain()
            writer.close()
        await until(lambda: it.server.connections == 0)
        at_most = it.server.tasks
        told = await it.raw(b"GET /health HTTP/1.1\r\n\r\n")
        hangs.set()
        await until(lambda: it.server.tasks == 0)
        later = await it.http.get("/health")

        assert 2 <= at_most <= 7, "three quarters of all, and one"
        assert b"have not shown a valid token" in told
        assert later.status_code == 200


async def test_a_request_waits_for_the_keys_of_a_provider_for_a_limited_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app, "SETTLE_S", 0.05)
    async with running() as it:
        it.world.outside.all[0].slow = asyncio.Event()
        it.world.clock.move(60)  # the keys may be fetched again
        bearer = it.bearer("outside token by an unknown key")
        reply = await it.http.get("/v1/jobs", headers=bearer)

        assert (reply.status_code, reply.json()["code"]) == (401, "bad_token")


async def test_heads_have_less_time_when_half_of_all_connections_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "CROWDED_HEAD_S", 0.05)
    async with running(connections_max=4, strangers_max=4) as it:
        held = [await asyncio.open_connection("127.0.0.1", it.server.port) for _ in range(2)]
        await until(lambda: it.server.connections == 2)

        assert await it.raw(b"GET") == b""
        assert it.server.connections == 2
        for _, writer in held:
            writer.close()


@pytest.mark.parametrize(
    ("why", "answer", "is_logged"),
    [
        (ZeroDivisionError("detail that stays here"), (500, "internal"), True),
        (StoreBroken("detail that stays here"), (503, "unavailable"), False),  # it may repeat
    ],
)
async def test_what_is_no_refusal_is_a_problem_for_the_peer_and_a_bug_a_traceback_for_the_log(
    why: Exception, answer: tuple[int, str], is_logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as it:
        it.world.calls.bug = why
        for path in ("/v1/turn", "/v1/log"):
            reply = await it.http.post(
                path, content=GOOD["POST", path][1], headers=it.bearer("pilot")
            )

            assert (reply.status_code, reply.json()["code"]) == answer
            assert "detail" not in reply.text
    assert caplog.text.count("detail that stays here") >= 2 * is_logged
    assert ("Traceback" in caplog.text) is is_logged
