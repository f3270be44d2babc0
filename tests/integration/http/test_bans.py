"""Bans, revoked tokens and ended sessions end the answers that are being sent to their caller.

They end here and through another process.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, nullcontext

import httpx
import pytest

from pilotage.central.app.route_assembly import face
from pilotage.central.http.forwarding import LeaderLink
from pilotage.central.http.server import HttpServer
from pilotage.central.identity import record as token_records
from pilotage.central.identity.bans.record import NewBan
from pilotage.central.identity.secret_hashes import hashed
from pilotage.central.identity.sessions import rows as session_rows

from .requests import Holder, holders
from .stubs import ISSUER, World, build

PATIENCE_S = 10.0


def _unheard(event: str, **fields: object) -> None:
    """Drop an event."""


@asynccontextmanager
async def served(*, forwards: bool) -> AsyncGenerator[tuple[World, dict[str, Holder], str]]:
    """Yield a world, its callers, and the URL of a process: of this world, or beside it."""
    world = build()
    by_name = await holders(world)
    leader = HttpServer(face(world.services))
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(leader.run())
        url = f"http://127.0.0.1:{leader.port}"
        if not forwards:
            yield world, by_name, url
        else:
            link = LeaderLink(lambda: url, _unheard)
            beside = HttpServer(face(world.services, leader_link=link))
            group.create_task(beside.run())
            yield world, by_name, f"http://127.0.0.1:{beside.port}"
            beside.stop()
            await link.close()
        leader.stop()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until `holds()` is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  (a real server: nobody could wake us)
            await asyncio.sleep(0.005)


async def ban(world: World, by_name: dict[str, Holder]) -> None:
    new = NewBan(issuer=ISSUER, subject="user", who="oscar", reason="", at=world.clock.wall())
    await world.tokens.bans.ban(new)


async def revoke(world: World, by_name: dict[str, Holder]) -> None:
    await world.tokens.revoke(world.user(by_name["admin"].token), by_name["user"].jti)


async def revoke_elsewhere(world: World, by_name: dict[str, Holder]) -> None:
    """Revoke the token in another process: this one reads it from the store."""
    at = world.clock.wall()
    await world.store.write(token_records.revoke_token, by_name["user"].jti, at)
    await world.tokens.load_revoked()


async def end_session(world: World, by_name: dict[str, Holder]) -> None:
    row = await world.store.read(session_rows.session_of_cookie, hashed("browser"))
    assert row is not None
    world.tokens.session_ended(row.session)


async def end_session_elsewhere(world: World, by_name: dict[str, Holder]) -> None:
    row = await world.store.read(session_rows.session_of_cookie, hashed("browser"))
    assert row is not None
    await world.store.write(session_rows.end, row.session, world.clock.wall(), "logged out")
    await world.tokens.load_revoked()


ENDS = {
    "ban": (ban, "user", (403, "banned")),
    "revoked token": (revoke, "user", (401, "bad_token")),
    "token revoked elsewhere": (revoke_elsewhere, "user", (401, "bad_token")),
    "ended session": (end_session, "browser", (401, "bad_token")),
    "session ended elsewhere": (end_session_elsewhere, "browser", (401, "bad_token")),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("forwards", [False, True], ids=["here", "beside the leader"])
async def test_a_loss_of_access_ends_the_streams_of_its_caller_alone(
    forwards: bool, end: str
) -> None:
    lose, who, answer = ENDS[end]
    async with (
        served(forwards=forwards) as (world, by_name, url),
        httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as http,
    ):

        def sent(name: str) -> dict[str, str]:
            holder = by_name[name]
            return holder.headers or {"authorization": f"Bearer {holder.token}"}

        async with (
            http.stream("GET", "/v1/events", headers=sent(who)) as of_user,
            http.stream("GET", "/v1/events", headers=sent("manager")) as of_manager,
        ):
            users, managers = of_user.aiter_lines(), of_manager.aiter_lines()
            for lines in (users, managers):
                assert await anext(lines) == ": here"
            assert world.calls.subscribed == 2
            await lose(world, by_name)
            # One that is passed on is cut off, as when that process stops.
            with pytest.raises(httpx.RemoteProtocolError) if forwards else nullcontext():
                assert await anext(users, "") == ""
                assert await anext(users, "") == ""
            await until(lambda: world.calls.subscribed == 1)
            refused = await http.get("/v1/events", headers=sent(who))

            assert (refused.status_code, refused.json()["code"]) == answer
            assert await anext(managers) == ""
