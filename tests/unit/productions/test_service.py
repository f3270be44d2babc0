"""What the service of productions says of them, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest

from pilotage.central.catalogue.storages import StorageBook, StorageEntry
from pilotage.central.errors import Refused
from pilotage.central.productions import record as production_records
from pilotage.central.productions.record import ProductionMove
from pilotage.proto.api.productions import (
    NewProduction,
    ProductionAction,
    ProductionActionName as A,
    ProductionDetail,
)
from pilotage.proto.problems import Code
from pilotage.proto.production_states import ProductionState as P
from pilotage.proto.transformation_states import InputState as I
from tests.unit.workflows.written_here import workflow

from .served import CALLER, Served

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
    await served.came("chain", "train", 4, I.STUCK)
    await served.completed("chain", ["make", "train", "apply"])
    end = ProductionMove(
        production_id=view.id, old=P.ACTIVE, new=P.COMPLETED, reason="", at=3.0
    )  # fmt: skip
    assert await served.store.write(production_records.move_production, end)

    found = (await served.show("chain")).view
    assert found.state is P.COMPLETED
    assert {one.step: one.tasks_expected for one in found.steps}["train"] == 1
    assert found.progress < 1.0


async def test_more_for_a_step_that_has_taken_all_is_refused_and_why_is_told(
    tmp_path: Path,
) -> None:
    served = Served()
    await served.added(workflow(tmp_path, CHAIN))
    more = ProductionAction(action=A.EXTEND, step="make", tasks=6, was=4)
    anyway = ProductionAction(action=A.EXTEND, step="make", tasks=8, was=6, anyway=True)
    await served.act("chain", more)
    assert (await served.show("chain")).view.steps[0].tasks_wanted == 6, "nothing has run yet"

    await served.ran("chain", "train")
    await served.ran("chain", "apply")
    await served.act("chain", more)  # said again, it was done already
    with pytest.raises(Refused) as why:
        await served.act("chain", ProductionAction(action=A.EXTEND, step="make", tasks=8, was=6))
    assert why.value.message == (
        "step: step train has taken all files of make together, and would take the new ones in "
        "another task; step apply takes all files of train for each task, and new tasks would get "
        "other files than earlier tasks: `rerun` chain under another name, not started, `extend` "
        "and `start` it; or add `anyway`"
    )
    assert (await served.show("chain")).view.steps[0].tasks_wanted == 6
    await served.act("chain", anyway)
    assert (await served.show("chain")).view.steps[0].tasks_wanted == 8


async def test_more_is_not_refused_where_only_what_is_new_is_taken(tmp_path: Path) -> None:
    """A step of groups, and one that takes the newest of some shared files."""
    served = Served()
    few = CHAIN.replace("grouping: all", "grouping: 2").replace(
        "use: shared", "use: shared, count: 1"
    )
    await served.added(workflow(tmp_path, few))
    await served.ran("chain", "train")
    await served.ran("chain", "apply")

    await served.act("chain", ProductionAction(action=A.EXTEND, step="make", tasks=6, was=4))
    assert (await served.show("chain")).view.steps[0].tasks_wanted == 6


FIX = ProductionAction(action=A.FIX)


async def test_what_failed_is_not_tried_alone_by_a_step_that_has_taken_all_others(
    tmp_path: Path,
) -> None:
    """Below the step that is fixed, and in that step itself."""
    served = Served()
    steps = CHAIN.replace("{raw: make.raw}, grouping: all", "{raw: filter.ok}, grouping: all")
    steps += '      filter: {inputs: {raw: make.raw}, job: {command: [x]}, outputs: {ok: "o*"}}\n'
    await served.added(workflow(tmp_path, steps))
    await served.came("chain", "filter", 2, I.STUCK)
    await served.ran("chain", "train")
    with pytest.raises(Refused) as why:
        await served.act("chain", FIX)
    assert why.value.message == (
        "step: step train has taken all files of filter together, and would take the new ones "
        "in another task: `rerun` chain under another name to process all together, or add `anyway`"
    )
    views = {one.step: one for one in (await served.show("chain")).view.steps}
    assert views["filter"].inputs == {I.STUCK: 2}, "nothing was done"

    detail = await served.act("chain", ProductionAction(action=A.FIX, anyway=True))
    assert detail.did[0] == "step filter: 2 files are tried again"


async def test_what_failed_of_all_files_is_tried_again_only_with_all_of_them(
    tmp_path: Path,
) -> None:
    served = Served()
    await served.added(workflow(tmp_path, CHAIN))
    await served.came("chain", "train", 3, I.PROCESSED)
    await served.came("chain", "train", 1, I.STUCK, first=4)
    with pytest.raises(Refused, match="step train has taken 3 files together, and would take 1 in"):
        await served.act("chain", FIX)

    other = Served()
    await other.added(workflow(tmp_path, CHAIN))
    await other.came("chain", "train", 4, I.STUCK)
    assert (await other.act("chain", FIX)).did[0] == "step train: 4 files are tried again"


async def test_a_step_that_ended_with_files_left_is_fixed_and_that_is_told(tmp_path: Path) -> None:
    served = Served()
    view = (await served.added(workflow(tmp_path, CHAIN))).view
    await served.came("chain", "train", 4, I.UNUSED)
    await served.completed("chain", ["make", "train", "apply"])
    await served.store.write(
        production_records.move_production,
        ProductionMove(production_id=view.id, old=P.ACTIVE, new=P.COMPLETED, reason="", at=3.0),
    )

    detail = await served.act("chain", FIX)
    assert detail.view.state is P.ACTIVE
    assert detail.did == [
        "step train works again: it was Completed",
        "step apply works again on the new files",
    ]


async def test_what_runs_anew_makes_as_many_tasks_as_there_were_in_the_end(tmp_path: Path) -> None:
    served = Served()
    await served.added(workflow(tmp_path, CHAIN))
    await served.act("chain", ProductionAction(action=A.EXTEND, step="make", tasks=6, was=4))
    again = NewProduction(rerun_of="chain", name="again")

    detail = await served.service.add(CALLER, again)
    assert isinstance(detail, ProductionDetail)
    assert [one.tasks_wanted for one in detail.view.steps] == [6, 0, 0]
    assert detail.did == ["step make makes 6 tasks, the extended number; its workflow says 4"]
    third = await served.service.add(CALLER, NewProduction(rerun_of="again", name="third"))
    assert isinstance(third, ProductionDetail)
    assert [one.tasks_wanted for one in third.view.steps] == [6, 0, 0]


async def test_a_corrected_file_under_the_same_name_is_told_how_it_runs(tmp_path: Path) -> None:
    served = Served()
    await served.added(workflow(tmp_path, CHAIN))

    with pytest.raises(Refused, match=r"correct it \(`prod submit --correct`\)"):
        await served.added(workflow(tmp_path, CHAIN.replace("[make]", "[make, better]")))


@pytest.mark.parametrize(("named", "why"), [
    ("", "step make: outputs.raw: no storage is the default one: name one of disk, "
         "in `storages` or with --data-storage"),
    (", storages: [tape]",
     "step make: outputs.raw.storages: unknown storage 'tape'; known storages: disk"),
])  # fmt: skip
@pytest.mark.parametrize("dry_run", [True, False])
async def test_files_without_a_storage_are_refused_before_anything_is_stored(
    tmp_path: Path, named: str, why: str, dry_run: bool
) -> None:
    """They were taken, and paused when the first task was to be made."""
    served = Served()
    disk = StorageEntry(type="file", url="file:///disk")
    served.storages.book = StorageBook(storages={"disk": disk})
    flow = workflow(tmp_path, CHAIN.replace('raw: "*"', f'raw: {{pattern: "*"{named}}}'))

    with pytest.raises(Refused) as told:
        await served.service.add(CALLER, NewProduction(workflow=flow, dry_run=dry_run))
    assert (told.value.message, told.value.field) == (
        why,
        "workflow.steps.make.outputs.raw.storages",
    )
    assert (
        await served.store.read(production_records.productions, None, states=(), after=0, limit=9)
        == []
    )


async def test_the_same_again_adds_nothing_and_says_so(tmp_path: Path) -> None:
    served, flow = Served(), workflow(tmp_path, CHAIN)
    new = NewProduction(workflow=flow, priority=7, rules="rules: []", title="a chain")
    first = await served.service.add(CALLER, new)
    again = await served.service.add(CALLER, new)
    assert isinstance(first, ProductionDetail)
    assert isinstance(again, ProductionDetail)
    assert not first.was_there
    assert again.was_there
    assert again.view.id == first.view.id
    assert again.did == ["it exists already: nothing was added"]

    await served.act("chain", ProductionAction(action=A.PRIORITY, priority=3))
    for priority in (None, 3, 7):  # as it is now, and as it was submitted
        one = NewProduction(workflow=flow, priority=priority)
        found = await served.service.add(CALLER, one)
        assert isinstance(found, ProductionDetail)
        assert (found.view.priority, found.view.title) == (3, "a chain")


@pytest.mark.parametrize(("fields", "why"), [
    ({"priority": 0}, "priority: production 1, 'chain', exists already, and its priority is 7, "
                      "not 0: change it with `prod priority`; or choose another name"),
    ({"rules": "rules: [x]"}, "rules: production 1, 'chain', exists already, and its failover "
                              "rules differ and cannot change; or choose"),
    ({"title": "b"}, "title: production 1, 'chain', exists already, and its title is 'a', not "
                     "'b'; or choose another name"),
])  # fmt: skip
@pytest.mark.parametrize("dry_run", [False, True])
async def test_the_same_with_other_words_beside_it_is_refused_by_name(
    tmp_path: Path, fields: dict[str, Any], why: str, dry_run: bool
) -> None:
    """They were forgotten without a word."""
    served, flow = Served(), workflow(tmp_path, CHAIN)
    first: dict[str, Any] = {"priority": 7, "rules": "rules: []", "title": "a"}
    await served.service.add(CALLER, NewProduction(workflow=flow, **first))

    with pytest.raises(Refused) as told:
        given: dict[str, Any] = {**first, **fields, "dry_run": dry_run}
        await served.service.add(CALLER, NewProduction(workflow=flow, **given))
    assert told.value.message.startswith(why)
    assert told.value.field == next(iter(fields))
    assert told.value.code is Code.KEY_REUSED
