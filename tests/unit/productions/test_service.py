"""What the service of productions says of them, and what it refuses."""

from pathlib import Path

from pilotage.central.store.productions import ProductionMove
from pilotage.proto.production_states import ProductionState as P
from pilotage.proto.transformation_states import InputState as I
from tests.unit.workflows.written_here import workflow

from .served import Served

CHAIN = """
    workflow: chain
    steps:
      make: {tasks: 4, job: {command: [make]}, outputs: {raw: "*"}}
      train: {inputs: {raw: make.raw}, grouping: all, job: {command: [x]}, outputs: {model: "m*"}}
      apply: {inputs: {raw: make.raw, model: {from: train.model, use: shared}},
              job: {command: [x]}, outputs: {dl2: "d*"}}
"""


async def test_what_is_completed_with_files_put_aside_is_not_all_done(tmp_path: Path) -> None:
    served = Served()
    view = (await served.added(workflow(tmp_path, CHAIN))).view
    await served.came("chain", "train", 4, I.MAXRESET)
    await served.completed("chain", ["make", "train", "apply"])
    end = ProductionMove(
        production_id=view.id, old=P.ACTIVE, new=P.COMPLETED, reason="", at=3.0
    )  # fmt: skip
    assert await served.store.move_production(end)

    found = (await served.show("chain")).view
    assert found.state is P.COMPLETED
    assert {one.step: one.tasks_expected for one in found.steps}["train"] == 1
    assert found.progress < 1.0
