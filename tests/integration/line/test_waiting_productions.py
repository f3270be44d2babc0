"""Productions on fakes whose tasks wait for pilots, or whose steps wait for files."""

import asyncio

from pilotage.central.jobs import record_search as job_search
from pilotage.central.jobs.record_types import JobSearch
from pilotage.proto.job_states import JobState
from pilotage.proto.production_states import ProductionState as P
from pilotage.proto.transformation_states import TaskState as T
from tests.fakes import FakeInstallation

from .test_data_transformations import registered
from .test_on_fakes import lasts
from .test_productions import chain, done, is_in, said, shown, submitted, tale, until, with_tasks


def test_tasks_that_wait_for_a_pilot_are_told_from_those_that_run() -> None:
    flow = with_tasks(30)

    async def tell(world: FakeInstallation) -> None:
        await submitted(world, workflow=flow)
        await asyncio.sleep(20.0)
        step = (await shown(world)).steps[0]
        runs = JobSearch(states=(JobState.RUNNING,))
        running = await world.store.read(job_search.search, runs, after=0, limit=100)

        assert 0 < len(running) < 30
        assert (step.tasks_running, step.tasks) == (len(running), {T.CREATED: 30})

    tale(tell, script=lasts(5_000.0))


def test_a_production_with_a_query_ends_when_it_is_completed_and_not_before() -> None:
    steps = {
        "count": {
            "job": {"command": ["count", "{raw}"]},
            "inputs": {"raw": {"query": {"level": 0}}},
            "outputs": {"counts": {"pattern": "*.txt"}},
        }
    }

    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 4))
        await submitted(world, workflow=chain(steps=steps, keys={"level": "number"}))
        await until(world, lambda view: done(view) == {"count": 3})
        await asyncio.sleep(3_600.0)  # a night without data
        assert (await shown(world)).state is P.ACTIVE

        await registered(world, range(4, 6))
        await until(world, lambda view: done(view) == {"count": 5})
        await said(world, "complete")
        await until(world, is_in(P.COMPLETED))

    tale(tell)
