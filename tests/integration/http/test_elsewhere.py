"""A process without the queue: what it answers, what it hands on, and where it sends pilots."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import msgspec
import pytest

from pilotage.central.app.route_assembly import ROUTES, face
from pilotage.central.http.body import SMALL_MAX
from pilotage.central.http.forwarding import MARK, LeaderLink
from pilotage.central.http.route import Route
from pilotage.central.identity.policy import TABLE, CallerKind, Permission, Reach
from pilotage.proto.messages import Misdirection

from .asgi import Client, scope_of
from .requests import good, holders
from .stubs import World, build

LEADER = "http://leader:8470"
HANDED_ON = [
    route
    for route in ROUTES
    if route.needs_leader is True
    and route.hot is None
    and route.path != "/v1/events"  # has no end, and httpx's way into a process waits for it
]


def _beside(
    world: World, *, url: str | None = LEADER, transport: httpx.AsyncBaseTransport
) -> Client:
    """Return a process without the queue, whose own services are those of `world`."""
    elsewhere = LeaderLink(lambda: url, _unheard, transport=transport)
    return Client(face(world.services, leader_link=elsewhere))


def _unheard(event: str, **fields: Any) -> None:
    """Nobody reads the log."""


class _StandsStill(httpx.AsyncBaseTransport):
    """A leader that takes requests and says nothing; another one leads from the first on."""

    def __init__(self) -> None:
        self.leader, self.asked = LEADER, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        self.leader = "http://another:8470"
        await asyncio.sleep(3_600)
        raise AssertionError


async def test_a_leader_that_stands_still_is_not_waited_for_once_another_one_leads() -> None:
    world, still = build(), _StandsStill()
    elsewhere = LeaderLink(lambda: still.leader, _unheard, transport=still)
    beside = Client(face(world.services, leader_link=elsewhere))
    holder = (await holders(world))["admin"]
    async with asyncio.timeout(10):
        reply = await beside.ask("GET", "/v1/pilots", token=holder.token)

    assert (reply.status, still.asked) == (503, 1)
    assert b"that process no longer leads; try again" in reply.body


async def test_a_length_without_a_body_is_not_handed_on() -> None:
    world, asked = build(), list[httpx.Request]()
    leader: Any = face(world.services)

    class Recorded(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return await super().handle_async_request(request)

    beside = _beside(world, transport=Recorded(leader))
    holder = (await holders(world))["admin"]
    sent = {"content-length": "5"}
    reply = await beside.ask("GET", "/v1/pilots", token=holder.token, body=b"12345", headers=sent)

    assert reply.status == 200
    assert ["content-length" in one.headers for one in asked] == [False]


@pytest.mark.parametrize("route", HANDED_ON, ids=lambda r: f"{r.method} {r.path}")
async def test_what_needs_the_queue_is_answered_as_the_leader_does(route: Route) -> None:
    world = build()
    direct = Client(face(world.services))
    leader: Any = face(world.services)  # ASGI, in other words than httpx's
    beside = _beside(world, transport=httpx.ASGITransport(leader))
    for name, holder in (await holders(world)).items():
        path, body, media = good(route.method, route.path, holder)
        given: dict[str, Any] = {"body": body, "media": media, "headers": holder.headers}
        wanted = await direct.ask(route.method, path, token=holder.token, **given)
        got = await beside.ask(route.method, path, token=holder.token, **given)
        for reply in (wanted, got):
            reply.headers.pop("x-request-id")

        assert (got.status, got.body) == (wanted.status, wanted.body), name
        assert got.headers == wanted.headers, name
        may = TABLE[holder.who, Permission(route.action)] is not Reach.NONE and not holder.spoilt
        may &= not (holder.reads_only and route.method != "GET")
        anybody = TABLE[CallerKind.ANONYMOUS, Permission(route.action)] is not Reach.NONE
        assert (got.status < 400) == (may or anybody), name


@pytest.mark.parametrize("sent", [{}, {"pilotage-client-address": "192.0.2.66 0"}])
async def test_the_leader_knows_the_client_behind_another_process(sent: dict[str, str]) -> None:
    world = build()
    leader: Any = face(world.services)
    transport = httpx.ASGITransport(leader, client=("10.0.0.1", 1))
    given: Any = {"body": b'{"host":"laptop"}', "media": "application/json", "headers": sent}
    for client in (Client(leader), _beside(world, transport=transport)):
        reply = await client.ask("POST", "/v1/login/device", **given)
        assert reply.status == 200

    addresses = [what[1] for name, _, what in world.calls.asked if name == "start_device"]
    assert addresses == ["127.0.0.1", "127.0.0.1"]


@pytest.mark.parametrize("path", [route.path for route in ROUTES if route.hot is not None])
@pytest.mark.parametrize("url", [LEADER, None])
async def test_pilots_are_told_who_leads_and_the_connection_ends(
    path: str, url: str | None
) -> None:
    world = build()
    beside = _beside(world, url=url, transport=httpx.MockTransport(_never))
    reply = await beside.ask("POST", path, body=b"{}", media="application/json")
    told = msgspec.json.decode(reply.body, type=Misdirection)

    assert (reply.status, told.code, told.leader) == (421, "not_leader", url or "")
    assert reply.headers["connection"] == "close"
    assert world.calls.asked == []


def _never(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"{request.url} was asked")


def _gone(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("nobody listens")


def _no_more(request: httpx.Request) -> httpx.Response:
    return httpx.Response(421, json={"code": "not_leader", "message": "not I"})


@pytest.mark.parametrize(
    ("url", "leader", "headers"),
    [
        (None, _never, {}),
        (LEADER, _gone, {}),
        (LEADER, _no_more, {}),
        (LEADER, _never, {MARK: "1"}),
    ],
    ids=["nobody leads", "it is gone", "it leads no more", "handed on before"],
)
async def test_without_a_leader_one_is_told_to_repeat(
    url: str | None, leader: httpx.MockTransport, headers: dict[str, str]
) -> None:
    world = build()
    token = (await holders(world))["admin"].token
    beside = _beside(world, url=url, transport=httpx.MockTransport(leader))  # type: ignore[arg-type]
    reply = await beside.ask("GET", "/v1/pilots", token=token, headers=headers)

    assert (reply.status, reply.problem().code) == (503, "unavailable")
    assert reply.headers["retry-after"] == "1"


class _Parts(httpx.AsyncByteStream):
    def __init__(self, *parts: bytes) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part


async def test_a_stream_goes_through_part_by_part_with_the_token_and_the_question() -> None:
    seen: list[httpx.Request] = []

    def leader(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        parts = _Parts(b"event: one\n\n", b"event: two\n\n")
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=parts)

    world = build()
    token = (await holders(world))["admin"].token
    beside = _beside(world, transport=httpx.MockTransport(leader))
    reply = await beside.ask("GET", "/v1/events?after=7&x=%2F", token=token)

    assert reply.body == b"event: one\n\nevent: two\n\n"
    assert reply.headers["content-type"] == "text/event-stream"
    (asked,) = seen
    assert str(asked.url) == f"{LEADER}/v1/events?after=7&x=%2F"
    assert asked.headers["authorization"] == f"Bearer {token}"
    assert asked.headers[MARK] == "1"


async def test_a_body_goes_through_as_it_comes() -> None:
    bodies: list[bytes] = []

    async def leader(request: httpx.Request) -> httpx.Response:
        bodies.append(await request.aread())
        return httpx.Response(200, stream=_Parts(b"{}"))

    world = build()
    token = (await holders(world))["admin"].token
    beside = _beside(world, transport=httpx.MockTransport(leader))
    reply = await beside.ask(
        "POST",
        "/v1/jobs/actions",
        token=token,
        body=[b'{"a":', b"1}"],
        media="application/json",
    )

    assert (reply.status, bodies) == (200, [b'{"a":1}'])


async def test_a_stranger_has_no_connection_before_all_of_the_body_is_here() -> None:
    """One who says a token too: where anybody may ask, nobody looks at it."""
    world, asked, stalled = build(), asyncio.Event(), asyncio.Event()

    class Recorded(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            asked.set()
            await asyncio.sleep(3_600)
            raise AssertionError

    front = _beside(world, transport=Recorded()).front
    first = iter([{"type": "http.request", "body": b"{", "more_body": True}])

    async def receive() -> Any:
        for message in first:
            return message
        stalled.set()
        return await asyncio.Event().wait()

    async def send(_: Any) -> None:
        """Nobody reads what is said at the end."""

    scope: Any = scope_of("POST", "/v1/pilots/register", {"authorization": "x"})
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        call = tasks.create_task(front(scope, receive, send))
        waits = [tasks.create_task(one.wait()) for one in (asked, stalled)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for one in (call, *waits):
            one.cancel()

    assert stalled.is_set() and not asked.is_set()


async def test_a_strangers_body_is_small_whatever_token_it_says() -> None:
    beside = _beside(build(), transport=httpx.MockTransport(_never))
    much = [b"x" * (SMALL_MAX // 2)] * 3
    reply = await beside.ask(
        "POST",
        "/v1/pilots/register",
        body=much,
        media="application/json",
        headers={"authorization": "x"},
    )

    assert (reply.status, reply.problem().code) == (413, "too_large")


class _Leader:
    """A leader on a port, which answers what is no stream, or nothing; it sees who leaves."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self.asked: list[str] = []
        self.come, self.left = asyncio.Event(), asyncio.Event()
        self._speaking = set[Any]()

    async def ended(self) -> None:
        """Return when all connections have ended."""
        if self._speaking:
            await asyncio.wait(self._speaking)

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._speaking.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split()[1].decode()
                self.asked.append(path)
                self.come.set()
                if self._silent:
                    await reader.read()  # until the other side closes
                    break
                ends = path != "/v1/events"
                writer.write(b"HTTP/1.1 200 OK\r\n")
                writer.write(b"content-length: 2\r\n\r\n{}" if ends else STREAM)
        self.left.set()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


