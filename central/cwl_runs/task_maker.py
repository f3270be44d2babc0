"""Stores the jobs of a run as tasks of their steps, and queues them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from pilotage.proto.documents.job import Job

from ..accounts.disk_room import DiskRoom
from ..accounts.quotas import Quotas
from ..catalogue.input_resolution import InputResolver, ResolvedInputs
from ..catalogue.storages import Storages
from ..dispatch.submissions.intake import CheckedJobs
from ..dispatch.submissions.submissions import Submissions
from ..identity.bans.ban_list import BanList
from ..identity.scope import Owners
from ..jobs.classes import JobClasses
from ..jobs.definition.checks import check
from ..jobs.definition.normal_form import normal_needs, normal_preference
from ..jobs.definition.sizes import check_size
from ..jobs.definition.software import needs_of
from ..jobs.record_types import JobClassRow, NewJob
from ..ports import Clock
from ..store.engine import Store
from ..transformations.record import MadeTask, NewTask, TransformationRow
from ..transformations.reuse.record import ReusedTask
from ..transformations.task_creation import submission_of
from . import record as run_records

_encode = msgspec.json.encode


class NewRunJob(NamedTuple):
    """A job of a run, before it is stored."""

    key: str
    recipe: str | None
    job: Job


class RunTaskMaker:
    """Makes the tasks of runs."""

    def __init__(
        self,
        *,
        store: Store,
        submissions: Submissions,
        classes: JobClasses,
        owners: Owners,
        storages: Storages,
        quotas: Quotas,
        room: DiskRoom,
        bans: BanList,
        clock: Clock,
    ) -> None:
        self._store, self._submissions, self._classes = store, submissions, classes
        self._owners, self._storages, self._quotas = owners, storages, quotas
        self._room, self._bans, self._clock = room, bans, clock

    async def reuse(
        self, production_id: int, row: TransformationRow, known: Mapping[str, int]
    ) -> list[MadeTask]:
        """Store tasks of a step that reuse the results of jobs, by key; all or none."""
        return await self._store.write(
            run_records.reuse_tasks,
            production_id,
            row.transformation_id,
            row.tasks_made,
            [ReusedTask(job_id=one) for one in known.values()],
            list(known),
            self._clock.wall(),
        )

    async def make(
        self, production_id: int, row: TransformationRow, jobs: Sequence[NewRunJob]
    ) -> list[MadeTask]:
        """Store the jobs of a step with their keys, all or none, and queue them.

        None are stored if the step makes no tasks now. Raises Refused for a job that cannot be,
        OverQuota, ReserveReached and Banned.
        """
        owner = self._owners.owner(row.owner_id)
        self._bans.check(owner.issuer, owner.subject)
        await self._room.check_new()
        resolver = InputResolver(self._store, self._storages.book, row.community)
        bodies: list[tuple[Job, bytes]] = []
        settled: list[ResolvedInputs] = []
        for one in jobs:
            job = one.job
            job = msgspec.structs.replace(job, group=row.group)
            if row.priority is not None:
                job = msgspec.structs.replace(job, priority=row.priority)
            check(job, "job")
            body = _encode(job)
            check_size(body, "job")
            bodies.append((job, body))
            settled.append(
                await resolver.settle(job, "job", group=row.group)
                if job.data is not None
                else ResolvedInputs((), job)
            )
        wanted = [self._class(row, one.job) for one in settled]
        infos, _ = await self._classes.intern(wanted)
        rows = [
            NewJob(
                class_id=info.spec.class_id,
                body=body,
                priority=job.priority,
                retries=job.retries,
                queue_until=None,
                name=job.name or None,
                inputs=one.inputs,
                stores=one.stores,
                has_tokens=False,
            )
            for (job, body), one, info in zip(bodies, settled, infos, strict=True)
        ]
        made = await self._quotas.with_room(
            run_records.make_tasks,
            production_id,
            row.transformation_id,
            row.tasks_made,
            submission_of(row, at=self._clock.wall()),
            [NewTask(job=row, recipe=one.recipe) for row, one in zip(rows, jobs, strict=True)],
            [one.key for one in jobs],
        )
        if made:  # no await: the jobs are durable, and wait
            self._submissions.take_up(made[0].job_id, CheckedJobs(infos, rows))
        return made

    def _class(self, row: TransformationRow, job: Job) -> JobClassRow:
        return JobClassRow(
            community=row.community,
            group=row.group,
            owner_id=row.owner_id,
            type=job.type,
            needs=_encode(normal_needs(needs_of(job))),
            preference=_encode(normal_preference(job.preference)),
        )
