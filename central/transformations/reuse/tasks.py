"""Lets tasks of transformations reuse the results of earlier tasks."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Final

import msgspec

from pilotage.proto.catalogue import Did
from pilotage.proto.documents.job import PRIORITY_DEFAULT, DataOutput, Need
from pilotage.proto.limits import OUTPUTS_MAX

from ...catalogue import record_datasets as dataset_records, record_read as catalogue_read
from ...catalogue.record_types import FileRow, NewDataset
from ...ports import Clock
from ...store.engine import Store
from ..live_state import LiveTransformation, outputs_dataset
from ..record import MadeTask, NewTask
from ..task_jobs import TaskDraft
from . import record as reuse_records
from .known_results import KnownResults, recipe_of
from .record import ReusedTask

ATTACHED: Final = 250  # files of one transaction, so that other writers do not wait long

_encode = msgspec.json.encode


def recipe(live: LiveTransformation, task: TaskDraft, files: Mapping[int, FileRow]) -> str | None:
    """Return the recipe of a task; None: its result is not to be reused.

    Names, datasets and storages of outputs do not count: a reused file keeps its own. Nor does the
    order of input files, which is that of their arrival. A job with inputs of its own is not
    reused: a dataset or query may mean other files later.
    """
    job = task.job
    outputs = job.data.outputs if job.data is not None else ()
    own = job.data.inputs[: len(job.data.inputs) - len(live.doc.inputs)] if job.data else ()
    if not live.doc.reuse or job.tokens or own or any(one.did for one in outputs):
        return None
    its: list[tuple[int, str, str]] = []
    for one in task.files:
        row = files.get(one.file_id)
        if row is None:
            return None
        name = row.did.name.rpartition("/")[2]
        its.append((one.input_no, name, row.sha256 or str(row.did)))
    plain = msgspec.structs.replace(
        job,
        name="",
        group="",
        retries=0,
        queue_s=0,
        priority=PRIORITY_DEFAULT,
        needs=(Need(),),
        preference=None,
        data=None,
    )
    made_of = {
        "job": plain,
        "inputs": [one.to for one in live.doc.inputs],
        "files": sorted(its),
        "outputs": [_kept_part(one) for one in outputs],
        "versions": dict(sorted(live.doc.versions.items())),
    }
    return recipe_of(live.row.community, live.row.group, _encode(made_of))


def _kept_part(one: DataOutput) -> DataOutput:
    """Return an output without what says only where its files go."""
    return DataOutput(
        pattern=one.pattern, metadata=one.metadata, required=one.required, confirm=one.confirm
    )


class TaskReuse:
    """Makes tasks that are Done at once."""

    def __init__(self, *, store: Store, catalogue: Store, known: KnownResults, clock: Clock):
        self._store, self._catalogue, self._known, self._clock = store, catalogue, known, clock

    async def known(
        self, live: LiveTransformation, tasks: Sequence[NewTask]
    ) -> tuple[list[ReusedTask], int]:
        """Return the first tasks that reuse results, or the number of the first that do not.

        Tasks keep their order, because each has a number. Scouts run always.
        """
        if live.row.scouts_until:
            return [], len(tasks)
        jobs = await self._known.of(one.recipe for one in tasks)
        has = [one.recipe in jobs for one in tasks]
        if not has[0]:
            return [], sum(1 for _ in takewhile(lambda one: not one, has))
        first = tasks[: sum(1 for _ in takewhile(bool, has))]
        return [
            ReusedTask(job_id=jobs[one.recipe or ""], inputs=one.inputs, shared=one.shared)
            for one in first
        ], 0

    async def make(self, live: LiveTransformation, tasks: Sequence[ReusedTask]) -> list[MadeTask]:
        """Store tasks with known results, all or none; their files come into the dataset first."""
        await self._attach(live, [one.job_id for one in tasks])
        return await self._store.write(
            reuse_records.reuse_tasks, live.id, live.row.tasks_made, tasks, self._clock.wall()
        )

    async def _attach(self, live: LiveTransformation, jobs: Sequence[int]) -> None:
        """Attach the files of jobs to the dataset of the transformation's outputs."""
        row, doc = live.row, live.doc
        most = len(jobs) * OUTPUTS_MAX
        files = await self._catalogue.read(catalogue_read.files_of_jobs, jobs, limit=most)
        ids = [one.file_id for one in files]
        lying = await self._catalogue.read(catalogue_read.datasets_of, ids)
        outputs = doc.job.data.outputs if doc.job.data is not None else ()
        named = {Did.parse(one.dataset, "dataset") for one in outputs if _is_fixed(one.dataset)}
        dids = [one.did for one in files if named.isdisjoint(lying.get(one.file_id, ()))]
        dataset = outputs_dataset(row.group, row.transformation_id, doc)
        if dids:
            new = NewDataset(did=dataset, owner_id=row.owner_id)
            at = self._clock.wall()
            await self._catalogue.write(dataset_records.make_dataset, row.community, new, at=at)
        for first in range(0, len(dids), ATTACHED):
            some = dids[first : first + ATTACHED]
            await self._catalogue.write(dataset_records.attach, row.community, dataset, some)


def _is_fixed(dataset: str) -> bool:
    """Return whether a dataset is named, and the same for all tasks."""
    return bool(dataset) and "{" not in dataset
