"""Names of productions and transformations."""

from pathlib import Path

import pytest

from pilotage.central.errors import Refused
from pilotage.proto.api_productions import NewProduction, ProductionAction
from pilotage.proto.api_productions import ProductionActionName as P
from pilotage.proto.api_transformations import NewTransformation, TransformationAction
from pilotage.proto.api_transformations import TransformationActionName as T
from pilotage.proto.job import Job
from pilotage.proto.transformation import Transformation
from tests.fake_store import FakeStore
from tests.unit.transformations.served import service
from tests.unit.workflows.written_here import workflow

from .served import CALLER, Served

FLOW = """
    workflow: "2024"
    steps:
      "1": {tasks: 4, job: {command: [make]}}
"""


async def test_a_production_is_not_named_as_an_id_but_its_steps_may_be(tmp_path: Path) -> None:
    served, flow = Served(), workflow(tmp_path, FLOW)
    with pytest.raises(Refused) as why:
        await served.added(flow)
    assert why.value.field == "name"
    assert why.value.message == (
        "name: found '2024', expected a name that is not a number: that is an id"
    )
    await served.service.add(CALLER, NewProduction(workflow=flow, name="y2024"))
    assert (await served.show("y2024")).view.steps[0].step == "1"


async def test_a_transformation_is_not_named_as_an_id() -> None:
    steps = await service(FakeStore(), CALLER)
    doc = Transformation(name="17", job=Job(command=("x",)), tasks=1)
    with pytest.raises(Refused) as why:
        await steps.add(CALLER, NewTransformation(document=doc))
    assert why.value.field == "document.name"


async def test_what_is_archived_is_not_cleaned_while_its_name_is_another_ones(
    tmp_path: Path,
) -> None:
    served, flow = Served(), workflow(tmp_path, FLOW.replace('"2024"', "mc"))
    old = str((await served.added(flow)).view.id)
    await served.act(old, ProductionAction(action=P.STOP))
    await served.act(old, ProductionAction(action=P.ARCHIVE))
    await served.added(flow)

    with pytest.raises(Refused) as why:
        await served.act(old, ProductionAction(action=P.CLEAN))
    assert why.value.message == (
        "name: 'mc' is the name of production 2 by now: archive or clean that one first"
    )


async def test_an_archived_transformation_is_not_cleaned_while_its_name_is_another_ones() -> None:
    steps = await service(FakeStore(), CALLER)
    body = NewTransformation(document=Transformation(name="mc", job=Job(command=("x",)), tasks=1))
    await steps.add(CALLER, body)
    await steps.act(CALLER, "1", TransformationAction(action=T.STOP))
    await steps.act(CALLER, "1", TransformationAction(action=T.ARCHIVE))
    await steps.add(CALLER, body)

    with pytest.raises(Refused) as why:
        await steps.act(CALLER, "1", TransformationAction(action=T.CLEAN))
    assert why.value.field == "name"