STREAM = b"transfer-encoding: chunked\r\n\r\n3\r\n: a\r\n"


@asynccontextmanager
async def _led(*, silent: bool) -> AsyncGenerator[tuple[Client, _Leader, str]]:
    """Yield a process beside a leader, which has one connection to it and one for streams."""
    leader, world = _Leader(silent=silent), build()
    server = await asyncio.start_server(leader.speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    elsewhere = LeaderLink(lambda: f"http://127.0.0.1:{port}", _unheard)
    token = (await holders(world))["admin"].token
    yield Client(face(world.services, leader_link=elsewhere)), leader, token
    await elsewhere.close()
    await leader.ended()
    server.close()
    await server.wait_closed()


@pytest.fixture
def one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("CONNECTIONS_MAX", 1), ("STREAMS_MAX", 1), ("ROOM_S", 0.1)):
        monkeypatch.setattr(f"pilotage.central.http.forwarding.{name}", value)


@pytest.mark.usefixtures("one_connection")
async def test_where_all_connections_are_taken_one_is_soon_told_to_repeat() -> None:
    async with _led(silent=True) as (beside, leader, token), asyncio.TaskGroup() as tasks:
        gone = asyncio.Event()
        held = tasks.create_task(beside.ask("GET", "/v1/pilots", token=token, gone=gone))
        await leader.come.wait()
        reply = await beside.ask("GET", "/v1/pilots", token=token)
        gone.set()
        await held

    assert (reply.status, reply.problem().code) == (503, "unavailable")
    assert "are in use" in reply.problem().message
    assert leader.asked == ["/v1/pilots"]


