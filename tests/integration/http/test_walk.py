"""Every route × every kind of caller: the policy table decides, and nothing else does."""

import pytest

from pilotage.central.app.route_assembly import ROUTES, Handouts, face
from pilotage.central.app.routes import ClientWheel
from pilotage.central.http.route import Route
from pilotage.central.identity.callers import User
from pilotage.central.identity.policy import TABLE, CallerKind, Permission, Reach
from pilotage.central.identity.signature import PilotFiles, SignedFile
from pilotage.proto.problems import STATUS, Code

from .asgi import Client
from .requests import GOOD, Holder, good, holders
from .stubs import World, build


async def _files() -> PilotFiles | None:
    signed = SignedFile(content=b"PK", signature=b"s" * 64, key=b"k" * 32, key_pem=b"-----BEGIN")
    return PilotFiles(signed=signed, sha256="f" * 64, version="1", script=b"#!/bin/sh")


async def _wheel() -> ClientWheel:
    return ClientWheel(name="x.whl", content=b"PK", sha256="0" * 64, needs_python=">=3.10")


def _client(world: World) -> Client:
    return Client(face(world.services, handouts=Handouts(pilot_files=_files, client_wheel=_wheel)))


def _expected(route: Route, holder: Holder) -> tuple[int, str]:
    """Return status and code by the policy table alone."""
    done = 303 if route.redirects else 204 if route.gives is None else 200
    if TABLE[CallerKind.ANONYMOUS, Permission(route.action)] is not Reach.NONE:
        return done, ""
    if holder.headers and route.hot is not None:  # pilots send no cookies
        return 401, "no_token"
    if holder.reads_only and route.method != "GET":
        return 403, "forbidden"
    if holder.spoilt:
        return STATUS[Code(holder.spoilt)], holder.spoilt
    if TABLE[holder.who, Permission(route.action)] is not Reach.NONE:
        return done, ""
    return (401, "no_token") if holder.who is CallerKind.ANONYMOUS else (403, "forbidden")


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
async def test_the_policy_table_decides(route: Route) -> None:
    world = build()
    client = _client(world)
    for name, holder in (await holders(world)).items():
        path, body, media = good(route.method, route.path, holder)
        world.calls.asked.clear()
        reply = await client.ask(
            route.method,
            path,
            token=holder.token,
            body=body,
            media=media,
            headers=holder.headers,
            leave=route.path == "/v1/events",
        )
        code = "" if reply.status < 400 else reply.problem().code

        assert (reply.status, code) == _expected(route, holder), (name, reply)
        assert reply.status < 400 or world.calls.asked == [], (name, "a service was asked")


REFUSED_WHEN_SHORT = {
    "/v1/pilots/secrets",
    "/v1/transformations",
    "/v1/productions",
    "/v1/data/files",
    "/v1/data/metadata",
    "/v1/data/datasets",
    "/v1/data/datasets/actions",
    "/v1/data/rules",
    "/v1/data/keys",
    "/v1/submissions",  # of unknown length, so it waits on the disk
}


async def test_a_disk_that_is_nearly_full_refuses_what_people_create_and_nothing_else() -> None:
    world = build()
    world.space.free = 1
    client, refused = _client(world), set[str]()
    by_name = await holders(world)
    for route in (one for one in ROUTES if one.method != "DELETE"):  # one would revoke our token
        holder = by_name[
            next(
                name
                for name in ("admin", "pilot", "attempt")
                if TABLE[by_name[name].who, Permission(route.action)] is not Reach.NONE
            )
        ]
        path, body, media = good(route.method, route.path, holder)
        reply = await client.ask(
            route.method,
            path,
            token=holder.token,
            body=body,
            media=media,
            leave=route.path == "/v1/events",
        )
        if reply.status == 507:
            assert (route.method, reply.problem().code) == ("POST", "store_full")
            refused.add(route.path)

    assert refused == REFUSED_WHEN_SHORT


def test_the_walk_knows_every_route() -> None:
    assert set(GOOD) == {(route.method, route.path) for route in ROUTES}


def test_no_two_routes_are_the_same() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


def test_every_action_has_a_route_and_every_route_one_answer() -> None:
    assert {route.action for route in ROUTES} == set(Permission)
    assert all((route.handler is None) != (route.hot is None) for route in ROUTES)


async def test_a_foreign_community_reaches_the_service_as_what_it_is() -> None:
    world = build()
    eve = (await holders(world))["foreign"]
    await _client(world).ask("GET", "/v1/jobs/7", token=eve.token)

    ((name, caller, job_id),) = world.calls.asked
    assert isinstance(caller, User)
    assert (name, caller.community, job_id) == ("job", "lhcb", 7)


async def test_a_refusal_names_the_right_that_is_missing() -> None:
    world = build()
    reader = (await holders(world))["reader"]
    reply = await _client(world).ask("POST", "/v1/jobs/actions", token=reader.token)

    assert "job_control" in reply.problem().message


@pytest.mark.parametrize("scheme", ["Basic YTpi", "bearer", "Bearer", "Token x", "Bearer a b"])
async def test_only_a_bearer_token_counts(scheme: str) -> None:
    client = _client(build())
    for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/turn")):
        reply = await client.ask(method, path, headers={"authorization": scheme})

        assert (reply.status, reply.problem().code) == (401, "bad_token")
        assert reply.headers["www-authenticate"] == "Bearer"
