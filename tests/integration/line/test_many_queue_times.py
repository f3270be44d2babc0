"""The queue times of a large submission are over in the same second."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from pilotage.central.identity.actions import Keep
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.record_types import JobMove
from pilotage.central.store.errors import StoreFull
from pilotage.proto.job_states import JobState
from tests import virtual
from tests.fakes import FakeInstallation
from tests.integration.line.test_on_fakes import submission, submit

MANY = 2_500
OTHER = 0  # in the list of transactions: work of others came between


class Told:
    """What was written of the ends of queue times, one number a transaction."""

    def __init__(self, world: FakeInstallation, *, full_at: int = 0, takes_s: float = 0) -> None:
        self.sizes: list[int] = []
        self.refused: list[int] = []
        self.written: list[int] = []
        self._full_at, self._takes_s = full_at, takes_s
        world.store.ways[job_records.move] = self._move

    async def _move(
        self, plain: Any, moves: Sequence[JobMove], keep: Keep | None = None
    ) -> list[bool]:
        asyncio.get_running_loop().call_soon(self.sizes.append, OTHER)
        self.sizes.append(len(moves))
        self._full_at -= 1
        if self._full_at == 0:
            self.refused = [move.job_id for move in moves]
            raise StoreFull("the test says so")
        self.written += [move.job_id for move in moves]
        if self._takes_s:
            await asyncio.sleep(self._takes_s)
        done: list[bool] = await plain(moves, keep=keep)
        return done


def story(tell: Callable[[FakeInstallation, list[int]], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = FakeInstallation()
        await world.start()
        jobs = await submit(world, submission(MANY, queue_s=60))
        await tell(world, jobs)
        await world.kill()

    virtual.run(whole(), limit_s=1_000)


def in_state(world: FakeInstallation, state: JobState) -> int:
    return world.central.memory.counters.total(state)


def test_they_are_written_in_parts_and_others_work_between_two() -> None:
    async def tell(world: FakeInstallation, jobs: list[int]) -> None:
        told = Told(world)
        await asyncio.sleep(62.0)

        assert told.sizes == [1_000, OTHER, 1_000, OTHER, 500, OTHER]
        assert sorted(told.written) == jobs
        assert in_state(world, JobState.WAITING) == len(world.central.memory.queue.matcher) == 0

    story(tell)


@pytest.mark.parametrize("full_at", [1, 2, 3])
def test_a_store_that_is_full_in_the_middle_loses_none_and_forgives_who_has_a_new_round(
    full_at: int,
) -> None:
    async def tell(world: FakeInstallation, jobs: list[int]) -> None:
        told, queue = Told(world, full_at=full_at), world.central.memory.queue
        plain = queue.again

        def again(jobs: Sequence[int]) -> None:
            queue.lift(jobs[0])  # while the store refused, somebody has rescheduled this one
            plain(jobs)

        queue.again = again  # type: ignore[method-assign]
        await asyncio.sleep(64.0)

        assert sorted([*told.written, told.refused[0]]) == jobs
        assert in_state(world, JobState.WAITING) == len(queue.matcher) == 1

    story(tell)


def test_what_takes_long_goes_on_in_the_next_pass() -> None:
    async def tell(world: FakeInstallation, jobs: list[int]) -> None:
        told, leases = Told(world, takes_s=0.9), world.central.memory.leases
        shifts: list[float] = []

        def shift(late_s: float) -> None:
            shifts.append(late_s)

        leases.shift = shift  # type: ignore[method-assign]
        await asyncio.sleep(66.0)

        assert sorted(told.written) == jobs and len(told.sizes) == 6
        assert shifts == [], "no pass lasted so long that the next one seemed to have slept"

    story(tell)
