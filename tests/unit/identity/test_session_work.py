"""Work on sessions: one after another, bounded, and refusals that reach their callers only."""

import asyncio
from collections.abc import Coroutine

import pytest

from pilotage.central.identity.errors import LoginEnded
from pilotage.central.identity.sessions import rows as session_rows, session_work
from pilotage.central.identity.sessions.session_work import (
    OF_SESSION_MAX,
    NoWorkNow,
    SessionWork,
)
from pilotage.proto.problems import Code
from tests.contract.store.rows import a_session
from tests.fake_central import FakeClock, settle

from .login_world import login_world
from .test_sessions import logged_in


class Pieces:
    """Pieces of work that last until a test ends them."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.end = asyncio.Event()

    async def one(self) -> int:
        self.begun.append("one")
        await self.end.wait()
        return 1

    async def two(self) -> int:
        self.begun.append("two")
        return 2

    async def refused(self) -> int:
        raise LoginEnded("it was copied")


async def test_work_on_a_session_waits_and_work_on_others_does_not() -> None:
    work, pieces = SessionWork(FakeClock()), Pieces()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(work.run())
        await settle()
        first = tasks.create_task(work.alone("s1", pieces.one))
        await settle()
        second = tasks.create_task(work.alone("s1", pieces.two))
        other = tasks.create_task(work.alone("s2", pieces.two))
        await settle()
        begun, is_waiting = list(pieces.begun), not second.done()
        pieces.end.set()
        results = [await first, await second, await other]
        running.cancel()

    assert (begun, is_waiting) == (["one", "two"], True)
    assert results == [1, 2, 2]


async def test_one_session_cannot_take_all_places() -> None:
    work, pieces = SessionWork(FakeClock()), Pieces()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(work.run())
        await settle()
        first = [tasks.create_task(work.alone("s1", pieces.one)) for _ in range(OF_SESSION_MAX)]
        await settle()
        with pytest.raises(NoWorkNow) as refused:
            await work.alone("s1", pieces.two)
        other = await work.alone("s2", pieces.two)
        pieces.end.set()
        done = [await one for one in first]
        again = await work.alone("s1", pieces.two)
        running.cancel()

    assert refused.value.code is Code.TOO_MANY
    assert (other, done, again) == (2, [1] * OF_SESSION_MAX, 2)


async def test_work_that_ends_a_session_is_never_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_work, "RUNNING_MAX", 1)
    work, pieces = SessionWork(FakeClock()), Pieces()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(work.run())
        await settle()
        first = tasks.create_task(work.alone("s1", pieces.one))
        await settle()
        ending = [
            tasks.create_task(work.alone("s1", pieces.two, is_ending=True))
            for _ in range(OF_SESSION_MAX)
        ]
        await settle()
        pieces.end.set()
        done = [await one for one in (first, *ending)]
        again = await work.alone("s1", pieces.one)
        running.cancel()

    assert (done, again) == ([1] + [2] * OF_SESSION_MAX, 1)


@pytest.mark.parametrize("way", ["log out", "replace a command", "replace a browser", "end"])
async def test_too_many_renewals_keep_nobody_from_ending_a_session(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await login_world()
    sessions, store = world.sessions, world.issuer.store
    tokens, later = await logged_in(world), await logged_in(world)
    row = a_session("of a browser", cookie="c", ends_at=world.clock.wall() + 9_000)
    await store.write(session_rows.add_session, row)
    new = await store.read(session_rows.session_of, later.session)
    assert new is not None
    monkeypatch.setattr(session_work, "RUNNING_MAX", 0)
    with pytest.raises(NoWorkNow):
        await sessions.renew(tokens.renewal, "a" * 16)
    if way == "log out":
        await sessions.log_out(tokens.renewal)
    elif way == "replace a command":
        await sessions.log_out(tokens.renewal, later.renewal)
    elif way == "replace a browser":
        await sessions.replace("c", new)
    else:
        await sessions.end(world.issuer.admin, tokens.session)
    name = row.session if way == "replace a browser" else tokens.session
    ended = await store.read(session_rows.session_of, name)

    assert ended is not None and ended.ended_at is not None


async def test_a_refusal_reaches_its_caller_and_ends_no_other_work() -> None:
    work, pieces = SessionWork(FakeClock()), Pieces()
    pieces.end.set()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(work.run())
        await settle()
        with pytest.raises(LoginEnded, match="it was copied"):
            await work.alone("s1", pieces.refused)
        later = await work.alone("s1", pieces.one)
        running.cancel()

    assert later == 1


async def test_work_that_waits_for_its_session_does_not_begin_during_a_stop() -> None:
    work, pieces = SessionWork(FakeClock()), Pieces()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(work.run())
        await settle()
        first = tasks.create_task(work.alone("s1", pieces.one))
        await settle()
        second = tasks.create_task(stopped(work.alone("s1", pieces.two)))
        await settle()
        running.cancel()
        await settle()
        pieces.end.set()

    assert (await first, await second) == (1, Code.UNAVAILABLE)
    assert pieces.begun == ["one"]


async def stopped(asking: Coroutine[object, object, int]) -> Code:
    with pytest.raises(NoWorkNow) as refused:
        await asking
    return refused.value.code


async def test_too_much_work_is_refused_until_some_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_work, "RUNNING_MAX", 2)
    work, pieces = SessionWork(FakeClock()), Pieces()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(work.run())
        await settle()
        some = [tasks.create_task(work.alone("s1", pieces.one)) for _ in range(2)]
        await settle()
        with pytest.raises(NoWorkNow) as refused:
            await work.alone("s2", pieces.two)
        pieces.end.set()
        await asyncio.wait(some)
        await settle()
        later = await work.alone("s2", pieces.two)
        running.cancel()

    assert refused.value.code is Code.TOO_MANY
    assert later == 2


async def test_a_round_that_finds_no_room_for_work_ends_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await login_world()
    await logged_in(world)
    world.clock.move(365 * 86_400.0)
    monkeypatch.setattr(session_work, "RUNNING_MAX", 0)
    assert await world.job_grants.drop_useless() == 0
    monkeypatch.setattr(session_work, "RUNNING_MAX", 1)

    assert await world.job_grants.drop_useless() == 1
