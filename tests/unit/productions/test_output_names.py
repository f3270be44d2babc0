"""Names of productions and transformations."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.catalogue import (
    record_files as file_records,
    record_registration as registration,
)
from pilotage.central.catalogue.record_types import NewFile
from pilotage.central.errors import Refused
from pilotage.central.productions import record as production_records
from pilotage.central.transformations import record as transformation_records
from pilotage.central.transformations.record import TransformationMove
from pilotage.proto.api.productions import (
    NewProduction,
    ProductionAction,
    ProductionActionName as P,
)
from pilotage.proto.api.transformations import (
    NewTransformation,
    TransformationAction,
    TransformationActionName as T,
)
from pilotage.proto.catalogue import Did
from pilotage.proto.documents.job import Job
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.transformation_states import TransformationState
from tests.memory_store import MemoryStore, way
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
    assert why.value.message == ("name: found '2024', expected a name that is not a number")
    await served.service.add(CALLER, NewProduction(workflow=flow, name="y2024"))
    assert (await served.show("y2024")).view.steps[0].step == "1"


async def test_a_transformation_is_not_named_as_an_id() -> None:
    steps = await service(MemoryStore(), CALLER)
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
    steps = await service(MemoryStore(), CALLER)
    body = NewTransformation(document=Transformation(name="mc", job=Job(command=("x",)), tasks=1))
    await steps.add(CALLER, body)
    await steps.act(CALLER, "1", TransformationAction(action=T.STOP))
    await steps.act(CALLER, "1", TransformationAction(action=T.ARCHIVE))
    await steps.add(CALLER, body)

    with pytest.raises(Refused) as why:
        await steps.act(CALLER, "1", TransformationAction(action=T.CLEAN))
    assert why.value.field == "name"


class _TakenMeanwhile(MemoryStore):
    """Gives a name to another one behind the look whether it is free."""

    looks: Callable[[], Awaitable[None]] | None = None

    async def _taken(self) -> None:
        looks, self.looks = self.looks, None
        if looks is not None:
            await looks()

    @way(production_records.move_production)
    async def move_production(self, plain: Any, *args: Any, **fields: Any) -> Any:
        await self._taken()
        return await plain(*args, **fields)

    @way(transformation_records.move_transformation)
    async def move_transformation(self, plain: Any, move: TransformationMove) -> Any:
        await self._taken()
        return await plain(move)


async def test_a_name_that_is_taken_between_look_and_clean_is_told_too(tmp_path: Path) -> None:
    store = _TakenMeanwhile()
    served, flow = Served(store), workflow(tmp_path, FLOW.replace('"2024"', "mc"))
    old = str((await served.added(flow)).view.id)
    await served.act(old, ProductionAction(action=P.STOP))
    await served.act(old, ProductionAction(action=P.ARCHIVE))

    async def taken() -> None:
        await served.added(flow)

    store.looks = taken
    with pytest.raises(Refused, match="'mc' is the name of production 2 by now: archive or clean"):
        await served.act(old, ProductionAction(action=P.CLEAN))


async def test_a_name_of_a_transformation_that_is_taken_in_between_is_told_too() -> None:
    store = _TakenMeanwhile()
    steps = await service(store, CALLER)
    body = NewTransformation(document=Transformation(name="mc", job=Job(command=("x",)), tasks=1))
    await steps.add(CALLER, body)
    await steps.act(CALLER, "1", TransformationAction(action=T.STOP))
    await steps.act(CALLER, "1", TransformationAction(action=T.ARCHIVE))

    async def taken() -> None:
        await steps.add(CALLER, body)

    store.looks = taken
    with pytest.raises(Refused, match="'mc' is the name of transformation 2 by now: archive or"):
        await steps.act(CALLER, "1", TransformationAction(action=T.CLEAN))


@pytest.mark.parametrize("what", [T.CLEAN, T.ARCHIVE])
async def test_a_step_is_not_put_away_without_its_production(tmp_path: Path, what: T) -> None:
    """The others would wait for it, or run of files that are gone."""
    served = Served()
    await served.added(workflow(tmp_path, FLOW.replace('"2024"', "mc")))
    steps = await service(served.store, CALLER)
    await steps.act(CALLER, "1", TransformationAction(action=T.STOP))

    with pytest.raises(Refused) as why:
        await steps.act(CALLER, "1", TransformationAction(action=what))
    said = f"is the step 1 of production mc: use `prod {what.value} mc`"
    assert said in why.value.message
    row = await served.store.read(transformation_records.transformation, 1)
    assert row is not None
    assert row.state is TransformationState.STOPPED


NAMED = """
    workflow: mc
    steps:
      make:
        tasks: 300
        job: {command: [x]}
        outputs: {h5: {pattern: run.h5, name: "NAME"}}
"""


@pytest.mark.parametrize(("name", "removed", "is_refused"), [
    ("run{task}.h5", "sim:run3.h5", True),
    ("{stem}-{task}{suffix}", "sim:run-7.h5", True),
    ("run{task}.h5", "sim:run301.h5", False),  # there is no such task
    ("run{task}-{transformation}.h5", "sim:run3-1.h5", False),
    ("{job}/{file}", "sim:1/run.h5", False),
    ("run{task}.h5", "lhcb:run3.h5", False),
])  # fmt: skip
async def test_a_name_that_no_job_can_give_again_is_refused_before_any_runs(
    tmp_path: Path, name: str, removed: str, is_refused: bool
) -> None:
    """A production is cleaned, and the corrected one would make files of the same names."""
    served, did = Served(), Did.parse(removed)
    new = NewFile(did=did, owner_id=1, bytes=1, adler32="00000001")
    await served.store.write(registration.register_files, "ctao", [new], at=1.0)
    flow = workflow(tmp_path, NAMED.replace("NAME", name))
    await served.store.write(file_records.remove_files, "ctao", [did], at=2.0)

    if not is_refused:
        await served.added(flow)
        return
    with pytest.raises(Refused, match=f"{removed} was removed, and names are never") as why:
        await served.added(flow)
    assert why.value.field == "workflow.steps.make.outputs.h5.name"
    assert (
        await served.store.read(production_records.productions, None, states=(), after=0, limit=9)
        == []
    )
