"""A ban ends the answers that are being sent to the person, here and through another process."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, nullcontext

import httpx
import pytest

from pilotage.central.app.route_assembly import face
from pilotage.central.http.forwarding import LeaderLink
from pilotage.central.http.server import HttpServer
from pilotage.central.identity.bans.record import NewBan

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


async def ban(world: World, subject: str) -> None:
    new = NewBan(issuer=ISSUER, subject=subject, who="oscar", reason="", at=world.clock.wall())
    await world.tokens.bans.ban(new)


@pytest.mark.parametrize("forwards", [False, True], ids=["here", "beside the leader"])
async def test_a_ban_ends_the_event_streams_of_the_person_alone(forwards: bool) -> None:
    async with (
        served(forwards=forwards) as (world, by_name, url),
        httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as http,
    ):

        def bearer(name: str) -> dict[str, str]:
            return {"authorization": f"Bearer {by_name[name].token}"}

        async with (
            http.stream("GET", "/v1/events", headers=bearer("user")) as of_user,
            http.stream("GET", "/v1/events", headers=bearer("manager")) as of_manager,
        ):
            users, managers = of_user.aiter_lines(), of_manager.aiter_lines()
            for lines in (users, managers):
                assert await anext(lines) == ": here"
            assert world.calls.subscribed == 2
            await ban(world, "user")
            # One that is passed on is cut off, as when that process stops.
            with pytest.raises(httpx.RemoteProtocolError) if forwards else nullcontext():
                assert await anext(users, "") == ""
                assert await anext(users, "") == ""
            await until(lambda: world.calls.subscribed == 1)
            refused = await http.get("/v1/events", headers=bearer("user"))

            assert (refused.status_code, refused.json()["code"]) == (403, "banned")
            assert await anext(managers) == ""
