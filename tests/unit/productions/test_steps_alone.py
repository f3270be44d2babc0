"""A step of a production that does not go on makes no tasks, whatever is done to it alone."""

from pathlib import Path

import pytest

from pilotage.central.errors import Refused
from pilotage.central.transformations import record as transformation_records
from pilotage.proto.api.productions import (
    NewProduction,
    ProductionAction,
    ProductionActionName as P,
)
from pilotage.proto.api.transformations import TransformationAction, TransformationActionName as T
from pilotage.proto.production_states import ProductionState, stands_alone
from pilotage.proto.transformation_states import TransformationState as S
from tests.unit.transformations.served import service
from tests.unit.workflows.written_here import workflow

from .served import CALLER, Served

FLOW = """
    workflow: mc
    steps:
      make: {tasks: 4, job: {command: [make]}, outputs: {raw: "*"}}
      use: {inputs: {raw: make.raw}, job: {command: [use]}}
"""


async def state_of(served: Served, step: int) -> S:
    row = await served.store.read(transformation_records.transformation, step)
    assert row is not None
    return row.state


@pytest.mark.parametrize("what", [T.START, T.RESUME])
@pytest.mark.parametrize(
    ("done", "is_now", "command"),
    [(None, "New", "start"), (P.PAUSE, "Paused", "resume"), (P.STOP, "Stopped", "resume")],
)
async def test_a_step_does_not_go_on_before_its_production(
    tmp_path: Path, what: T, done: P | None, is_now: str, command: str
) -> None:
    served = Served()
    flow = workflow(tmp_path, FLOW)
    await served.service.add(CALLER, NewProduction(workflow=flow, start=done is not None))
    if done is not None:
        await served.act("mc", ProductionAction(action=done))
    before = await state_of(served, 1)
    steps = await service(served.store, CALLER)

    with pytest.raises(Refused) as why:
        await steps.act(CALLER, "1", TransformationAction(action=what))
    assert why.value.message == (
        f"action: transformation 1 is the step make of production mc, which is {is_now}: "
        f"`prod {command} mc` continues all steps"
    )
    assert (why.value.field, await state_of(served, 1)) == ("action", before)


async def test_a_step_that_is_completed_gets_no_more_before_its_production_goes_on(
    tmp_path: Path,
) -> None:
    served = Served()
    await served.added(workflow(tmp_path, FLOW))
    await served.completed("mc", ["make"])
    await served.act("mc", ProductionAction(action=P.PAUSE))
    steps = await service(served.store, CALLER)
    extend = TransformationAction(action=T.EXTEND, tasks=6, was=4)

    with pytest.raises(Refused, match="which is Paused: `prod resume mc` continues"):
        await steps.act(CALLER, "1", extend)
    assert await state_of(served, 1) is S.COMPLETED
    await served.act("mc", ProductionAction(action=P.RESUME))
    await steps.act(CALLER, "1", extend)
    assert await state_of(served, 1) is S.ACTIVE


async def test_a_step_that_was_paused_alone_is_resumed_alone(tmp_path: Path) -> None:
    served = Served()
    await served.added(workflow(tmp_path, FLOW))
    steps = await service(served.store, CALLER)
    await steps.act(CALLER, "1", TransformationAction(action=T.PAUSE))

    await steps.act(CALLER, "1", TransformationAction(action=T.RESUME))
    assert await state_of(served, 1) is S.ACTIVE


@pytest.mark.parametrize("what", [T.PAUSE, T.STOP])
async def test_a_step_that_stands_alone_is_marked_and_fixed(tmp_path: Path, what: T) -> None:
    served = Served()
    await served.added(workflow(tmp_path, FLOW))
    steps = await service(served.store, CALLER)
    await steps.act(CALLER, "2", TransformationAction(action=what, reason="a look at it"))

    view = (await served.show("mc")).view
    assert view.marks == ("step use is stuck",)
    assert "stuck" in view.steps[1].marks
    detail = await served.act("mc", ProductionAction(action=P.FIX))
    assert detail.did == ["step use is resumed: a look at it"]
    row = await served.store.read(transformation_records.transformation, 2)
    assert row is not None
    assert row.state is S.ACTIVE
    assert row.seeded is False or what is T.PAUSE, "what came while it was stopped is looked for"
    assert detail.view.marks == ()


def test_a_step_stands_alone_where_its_production_does_not_stand_so() -> None:
    alone = {(step, whole) for step in S for whole in ProductionState if stands_alone(step, whole)}
    goes_on = {ProductionState.NEW, ProductionState.ACTIVE, ProductionState.COMPLETED}

    assert alone == {
        *((S.PAUSED, one) for one in (*goes_on, ProductionState.STOPPED)),
        *((S.STOPPED, one) for one in (*goes_on, ProductionState.PAUSED)),
    }
