"""Large submissions: where they wait, and how many are worked on at a time."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.app.route_assembly import face
from pilotage.central.errors import NoSpace
from pilotage.central.http.answers import JSON
from pilotage.central.http.call import LARGE_AT_ONCE_MAX
from pilotage.central.http.spool import HELD_BYTES, Spool, spooled
from pilotage.central.identity.callers import User
from pilotage.proto.api import jobs

from .asgi import Client, Reply
from .requests import holders
from .stubs import World, build


async def _parts(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


#            parts in bytes
BODIES: dict[str, list[int]] = {
    "nothing": [],
    "small": [1, 2, 3],
    "at the limit": [HELD_BYTES],
    "beyond it": [HELD_BYTES, 1],
    "large, with a rest": [HELD_BYTES, 7, HELD_BYTES + 1, 5],
}


@pytest.mark.parametrize("sizes", BODIES.values(), ids=BODIES)
async def test_what_goes_into_a_spool_comes_out(sizes: list[int], tmp_path: Path) -> None:
    parts = [bytes([65 + index]) * size for index, size in enumerate(sizes)]
    async with spooled(_parts(*parts), tmp_path) as spool:
        names = os.listdir(tmp_path)
        whole = await spool.whole()

    assert whole == b"".join(parts)
    assert names == []  # a file without a name: no crash leaves it behind


async def test_a_disk_without_room_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(_: Spool) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(Spool, "_write", full)
    with pytest.raises(NoSpace):
        async with spooled(_parts(b"a" * (HELD_BYTES + 1)), tmp_path):
            pass


async def test_a_large_body_that_would_touch_the_reserve_is_refused_as_it_comes(
    tmp_path: Path,
) -> None:
    world = build()
    token = (await holders(world))["user"].token
    scene = world, Client(face(world.services, spool_dir=tmp_path))
    parts = [b'{"key":"k","jobs":["', b"a" * HELD_BYTES, b'"]}']
    world.space.free = 200_000_000 + HELD_BYTES
    refused = await _submit(scene, token, parts)
    world.space.free += HELD_BYTES
    world.clock.move(2.0)
    taken = await _submit(scene, token, parts)

    assert (refused.status, taken.status) == (507, 200)


class _Gate:
    """Holds up every submission until it is told to go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.inside: list[str] = []

    async def submit(self, caller: User, *_: Any, body_hash: str) -> jobs.Submitted:
        self.inside.append(caller.subject)
        await self.go_on.wait()
        return jobs.Submitted(submission=1, count=0, ids=[])


async def _submit(scene: tuple[World, Client], token: str, parts: list[bytes]) -> Reply:
    return await scene[1].ask("POST", "/v1/submissions", token=token, body=parts, media=JSON)


@pytest.mark.parametrize(
    ("who", "inside"),
    [(["user", "manager", "operator", "admin"], LARGE_AT_ONCE_MAX), (["user"] * 4, 1)],
    ids=["of four people", "of one"],
)
async def test_few_large_bodies_are_in_memory(
    who: list[str], inside: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, gate = build(), _Gate()
    monkeypatch.setattr(world.services.submissions, "submit", gate.submit)
    by_name = await holders(world)
    scene = world, Client(face(world.services))
    parts = [b'{"key":"k","jobs":["', b"a" * HELD_BYTES, b'"]}']
    async with asyncio.TaskGroup() as group:
        asks = [group.create_task(_submit(scene, by_name[one].token, parts)) for one in who]
        await asyncio.sleep(0.2)
        first = list(gate.inside)
        gate.go_on.set()

    assert len(first) == inside
    assert [ask.result().status for ask in asks] == [200] * len(who)
    assert len(gate.inside) == len(who)
