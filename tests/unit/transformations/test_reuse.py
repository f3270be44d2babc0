"""What makes results equal, and which tasks take known ones."""

from collections.abc import Iterable
from typing import Any, cast

import msgspec
import pytest

from pilotage.central.catalogue.record_types import FileRow
from pilotage.central.store.engine import Store
from pilotage.central.transformations.grouping import WaitingInput
from pilotage.central.transformations.live_state import LiveTransformation, live
from pilotage.central.transformations.record import NewTask, TransformationRow
from pilotage.central.transformations.reuse.known_results import KnownResults
from pilotage.central.transformations.reuse.tasks import TaskReuse, recipe
from pilotage.central.transformations.task_jobs import task_of
from pilotage.proto.catalogue import Did, FileState
from pilotage.proto.documents.job import DataInput, DataOutput, Input, Job, JobData, Need
from pilotage.proto.documents.transformation import InputSpec, Transformation
from pilotage.proto.transformation_states import TransformationState
from tests.fake_central import FakeClock
from tests.memory_store import MemoryStore

SCRIPT = Input(name="run.sh", sha256="1" * 64, size_bytes=1)
OUTPUT = DataOutput(pattern="*.txt", metadata={"level": 1})
JOB = Job(command=("sh", "run.sh"), inputs=(SCRIPT,), data=JobData(outputs=(OUTPUT,)))


def a_live(job: Job = JOB, *, group: str = "sim", number: int = 7, **fields: Any) -> Any:
    given: dict[str, Any] = {"inputs": (InputSpec(query={"level": 0}),), "reuse": True, **fields}
    row = TransformationRow(
        transformation_id=number,
        community="ctao",
        group=group,
        owner_id=1,
        name="t",
        state=TransformationState.ACTIVE,
        reason="",
        doc=msgspec.json.encode(Transformation(name="t", job=job, **given)),
        parent_id=None,
        tasks_wanted=given.get("tasks", 0),
        tasks_made=0,
        scouts_until=0,
        scouted=b"",
        closing=False,
        flushing=False,
        seeded=True,
        seed_place="",
        made_at=1.0,
        changed_at=1.0,
        judged_from=0.0,
        priority=None,
    )
    return live(row)


def a_file(number: int, *, sha256: str = "") -> tuple[WaitingInput, FileRow]:
    name = Did("sim", f"{number}/f{number}.txt")
    given = WaitingInput(number, 0, str(name), 1, {}, (), 1.0)
    row = FileRow(
        file_id=number,
        did=name,
        bytes=1,
        adler32="0",
        sha256=sha256,
        state=FileState.AVAILABLE,
        set_id=1,
        own={},
        metadata={},
        owner_id=1,
        job_id=None,
        epoch=None,
        created_at=1.0,
        seq=1,
    )
    return given, row


def recipe_of(one: LiveTransformation, *numbers: int, at: int = 1, **fields: Any) -> str | None:
    files = [a_file(number, **fields) for number in numbers or (1,)]
    task = task_of(
        one.template,
        transformation_id=one.id,
        number=at,
        group=tuple(given for given, _ in files),
        side=(),
    )
    return recipe(one, task, {row.file_id: row for _, row in files})


def changed(**fields: Any) -> Job:
    return msgspec.structs.replace(JOB, **fields)


def output(**fields: Any) -> Job:
    return changed(data=JobData(outputs=(msgspec.structs.replace(OUTPUT, **fields),)))


@pytest.mark.parametrize(
    "other",
    [
        a_live(number=8),
        a_live(changed(needs=(Need(cores_min=4),))),
        a_live(changed(name="other", retries=3, priority=9, queue_s=60)),
        a_live(output(name="{job}/x", storages=("disk",))),
    ],
    ids=["another transformation", "needs", "name and priority", "place of outputs"],
)
def test_what_changes_no_result_keeps_the_recipe(other: LiveTransformation) -> None:
    assert recipe_of(other) == recipe_of(a_live())


@pytest.mark.parametrize(
    "other",
    [
        a_live(group="others"),
        a_live(changed(command=("sh", "run.sh", "-v"))),
        a_live(changed(command=("sh", "run.sh", "{transformation}"))),
        a_live(changed(inputs=(msgspec.structs.replace(SCRIPT, sha256="2" * 64),))),
        a_live(changed(environment={"A": "1"})),
        a_live(changed(image="/cvmfs/other")),
        a_live(changed(modules=("root",))),
        a_live(changed(success_codes=(0, 3))),
        a_live(output(pattern="*.dat")),
        a_live(output(metadata={"level": 2})),
        a_live(metadata={"campaign": "x"}),
        a_live(versions={"corsika": "7.8"}),
        a_live(inputs=(InputSpec(query={"level": 0}, to="in"),)),
    ],
    ids=[
        *("group", "command", "a name that differs", "input", "environment", "image", "modules"),
        *("success codes", "pattern", "metadata of the output", "metadata", "versions", "folder"),
    ],
)
def test_what_may_change_a_result_changes_the_recipe(other: LiveTransformation) -> None:
    assert recipe_of(other) not in (None, recipe_of(a_live()))


def test_files_count_by_content_and_name_and_not_by_order() -> None:
    one = a_live()
    assert recipe_of(one, 1, 2) == recipe_of(one, 2, 1)
    assert recipe_of(one, 1, 2) != recipe_of(one, 1)
    assert recipe_of(one, 1) != recipe_of(one, 2)
    assert recipe_of(one, 1, sha256="a" * 64) != recipe_of(one, 1, sha256="b" * 64)


def test_tasks_that_may_not_be_reused_have_no_recipe() -> None:
    assert recipe_of(a_live(reuse=False)) is None
    assert recipe_of(a_live(output(did="sim:a"))) is None
    own = changed(data=JobData(inputs=(DataInput(did="sim:calib"),), outputs=(OUTPUT,)))
    assert recipe_of(a_live(own)) is None, "a dataset may have other files later"
    task = task_of(a_live().template, transformation_id=7, number=1, group=(a_file(1)[0],), side=())
    assert recipe(a_live(), task, {}) is None, "a file that was just removed"


class _Known:
    async def of(self, recipes: Iterable[str | None]) -> dict[str, int]:
        return {one: 40 + int(one) for one in recipes if one in ("1", "2", "4")}


@pytest.mark.parametrize(
    ("recipes", "jobs", "fresh"),
    [
        (["1", "2", "3", "4"], [41, 42], 0),
        (["3", None, "4"], [], 2),
        ([None], [], 1),
        (["4"], [44], 0),
    ],
)
async def test_tasks_keep_their_order(
    recipes: list[str | None], jobs: list[int], fresh: int
) -> None:
    store = cast(Store, MemoryStore())
    reuse = TaskReuse(
        store=store, catalogue=store, known=cast(KnownResults, _Known()), clock=FakeClock()
    )
    tasks = [NewTask(job=cast(Any, None), recipe=one) for one in recipes]

    reused, first_fresh = await reuse.known(a_live(), tasks)

    assert ([one.job_id for one in reused], first_fresh) == (jobs, fresh)
