"""Productions whose jobs fit no pilot: what is said of them, and when."""

import asyncio
from typing import Any

from pilotage.central.cli.productions.status_texts import next_command
from pilotage.central.productions.watch import FITS_S, HEARD_S
from pilotage.central.transformations import record as transformation_records
from pilotage.proto.transformation_states import TaskState as T
from tests.fakes import FakeInstallation

from .test_data_transformations import ready
from .test_productions import CHAIN, chain, shown, submitted, tale, until, with_tasks


def needing(cores: int) -> dict[str, Any]:
    """Return the steps of a chain whose first step needs many cores."""
    make = CHAIN["steps"]["make"]
    job = {**make["job"], "needs": [{"cores_min": cores}]}
    return {**CHAIN["steps"], "make": {**make, "job": job}}


def test_a_production_whose_jobs_fit_no_pilot_says_so_and_names_the_clause() -> None:
    async def tell(world: FakeInstallation) -> None:
        told = await unfit_told(world)
        await submitted(world, workflow=chain(steps=needing(99)))
        await until(world, lambda view: view.steps[0].tasks == {T.CREATED: 4})
        await asyncio.sleep(HEARD_S + 5 * FITS_S)
        view = await shown(world)
        first, *others = view.steps
        page = await world.central.services.productions.list(
            world.user(), states=(), after=0, limit=9
        )

        nearest = "the closest pilot has 1"
        assert first.unfit == f"no pilot fits: cores 99 ({nearest})"
        tasks = await world.store.read(
            transformation_records.tasks, first.transformation, states=(), after=0, limit=9
        )
        assert first.unfit_job in [one.job_id for one in tasks]
        assert next_command(view) == f"pilotage explain {first.unfit_job}"
        report = await world.central.services.productions.report(world.user(), "chain")
        assert report.view.marks == view.marks
        assert not any(one.unfit for one in others)
        assert view.marks == ("no pilot fits step make",)
        assert page.productions[0].marks == ()  # a list does not ask all pilots
        assert told == [
            {"production": view.id, "name": "chain", "step": "make", "why": first.unfit}
        ]

    tale(tell)


def test_a_production_whose_jobs_fit_says_nothing_of_it_while_they_wait_and_run() -> None:
    async def tell(world: FakeInstallation) -> None:
        told = await unfit_told(world)
        await submitted(world, workflow=with_tasks(200))
        await asyncio.sleep(HEARD_S)
        for _ in range(20):
            view = await shown(world)
            assert not any(one.unfit for one in view.steps) and not view.marks
            await asyncio.sleep(5.0)

        assert not told

    tale(tell)


async def unfit_told(world: FakeInstallation) -> list[dict[str, Any]]:
    """Return what the log will be told of steps that no pilot fits."""
    told: list[dict[str, Any]] = []

    def log(event: str, **fields: Any) -> None:
        if event == "production_unfit":
            told.append(fields)

    await world.kill()
    world.log = log
    await world.start()
    await ready(world)
    return told
