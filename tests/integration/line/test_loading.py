"""A restart with many jobs waiting: pilots are answered while the rest of the queue is read."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pilotage.central.app.central import Central
from pilotage.central.jobs import record_search as job_search
from pilotage.central.store.engine import Store
from pilotage.proto.api.jobs import Action, ActionName
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Ask

from .test_protocol import OFFER, Scene, ended, scene


async def restart(one: Scene) -> None:
    await one.world.kill()
    await one.world.start()


async def act(one: Scene, name: ActionName, job: int, *, priority: int | None = None) -> None:
    action = Action(action=name, ids=(job,), priority=priority)
    await one.world.central.services.control.act(one.world.user(), action)


async def drained(one: Scene) -> list[int]:
    """Run jobs one after another until none is given; return them in order."""
    found: list[int] = []
    while True:
        one.ask_n += 1
        reply = await one.turn(ask=Ask(n=one.ask_n, offer=OFFER))
        assert reply.ask is not None
        if not reply.ask.assignments:
            return found
        found += [given.job for given in reply.ask.assignments]
        await one.turn(*map(ended, reply.ask.assignments))


@pytest.fixture(autouse=True)
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read two jobs at a time, and no more than these before pilots are answered."""
    plain, waiting = Central.recover, job_search.waiting

    async def two_by_two(store: Store) -> AsyncIterator[list[Any]]:
        async for rows in waiting(store):
            for start in range(0, len(rows), 2):
                yield rows[start : start + 2]

    async def recover(self: Central) -> bool:
        return await plain(self, 0.0)

    monkeypatch.setattr(job_search, "waiting", two_by_two)
    monkeypatch.setattr(Central, "recover", recover)


def test_what_happens_to_jobs_meanwhile_holds_when_they_are_read() -> None:
    async def tell(one: Scene) -> None:
        first, second, third, fourth, fifth, sixth, seventh, eighth = await one.submit(8)
        await restart(one)
        matcher = one.world.central.memory.queue.matcher
        at_first = len(matcher)
        got = await one.ask()
        await act(one, ActionName.KILL, fifth)
        await act(one, ActionName.PRIORITY, sixth, priority=9)
        await act(one, ActionName.HOLD, seventh)
        await act(one, ActionName.HOLD, eighth)
        await act(one, ActionName.RELEASE, eighth)
        (ninth,) = await one.submit(1)
        await one.world.central.load()
        await one.turn(ended(got))

        assert (at_first, got.job) == (2, first)
        assert await drained(one) == [sixth, second, third, fourth, eighth, ninth]
        assert await one.state(fifth) is JobState.KILLED
        assert await one.state(seventh) is JobState.HELD
        assert (len(matcher), one.world.central.memory.queue.touched) == (0, set())

    scene(tell)


def test_all_that_waits_is_counted_before_it_is_read() -> None:
    async def tell(one: Scene) -> None:
        await one.submit(8)
        await restart(one)
        counters = one.world.central.memory.counters
        before = counters.total(JobState.WAITING)
        await one.world.central.load()

        assert (before, counters.total(JobState.WAITING)) == (8, 8)
        assert len(one.world.central.memory.queue.matcher) == 8

    scene(tell)
