"""Leases that are over: how many of them are written at once."""

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest

from pilotage.central.dispatch.turns.requeues import Requeues
from pilotage.central.jobs.leases import Lease, LeasePhase, LeaseTable
from pilotage.central.jobs.record_types import AttemptChange
from pilotage.central.settings import LeaseSettings
from pilotage.central.store.errors import StoreFull
from tests.builders import a_lease
from tests.fake_central import FakeClock

MANY = 2_500
OTHER = 0  # in the list of transactions: work of others came between


class Story:
    """A cut: so many leases are over in the same second."""

    def __init__(self) -> None:
        self.leases, self.clock = LeaseTable(), FakeClock()
        self.sizes: list[int] = []
        self.requeued: list[int] = []
        self.before: Callable[[int], None] = lambda number: None  # of each transaction
        for job in range(1, MANY + 1):
            self.leases.put(a_lease(job=job))
        self.clock.move(200.0)
        memory = SimpleNamespace(queue=SimpleNamespace(wake=lambda: None), leases=self.leases)
        self.requeues = Requeues(
            store=self,  # type: ignore[arg-type]
            memory=memory,  # type: ignore[arg-type]
            follow_up=self,  # type: ignore[arg-type]
            clock=self.clock,
            settings=LeaseSettings(),
        )

    async def write(
        self, verb: object, changes: Sequence[AttemptChange], attempts: Sequence[object]
    ) -> tuple[list[bool], list[object]]:
        asyncio.get_running_loop().call_soon(self.sizes.append, OTHER)
        self.sizes.append(len(changes))
        self.before(sum(one != OTHER for one in self.sizes))
        return [True] * len(changes), []

    def of_change(self, lease: Lease, change: AttemptChange) -> None:
        lease.phase = LeasePhase.OPEN
        self.requeued.append(lease.job)


async def test_they_are_written_in_parts_and_others_work_between_two() -> None:
    story = Story()
    await story.requeues.leases_over()

    assert story.sizes == [1_000, OTHER, 1_000, OTHER, 500]
    assert story.requeued == list(range(1, MANY + 1))


async def test_who_is_heard_of_while_others_are_written_keeps_its_lease() -> None:
    story = Story()

    def before(number: int) -> None:
        renewed, ended = story.leases.of_job(2_000), story.leases.of_job(2_001)
        assert renewed is not None and ended is not None
        renewed.deadline, ended.phase = 500.0, LeasePhase.GONE

    story.before = before
    await story.requeues.leases_over()

    assert set(range(1, MANY + 1)) - set(story.requeued) == {2_000, 2_001}


async def test_what_a_full_store_refuses_comes_again() -> None:
    story = Story()

    def before(number: int) -> None:
        if number == 2:
            raise StoreFull("the test says so")

    story.before = before
    with pytest.raises(StoreFull):
        await story.requeues.leases_over()
    assert len(story.requeued) == 1_000
    await story.requeues.leases_over()

    assert sorted(story.requeued) == list(range(1, MANY + 1))


async def test_what_takes_long_goes_on_in_the_next_pass() -> None:
    story = Story()
    story.before = lambda number: story.clock.move(0.9)
    passes: list[int] = []
    for _ in range(4):
        before = len(story.requeued)
        await story.requeues.leases_over()
        passes.append(len(story.requeued) - before)

    assert passes == [1_000, 1_000, 500, 0]
