"""The k-th write finds the store full, for every k: nothing is lost, nothing is stuck, and what is
in memory afterwards is what a restart would read."""

import asyncio

import pytest

from pilotage.central.store.errors import StoreFull
from pilotage.proto.documents.job import Need
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.messages import Assignment
from tests import virtual
from tests.fake_pilot import Script
from tests.fakes import FakeInstallation
from tests.integration.line.test_on_fakes import states, submission, submit

WRITES = range(1, 31)
FAILING_S = 20.0


def counts_of(world: FakeInstallation) -> dict[tuple[str, str], int]:
    """Return the counters in memory, without what is zero."""
    return {
        (site, state.value): count
        for _, site, state, count in world.central.memory.counters.rows()
        if count
    }


@pytest.mark.parametrize("k", WRITES)
def test_a_full_store_at_the_kth_write_costs_nothing_but_time(k: int) -> None:
    def script(assignment: Assignment) -> Script:
        return Script(duration_s=20.0, exit_code=assignment.job % 2)

    async def whole() -> None:
        world = FakeInstallation()
        await world.start()
        pilot = await world.pilot("PIC", script=script)
        life = asyncio.get_running_loop().create_task(pilot.agent().run())
        await asyncio.sleep(5.0)
        await submit(world, submission(4, retries=1, queue_s=3_000, needs=(Need(wall_s=600),)))
        fail_at_write(world, k)
        found: dict[JobState, int] = {}
        while not set(found) or not set(found) <= FINAL:
            await asyncio.sleep(10.0)
            found = await states(world)

        assert found == {JobState.DONE: 2, JobState.FAILED: 2}
        in_memory = counts_of(world)
        assert len(world.central.memory.queue.matcher) == 0
        life.cancel()
        await asyncio.wait([life])
        await world.kill()
        await world.start()
        assert counts_of(world) == in_memory
        await world.kill()

    virtual.run(whole(), limit_s=10_000)


def fail_at_write(world: FakeInstallation, k: int) -> None:
    """From its k-th write on the store is full, for a while."""
    store = world.store
    plain, seen, until = store.committing, 0, 0.0

    def committing() -> None:
        nonlocal seen, until
        seen += 1
        now = asyncio.get_running_loop().time()
        if seen == k:
            until = now + FAILING_S
        if seen >= k and now < until:
            raise StoreFull("the test says so")
        plain()

    store.committing = committing  # type: ignore[method-assign]
