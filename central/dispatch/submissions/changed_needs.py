"""Finds the new classes of jobs whose needs a person changes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pilotage.proto.documents.job import Need
from pilotage.proto.problems import Code

from ...errors import Refused
from ...jobs import record as job_records
from ...jobs.classes import KnownClass
from ...jobs.definition.need_changes import NeedChange
from ...jobs.definition.rendering import UNREADABLE, described
from ...jobs.record_types import JobBody, JobClassRow, JobStanding
from ...store.engine import Store
from ..idle_classes import IdleClasses
from ..memory import Memory

TOGETHER: Final = 100  # jobs whose descriptions are read at once: each has at most 1 MiB
NOT_STORED: Final = -1  # in place of the id of a new class, in a dry run

_encode = msgspec.json.encode
# For each job its class, or why its needs cannot change.
NewClasses = dict[int, int | Refused]


class ChangedNeeds:
    """Gives jobs the classes of their changed needs, and stores and queues new classes."""

    def __init__(self, store: Store, memory: Memory, idle: IdleClasses) -> None:
        self._store, self._queue, self._classes = store, memory.queue, memory.classes
        self._idle = idle

    async def classes(
        self, jobs: Sequence[JobStanding], change: NeedChange, *, is_dry: bool
    ) -> NewClasses:
        """Return the class of each job with its changed needs. A dry run stores no class."""
        found: NewClasses = {}
        rows: dict[int, JobClassRow] = {}
        made: dict[tuple[int, bytes], tuple[Need, ...] | Refused] = {}
        for start in range(0, len(jobs), TOGETHER):
            some = jobs[start : start + TOGETHER]
            bodies = await self._store.read(job_records.bodies, [job.job_id for job in some])
            for job in some:
                info, body = self._queue.classes[job.class_id], bodies.get(job.job_id)
                if body is None:
                    found[job.job_id] = Refused(Code.NOT_FOUND, f"there is no job {job.job_id}")
                    continue
                key = (job.class_id, body.body if body.template is None else body.template)
                if key not in made:
                    made[key] = _changed(body, info, change)
                needs = made[key]
                if isinstance(needs, Refused):
                    found[job.job_id] = needs
                elif needs == info.spec.needs:
                    found[job.job_id] = job.class_id
                elif is_dry:
                    found[job.job_id] = NOT_STORED
                else:
                    rows[job.job_id] = _row(info, needs)
        await self._intern(rows, found)
        return found

    async def _intern(self, rows: Mapping[int, JobClassRow], found: NewClasses) -> None:
        """Store new classes. An owner that would have too many gets none."""
        by_owner: defaultdict[int, list[int]] = defaultdict(list)
        for job, row in rows.items():
            by_owner[row.owner_id].append(job)
        for jobs in by_owner.values():
            try:
                infos, new = await self._classes.intern([rows[job] for job in jobs])
            except Refused as why:
                found |= dict.fromkeys(jobs, why)
                continue
            for info in new:
                self._queue.learn(info)
            found |= {job: info.spec.class_id for job, info in zip(jobs, infos, strict=True)}
            await self._idle.load({info.spec.class_id for info in infos})


def _changed(body: JobBody, info: KnownClass, change: NeedChange) -> tuple[Need, ...] | Refused:
    try:
        return change.applied(described(body.template, body.body), info.spec.needs)
    except Refused as why:
        return Refused(why.code, why.message.removeprefix("job."), field=why.field)
    except UNREADABLE as why:
        return Refused(Code.INVALID, f"this release cannot read it: {type(why).__name__}: {why}")


def _row(info: KnownClass, needs: tuple[Need, ...]) -> JobClassRow:
    community, group, owner_id, kind, _, preference = info.key
    return JobClassRow(
        community=community,
        group=group,
        owner_id=owner_id,
        type=kind,
        needs=_encode(needs),
        preference=preference,
    )