@pytest.mark.usefixtures("one_connection")
async def test_streams_take_no_connection_from_what_is_answered_at_once() -> None:
    async with _led(silent=False) as (beside, leader, token), asyncio.TaskGroup() as tasks:
        gone = asyncio.Event()
        stream = tasks.create_task(beside.ask("GET", "/v1/events", token=token, gone=gone))
        await leader.come.wait()
        reply = await beside.ask("GET", "/v1/pilots", token=token)
        more = await beside.ask("GET", "/v1/jobs/7/logs/stdout?follow=true", token=token)
        gone.set()
        await stream

    assert (reply.status, more.status) == (200, 503)
    assert leader.asked == ["/v1/events", "/v1/pilots"]


@pytest.mark.usefixtures("one_connection")
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("body", [[b""], [b"[", b"]"]], ids=["at once", "in parts"])
async def test_nothing_is_held_for_a_caller_who_has_left(method: str, body: list[bytes]) -> None:
    path = "/v1/jobs/7/peek?wait_s=60" if method == "GET" else "/v1/jobs/actions"
    async with _led(silent=True) as (beside, leader, token), asyncio.TaskGroup() as tasks:
        gone = asyncio.Event()
        held = tasks.create_task(beside.ask(method, path, token=token, body=body, gone=gone))
        await leader.come.wait()
        gone.set()
        async with asyncio.timeout(5):
            await leader.left.wait()
        await held

    assert leader.asked == [path]


def test_what_lasts_comes_from_the_leader() -> None:
    assert [route.path for route in ROUTES if route.lasts and route.needs_leader is False] == []


async def test_the_kept_end_of_an_output_is_here_and_what_grows_is_the_leaders() -> None:
    asked: list[str] = []

    def leader(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, stream=_Parts(b"li", b"ve"))

    world = build()
    token = (await holders(world))["admin"].token
    beside = _beside(world, transport=httpx.MockTransport(leader))
    kept = await beside.ask("GET", "/v1/jobs/7/logs/stdout", token=token)
    live = await beside.ask("GET", "/v1/jobs/7/logs/stdout?follow=true", token=token)

    assert kept.status == 200 and kept.body != b"live"
    assert live.body == b"live"
    assert asked == ["/v1/jobs/7/logs/stdout"]
