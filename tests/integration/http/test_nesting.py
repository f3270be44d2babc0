"""JSON that is nested deep, in each place where a stranger or a user can put it: 400, never 500."""

import base64
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest

from pilotage.central.app.route_assembly import ROUTES, face
from pilotage.central.http.answers import JSON, NDJSON
from pilotage.central.http.app import TOLD_EVERY_S
from pilotage.central.http.route import Route
from pilotage.central.identity.policy import TABLE, Permission, Reach
from pilotage.central.observe.events import EVENTS
from tests.fake_central import FakeClock

from .asgi import Client
from .requests import Holder, good, holders
from .stubs import build

DEPTHS: Final = (100, 5_000)  # what a decoder takes, and what it does not
READ: Final = [route for route in ROUTES if route.takes is not None and JSON in route.takes_media]


def nested(depth: int) -> Iterator[bytes]:
    yield b"[" * depth + b"]" * depth
    yield b'{"a":' * depth + b"1" + b"}" * depth
    yield b"[" * depth


def bodies(right: bytes) -> Iterator[bytes]:
    """Yield bodies that are nested as a whole, in each field of a good one, and in another one."""
    fields: dict[str, msgspec.Raw] = msgspec.json.decode(right, type=dict[str, msgspec.Raw])
    for depth in DEPTHS:
        for deep in nested(depth):
            yield deep
            for name in (*fields, "another"):
                yield msgspec.json.encode(fields | {name: msgspec.Raw(deep)})
                if name != "another":
                    inside = b'{"a":[%s]}' % deep
                    yield msgspec.json.encode(fields | {name: msgspec.Raw(inside)})


def who_may(action: str, known: dict[str, Holder]) -> Holder:
    """Return somebody who may do that."""
    return next(
        one for one in known.values() if TABLE[one.who, Permission(action)] is not Reach.NONE
    )


@pytest.mark.parametrize("route", READ, ids=lambda route: f"{route.method} {route.path}")
async def test_a_body_that_is_nested_deep_is_refused_on_every_route(route: Route) -> None:
    world = build()
    client = Client(face(world.services))
    holder = who_may(route.action, await holders(world))
    path, right, media = good(route.method, route.path, holder)
    for body in bodies(right):
        reply = await client.ask(route.method, path, token=holder.token, body=body, media=media)

        if reply.status == 200:  # pilots of later releases may say more: nothing of it is kept
            assert route.hot is not None and b'"another"' in body
            continue
        assert reply.status == 400, (reply, body[:200], len(body))
        assert reply.problem().code in ("malformed", "invalid")


async def test_so_is_a_line_of_a_submission() -> None:
    world = build()
    client = Client(face(world.services))
    user = (await holders(world))["user"]
    for depth in DEPTHS:
        for deep in nested(depth):
            lines = [deep, b'{"key":%s}' % deep, b'{"key":"k","name":%s}' % deep]
            for line in lines:
                reply = await client.ask(
                    "POST", "/v1/submissions", token=user.token, body=line, media=NDJSON
                )
                assert reply.status == 400, reply


@pytest.mark.parametrize("depth", [100, 990, 2_000])
@pytest.mark.parametrize("part", [0, 1])
async def test_a_token_whose_parts_are_nested_deep_is_a_bad_token(depth: int, part: int) -> None:
    world = build()
    client = Client(face(world.services))
    token = (await holders(world))["user"].token
    for deep in nested(depth):
        parts = token.split(".")
        parts[part] = base64.urlsafe_b64encode(deep).decode().rstrip("=")
        for path in ("/v1/jobs", "/v1/turn"):
            method = "GET" if path == "/v1/jobs" else "POST"
            reply = await client.ask(method, path, token=".".join(parts), body=b"{}")

            assert (reply.status, reply.problem().code) == (401, "bad_token")


async def test_a_query_that_is_nested_deep_is_refused() -> None:
    world = build()
    client = Client(face(world.services))
    user = (await holders(world))["user"]
    for deep in nested(20_000):
        reply = await client.ask(
            "GET", f"/v1/jobs?limit={deep.decode()}&state={deep.decode()}", token=user.token
        )
        assert reply.status == 422  # a text that is no number


async def test_the_log_tells_once_a_minute_of_each_route_how_many_there_were() -> None:
    world, told, clock = build(), list[dict[str, Any]](), FakeClock()

    def log(event: str, **fields: Any) -> None:
        assert EVENTS[event] == set(fields)
        told.append({"event": event, **fields})

    client = Client(face(world.services, log=log, monotonic=clock.monotonic))
    deep = next(nested(100))

    async def refused(path: str, count: int) -> None:
        for _ in range(count):
            assert (await client.ask("POST", path, body=deep)).status == 400

    await refused("/v1/pilots/register", 50)
    await refused("/v1/pilots/token", 1)
    clock.move(TOLD_EVERY_S)
    await refused("/v1/pilots/register", 2)

    assert told == [
        {"event": "nested_too_deep", "route": "/v1/pilots/register", "times": 1},
        {"event": "nested_too_deep", "route": "/v1/pilots/token", "times": 1},
        {"event": "nested_too_deep", "route": "/v1/pilots/register", "times": 50},
    ]
