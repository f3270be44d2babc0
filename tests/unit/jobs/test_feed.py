"""The stream of events: who sees what, what is bounded, and what telling one costs."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.callers import User
from pilotage.central.identity.scope import CountKey, Owners
from pilotage.central.jobs import followers as reaches
from pilotage.central.jobs.feed import STREAMS_MAX, Feed
from pilotage.proto.api.jobs import Event
from pilotage.proto.claims import Role
from pilotage.proto.job_states import JobState
from pilotage.proto.problems import Code
from tests.fake_central import FakeClock
from tests.memory_store import MemoryStore
from tests.unit.identity.issuer import ISSUER, person

MC, DL1 = CountKey("ctao", "mc", "ada", "User"), CountKey("ctao", "dl1", "bob", "User")


class World:
    def __init__(self) -> None:
        store = MemoryStore()
        self.feed = Feed(FakeClock(), store, Owners(store, ISSUER))
        self.encoded: list[int] = []

    def encode(self, event: Event) -> bytes:
        self.encoded.append(event.seq)
        return f"{event.kind} {event.job or ''};".encode()

    def follow(self, caller: User, after: int | None = None) -> AsyncIterator[bytes]:
        return self.feed.subscribe(caller, submission=None, after=after, encode=self.encode)

    def move(self, *jobs: int, kind: CountKey = MC) -> None:
        for job in jobs:
            self.feed.job(kind, job, JobState.WAITING)


async def test_followers_see_what_their_token_reaches_and_no_more() -> None:
    world = World()
    ada, all_of_it = (
        world.follow(person(Role.USER, groups=("mc",))),
        world.follow(person(Role.OPERATOR)),
    )
    world.move(1)
    world.move(2, kind=DL1)
    world.move(3)

    assert await anext(ada) == b"job 1;job 3;"
    assert await anext(all_of_it) == b"job 1;job 2;job 3;"


async def test_an_event_is_encoded_once_for_all_who_follow_and_not_at_all_for_nobody() -> None:
    world = World()
    users = [person(Role.OPERATOR, subject=f"s{number}") for number in range(20)]
    streams = [world.follow(user) for user in users]
    world.move(1, 2)
    got = [await anext(stream) for stream in streams]

    assert got == [b"job 1;job 2;"] * 20
    assert world.encoded == [1, 2]

    hers = World()
    _kept = hers.follow(person(Role.USER, groups=("mc",)))
    hers.move(*range(50), kind=DL1)
    assert hers.encoded == []


async def test_the_work_at_a_job_does_not_grow_with_the_number_of_followers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, puts = World(), list[int]()
    put = reaches.EventReach.put

    def counted(reach: reaches.EventReach, entry: reaches.EventEntry) -> None:
        puts.append(entry.seq)
        put(reach, entry)

    monkeypatch.setattr(reaches.EventReach, "put", counted)
    _ops = [world.follow(person(Role.OPERATOR, subject=f"s{number}")) for number in range(50)]
    _users = [
        world.follow(person(Role.USER, groups=("mc",), subject=f"u{number}"))
        for number in range(50)
    ]
    world.move(1)
    world.move(2, kind=DL1)

    assert puts == [1, 2]


async def test_a_person_follows_so_many_streams_at_once_and_an_ended_one_makes_room() -> None:
    world, ada = World(), person(Role.OPERATOR)
    streams = [world.follow(ada) for _ in range(STREAMS_MAX)]
    with pytest.raises(Refused, match="8 streams of events") as refused:
        world.follow(ada)

    assert (refused.value.code, refused.value.status) == (Code.TOO_MANY, 429)
    world.follow(person(Role.OPERATOR, subject="another"))
    world.move(1)
    await anext(streams[0])
    await cast(Any, streams[0]).aclose()
    streams[0] = world.follow(ada)
    streams.pop()  # one that was never read ends with its last holder
    gc.collect()
    streams.append(world.follow(ada))
    with pytest.raises(Refused):
        world.follow(ada)


async def test_a_stream_that_is_cut_off_goes_on_where_it_was() -> None:
    world, ada = World(), person(Role.USER, groups=("mc",))
    world.move(1, 2, 3)
    world.move(4, kind=DL1)
    stream = world.follow(ada, after=1)
    world.move(5)

    assert [await anext(stream), await anext(stream)] == [b"job 2;job 3;", b"job 5;"]
    assert await anext(world.follow(ada, after=99)) == b"gap ;"


async def test_a_slow_follower_sees_a_gap_and_then_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reaches, "BEHIND_MAX", 3)
    world, ada = World(), person(Role.OPERATOR)
    slow = world.follow(ada)
    world.move(*range(1, 11))

    assert [await anext(slow), await anext(slow)] == [b"gap ;", b"job 8;job 9;job 10;"]


async def test_what_all_have_is_kept_no_longer() -> None:
    world = World()
    async with aclosing(cast(Any, world.follow(person(Role.OPERATOR)))) as stream:
        world.move(1)
        await anext(stream)
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            waiting = group.create_task(anext(stream))
            await asyncio.sleep(0)
            (reach,) = world.feed._reaches._all.values()
            world.move(2)

    assert waiting.result() == b"job 2;"
    assert [entry.job for entry in reach._news] == [2]
