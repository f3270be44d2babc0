"""Steps that take all files of others wait if some are missing for good, and say so."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pilotage.central.cli.productions.status_texts import (
    next_command,
    why_it_is_stuck,
    without_missing,
)
from pilotage.central.client.waiting.production_ends import is_stuck
from pilotage.central.errors import Refused
from pilotage.proto.api.productions import ProductionView
from pilotage.proto.api.quotas import QuotaChange
from pilotage.proto.documents.job import Job
from pilotage.proto.documents.workflow import Workflow
from pilotage.proto.messages import Assignment
from pilotage.proto.production_states import ProductionState as P
from pilotage.proto.transformation_states import TaskState as T, TransformationState as S
from tests.fake_pilot import Script
from tests.fakes import FakeInstallation

from .test_failover_cycle import CYCLE_S
from .test_productions import CHAIN, all_jobs, chain, done, is_in, said, submitted, tale, until

STEPS = CHAIN["steps"]
RAW = {"raw": {"from": [{"step": "make", "port": "raw"}]}}
ONE_BY_ONE = {
    "job": {"command": ["pair", "{raw}"]},
    "inputs": RAW,
    "errors_max": 1,
    "pause_when_failed": 1.0,
    "outputs": {"pair": {"pattern": "*.pair"}},
}


def workflow(merge: dict[str, Any] | None = None, **fields: Any) -> Workflow:
    """Four files, each through a task of `pair`, then all of them through `merge`."""
    steps = {
        "make": STEPS["make"],
        "pair": ONE_BY_ONE,
        "merge": {**STEPS["merge"], **(merge or {})},
    }
    return chain(steps=steps, **fields)


class Failing:
    """Lets the first so many jobs of a step fail, until it is mended."""

    def __init__(self, step: str = "pair", most: int = 1) -> None:
        self._step, self._most = step, most
        self._failed: set[int] = set()
        self.is_mended = False

    def __call__(self, assignment: Assignment) -> Script:
        fails = (
            assignment.body.command[0] == self._step
            and not self.is_mended
            and (len(self._failed) < self._most or assignment.job in self._failed)
        )
        if fails:
            self._failed.add(assignment.job)
        return Script(duration_s=5.0, exit_code=1 if fails else 0)


def step(view: ProductionView, name: str) -> Any:
    return next(one for one in view.steps if one.step == name)


def waits(name: str = "merge") -> Callable[[ProductionView], bool]:
    return lambda view: "stuck" in step(view, name).marks


async def metadata_of(world: FakeInstallation, command: str) -> list[str]:
    jobs = [one for one in (await all_jobs(world)).values() if one.command[0] == command]
    return [_said(one) for one in jobs]


def _said(job: Job) -> str:
    assert job.data is not None
    return str(job.data.outputs[0].metadata.get("missing_inputs", ""))


@pytest.mark.parametrize(
    "merge",
    [
        {},
        {"grouping": {"size": 3}},
        {"grouping": {"rule": "bytes", "bytes_max": 1_000}},
        {"inputs": STEPS["merge"]["inputs"], "grouping": {"rule": "count", "size": 100}},
    ],
)
def test_a_step_that_takes_all_waits_for_what_is_missing_and_fix_leads_on(
    merge: dict[str, Any],
) -> None:
    failing = Failing()

    async def tell(world: FakeInstallation) -> None:
        await submitted(world, workflow=workflow(merge))
        await until(world, waits())
        await until(world, is_stuck)  # as `prod wait` does
        await asyncio.sleep(5 * CYCLE_S)  # failover neither flushes nor completes it
        view = await until(world, is_stuck)

        assert view.state is P.ACTIVE
        assert view.progress < 1.0
        assert step(view, "merge").state is S.ACTIVE
        reason = "waits for what is missing: 1 of 4 files of chain-pair; 25 % is missing;"
        assert step(view, "merge").reason == f"{reason} at most 0 % is allowed"
        assert (
            why_it_is_stuck(step(view, "merge"), view.state) == f"{reason} at most 0 % is allowed"
        )
        assert "step merge is stuck" in view.marks
        first, _, other = next_command(view).partition("; ")
        assert first == "pilotage prod report chain, then pilotage prod fix chain"
        assert other.endswith("pilotage prod submit FILE --name chain --correct")
        failing.is_mended = True
        await said(world, "fix")
        view = await until(world, is_in(P.COMPLETED))

        assert done(view)["pair"] == 4
        assert view.progress == 1.0
        assert set(await metadata_of(world, "merge")) == {""}
        assert [one.reason for one in view.steps] == [""] * 3

    tale(tell, script=failing)


def test_a_step_that_is_over_quota_too_says_once_why_it_waits() -> None:
    told: list[str] = []

    async def tell(world: FakeInstallation) -> None:
        world.log = lambda event, **fields: told.append(event)
        await world.kill()
        await world.start()
        await submitted(world, workflow=workflow({"grouping": {"size": 3}}))
        await until(world, lambda view: step(view, "pair").tasks_made == 4)
        none = QuotaChange(kind="community", community="ctao", jobs=0)
        await world.central.services.quotas.change(world.user(), none)
        view = await until(world, waits())
        await asyncio.sleep(100.0)

        assert step(view, "merge").reason.startswith("waits for what is missing: ")
        assert told.count("transformation_incomplete") == 1
        assert told.count("transformation_waits") <= 1

    tale(tell, script=Failing())


def test_complete_lets_a_step_go_on_without_what_is_missing_and_its_outputs_say_so() -> None:
    merged = {"from": [{"step": "merge", "port": "all"}]}
    uses = {"job": {"command": ["use", "{all}"]}, "inputs": {"all": merged}}
    made = {**uses, "grouping": {"size": 1}, "outputs": {"plot": {"pattern": "*.svg"}}}
    whole = chain(steps={**STEPS, "pair": ONE_BY_ONE, "use": made})

    async def tell(world: FakeInstallation) -> None:
        await submitted(world, workflow=whole)
        view = await until(world, waits())
        (command,) = without_missing(view)
        assert command == "pilotage prod complete chain --step merge"
        await said(world, "complete", step="merge")
        view = await until(world, is_in(P.COMPLETED))

        assert done(view)["merge"] == 1
        assert step(view, "merge").reason == "made without 1 of 4 files of chain-pair"
        for command in ("merge", "use"):  # what is made of such outputs says it too
            assert await metadata_of(world, command) == ["1 of 4 files of chain-pair"]
        assert view.progress < 1.0

    tale(tell, script=Failing())


@pytest.mark.parametrize(
    ("where", "part", "goes_on"),
    [("workflow", 0.25, True), ("workflow", 0.24, False), ("step", 0.25, True)],
)
def test_so_much_may_be_missing_as_the_workflow_or_the_step_says(
    where: str, part: float, goes_on: bool
) -> None:
    said_so = {"allow_partial": part}
    merge, whole = (said_so, {}) if where == "step" else ({}, said_so)

    async def tell(world: FakeInstallation) -> None:
        await submitted(world, workflow=workflow(merge, **whole))
        if not goes_on:
            assert "at most 24 % is allowed" in step(await until(world, waits()), "merge").reason
            return
        view = await until(world, is_in(P.COMPLETED))
        assert step(view, "merge").reason == "made without 1 of 4 files of chain-pair"
        assert await metadata_of(world, "merge") == ["1 of 4 files of chain-pair"]

    tale(tell, script=Failing())


def test_tasks_without_files_that_failed_for_good_are_missing_too() -> None:
    async def tell(world: FakeInstallation) -> None:
        await submitted(world, workflow=chain(steps=OF_TASKS))
        view = await until(world, waits())
        assert step(view, "make").tasks == {T.DONE: 3, T.FAILED: 1}
        assert "1 of 4 tasks of chain-make" in step(view, "merge").reason
        assert next_command(view) == "pilotage prod complete chain --step merge"
        await said(world, "complete", step="merge")

        assert done(await until(world, is_in(P.COMPLETED)))["merge"] == 1

    tale(tell, script=Failing("make"))


OF_TASKS = {
    "make": {**STEPS["make"], "failover": False, "pause_when_failed": 1.0},
    "merge": {
        **STEPS["merge"],
        "inputs": {"pair": RAW["raw"]},
        "job": {"command": ["merge", "{pair}"]},
    },
}


def test_while_a_step_above_works_nothing_advises_to_go_on_without_what_it_makes() -> None:
    async def tell(world: FakeInstallation) -> None:
        await submitted(world, workflow=chain(steps=OF_TASKS))
        await until(world, waits())
        found = await said(world, "extend", step="make", tasks=5, was=4, anyway=True)
        assert without_missing(found.view) == []
        assert next_command(found.view) == "pilotage prod wait chain"
        assert "stuck" not in step(found.view, "merge").marks
        with pytest.raises(Refused, match="step make is Active, and step merge would continue"):
            await said(world, "complete", step="merge")

        view = await until(world, waits())
        assert "1 of 5 tasks of chain-make" in step(view, "merge").reason
        found = await said(world, "complete", step="merge")
        assert without_missing(found.view) == []
        assert why_it_is_stuck(step(found.view, "merge"), found.view.state) == ""
        assert "stuck" not in step(found.view, "merge").marks
        await until(world, is_in(P.COMPLETED))
        assert await metadata_of(world, "merge") == ["1 of 5 tasks of chain-make"]

    tale(tell, script=Failing("make"))


@pytest.mark.parametrize("is_done", [3, 0])
def test_what_a_step_that_still_works_has_not_made_is_missing_of_one_that_goes_on_anyway(
    is_done: int,
) -> None:
    def slow(assignment: Assignment) -> Script:
        number = assignment.body.command[-1]
        return Script(duration_s=5.0 if number in ("1", "2", "3")[:is_done] else 300.0)

    async def tell(world: FakeInstallation) -> None:
        await submitted(world, workflow=chain(steps=OF_TASKS))
        view = await until(world, lambda view: done(view)["make"] == is_done)
        await said(world, "complete", step="merge", anyway=True)
        lost = f"{4 - is_done} of 4 tasks of chain-make"
        if is_done:
            await until(world, lambda view: step(view, "merge").tasks_made > 0)
            assert await metadata_of(world, "merge") == [lost]
        else:
            view = await until(world, lambda view: step(view, "merge").state is S.COMPLETED)
            assert step(view, "merge").reason == f"made without {lost}"

    tale(tell, script=slow)


def test_what_is_missing_above_a_step_that_takes_single_files_is_told_below_it() -> None:
    steps = {
        "make": STEPS["make"],
        "pair": ONE_BY_ONE,
        "each": {
            "job": {"command": ["each", "{pair}"]},
            "inputs": STEPS["merge"]["inputs"],
            "outputs": {"each": {"pattern": "*.each"}},
        },
        "merge": {
            **STEPS["merge"],
            "inputs": {"pair": {"from": [{"step": "each", "port": "each"}]}},
        },
    }

    async def tell(world: FakeInstallation) -> None:
        await submitted(world, workflow=chain(steps=steps))
        view = await until(world, waits())
        assert step(view, "each").state is S.COMPLETED
        assert "1 of 4 files of chain-pair" in step(view, "merge").reason
        await world.kill()
        await world.start()
        view = await until(world, waits())

        assert step(view, "merge").tasks_made == 0

    tale(tell, script=Failing())


def test_a_task_that_gets_all_of_a_shared_input_waits_for_what_is_missing_of_it() -> None:
    steps = {
        "make": STEPS["make"],
        "pair": ONE_BY_ONE,
        "use": {
            "job": {"command": ["use", "{inputs}"]},
            "inputs": {
                **RAW,
                "all": {**STEPS["merge"]["inputs"]["pair"], "use": "shared"},
            },
            "outputs": {"used": {"pattern": "*.used"}},
        },
    }
    failing = Failing()

    async def tell(world: FakeInstallation) -> None:
        await submitted(world, workflow=chain(steps=steps))
        view = await until(world, waits("use"))
        assert step(view, "use").tasks_made == 0
        failing.is_mended = True
        await said(world, "fix")

        assert done(await until(world, is_in(P.COMPLETED)))["use"] == 4

    tale(tell, script=failing)


def test_a_document_of_an_older_release_allows_nothing_to_be_missing() -> None:
    older = msgspec.json.decode(
        b'{"name": "w", "steps": {"s": {"job": {"command": ["x"]}}}}', type=Workflow
    )

    assert older.allowed("s") == 0.0
