"""The part of the store in memory that keeps what failover knows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pilotage.central.store.failover import (
    BACKFILL_MAX,
    DROPPED_MAX,
    LOST_TOO_OFTEN,
    REASSIGNED,
    CycleKept,
    Decided,
    EndedTask,
    FailoverRow,
    HeldTask,
    Mend,
    OddInput,
    OddTask,
    ReportRow,
    ReportSearch,
    TriedAgain,
)
from pilotage.central.store.records import AttemptRow
from pilotage.proto.catalogue import FileState
from pilotage.proto.job_states import JobState
from pilotage.proto.transformation_states import InputState, TaskState

from .fake_store_catalogue import mark_removed
from .fake_store_transformations import FakeTransformations, Task

_GONE = (FileState.LOST, FileState.REMOVED)


@dataclass
class FailoverData:
    """What survives a restart."""

    rows: dict[int, FailoverRow] = field(default_factory=dict[int, FailoverRow])
    # Of each transformation the tasks that had ended and were looked at, or were before it began.
    seen: dict[int, set[int]] = field(default_factory=dict[int, set[int]])
    decisions: dict[int, bytes] = field(default_factory=dict[int, bytes])
    reports: dict[int, ReportRow] = field(default_factory=dict[int, ReportRow])
    next_report: int = 1


class FakeFailover(FakeTransformations):
    """The verbs of `store.failover`."""

    _failover_data: FailoverData
    _catalogue_data: Any

    async def begin_failover(self, transformation_id: int) -> None:
        self.begin_write()
        self._begin_failover(transformation_id)
        await self.synced()

    def _begin_failover(self, transformation_id: int) -> None:
        data = self._failover_data
        if transformation_id not in data.rows:
            data.rows[transformation_id] = FailoverRow(transformation_id=transformation_id)
            over = sorted(one.row.task_id for one in self._over(transformation_id))
            data.seen[transformation_id] = set(over[:-BACKFILL_MAX])

    def _over(self, transformation_id: int) -> list[Task]:
        return [
            one
            for _, one in sorted(self._transformation_data.tasks.items())
            if one.transformation_id == transformation_id and one.row.state is not TaskState.CREATED
        ]

    async def failover_rows(self, transformation_ids: Sequence[int]) -> dict[int, FailoverRow]:
        rows = self._failover_data.rows
        return {one: rows[one] for one in transformation_ids if one in rows}

    async def failover_ends(self, transformation_id: int, *, limit: int) -> list[EndedTask]:
        data = self._failover_data
        if transformation_id not in data.rows:
            return []
        return [
            EndedTask(
                transformation_id=transformation_id,
                task_id=one.row.task_id,
                number=one.row.number,
                job_id=one.row.job_id,
                state=one.row.state,
                ended_at=one.row.ended_at or 0.0,
                decisions=data.decisions.get(one.row.task_id, b""),
            )
            for one in self._over(transformation_id)
            if one.row.task_id not in data.seen[transformation_id]
        ][:limit]

    async def unseen_failover(self) -> list[int]:
        return [
            one
            for one in sorted(self._failover_data.rows)
            if await self.failover_ends(one, limit=1)
        ]

    async def note_decisions(self, decisions: Sequence[Decided]) -> None:
        self.begin_write()
        for one in decisions:
            self._begin_failover(one.transformation_id)
            self._failover_data.decisions[one.task_id] = one.said
        await self.synced()

    async def keep_cycle(self, kept: CycleKept) -> list[int] | None:
        self.begin_write()
        ids = self._keep_cycle(kept)
        await self.synced()
        return ids

    def _keep_cycle(self, kept: CycleKept) -> list[int] | None:
        data, one = self._failover_data, kept.row.transformation_id
        if one not in data.rows or data.rows[one].cycle != kept.was:
            return None
        if not all(self._holds(mend) for mend in kept.mends):
            return None
        move = kept.move
        if move is not None:
            row = self._transformation_data.rows.get(one)
            if row is None or row.state is not move.old:
                return None
            given: dict[str, object] = {"state": move.new, "reason": move.reason}
            given["changed_at"] = move.at
            if move.closing is not None:
                given["closing"] = move.closing
            self._replace_row(one, **given)
        for mend in kept.mends:
            self._mend(mend, kept.at)
        data.rows[one] = kept.row
        if kept.flush:
            self._replace_row(one, flushing=True)
        data.seen[one] |= set(kept.seen)
        for task in kept.seen:
            data.decisions.pop(task, None)
        return [self._add_report(kept, i) for i in range(len(kept.reports))]

    def _add_report(self, kept: CycleKept, number: int) -> int:
        data, new = self._failover_data, kept.reports[number]
        row = self._transformation_data.rows[kept.row.transformation_id]
        report_id = data.next_report
        data.next_report += 1
        data.reports[report_id] = ReportRow(
            report_id=report_id,
            transformation_id=row.transformation_id,
            name=row.name,
            community=row.community,
            cycle=kept.row.cycle,
            at=kept.at,
            mail_due=kept.at if kept.mail else None,
            **msgspec.structs.asdict(new),
        )
        return report_id

    async def held_tasks(self, transformation_ids: Sequence[int]) -> list[HeldTask]:
        found: list[HeldTask] = []
        data = self._transformation_data
        for task_id, task in sorted(data.tasks.items()):
            job = self._data.jobs.get(task.row.job_id)
            if (
                task.transformation_id not in transformation_ids
                or task.row.state is not TaskState.CREATED
                or job is None
                or job.state is not JobState.HELD
                or not job.reason.startswith(LOST_TOO_OFTEN)
            ):
                continue
            files = {
                file
                for (one, file, _), row in data.inputs.items()
                if one == task.transformation_id
                and row.task_id == task_id
                and row.state is InputState.ASSIGNED
            }
            before = Counter(
                file
                for other in data.tasks.values()
                if other.transformation_id == task.transformation_id
                and other.row.state is TaskState.KILLED
                and other.row.reason == REASSIGNED
                for file in other.files
                if file in files
            )
            found.append(
                HeldTask(
                    transformation_id=task.transformation_id,
                    task_id=task_id,
                    number=task.row.number,
                    job_id=task.row.job_id,
                    inputs=len(files),
                    reassigned=max(before.values(), default=0),
                )
            )
        return found

    async def attempts_of_jobs(self, job_ids: Sequence[int]) -> dict[int, list[AttemptRow]]:
        return {
            job: [self._data.attempts[one] for one in self._data.jobs[job].attempts]
            for job in job_ids
            if job in self._data.jobs and self._data.jobs[job].attempts
        }

    async def tried_again(self, since: float, *, limit: int) -> list[TriedAgain]:
        data = self._transformation_data
        found: list[TriedAgain] = []
        for task_id, task in sorted(data.tasks.items(), reverse=True):
            job = self._data.jobs.get(task.row.job_id)
            had = [
                (file_id, row.errors)
                for (one, file_id, _), row in sorted(data.inputs.items())
                if one == task.transformation_id
                and row.task_id == task_id
                and row.state is InputState.ASSIGNED
            ]
            if (
                task.row.state is TaskState.CREATED
                and task.row.made_at >= since
                and job is not None
                and job.state is JobState.WAITING
                and any(errors for _, errors in had)
            ):
                found.append(
                    TriedAgain(
                        transformation_id=task.transformation_id,
                        task_id=task_id,
                        job_id=task.row.job_id,
                        made_at=task.row.made_at,
                        file_ids=tuple(sorted({file_id for file_id, _ in had})),
                    )
                )
        return found[:limit]

    # -- tasks that do not agree ----------------------------------------------------------------

    async def note_missed_ends(self) -> int:
        self.begin_write()
        data = self._transformation_data
        missed = len(data.untold)
        data.untold.clear()
        await self.synced()
        return missed

    async def odd_inputs(self, transformation_id: int, *, limit: int) -> list[OddTask]:
        data = self._transformation_data
        found: dict[int, list[OddInput]] = {}
        for (one, file_id, number), row in sorted(data.inputs.items()):
            if one != transformation_id or row.state is not InputState.ASSIGNED or limit <= 0:
                continue
            assert row.task_id is not None
            task = data.tasks.get(row.task_id)
            if task is None or task.row.state is not TaskState.CREATED:
                limit -= 1
                found.setdefault(row.task_id, []).append(
                    self._odd_input(row.task_id, transformation_id, file_id, number)
                )
        return [
            OddTask(
                transformation_id=transformation_id,
                task_id=task_id,
                number=data.tasks[task_id].row.number if task_id in data.tasks else 0,
                job_id=data.tasks[task_id].row.job_id if task_id in data.tasks else 0,
                state=data.tasks[task_id].row.state if task_id in data.tasks else None,
                outputs=len(self._outputs(task_id)),
                outputs_gone=sum(one.state in _GONE for one in self._outputs(task_id)),
                inputs=tuple(some),
            )
            for task_id, some in sorted(found.items())
        ]

    def _odd_input(
        self, task_id: int, transformation_id: int, file_id: int, number: int
    ) -> OddInput:
        data = self._transformation_data
        row = data.inputs[transformation_id, file_id, number]
        other = data.tasks.get(row.task_id or 0)
        file = next((one for one in self._catalogue_data.all() if one.file_id == file_id), None)
        return OddInput(
            file_id=file_id,
            input_no=number,
            state=row.state,
            is_own=row.task_id == task_id,
            other_did=row.task_id != task_id
            and other is not None
            and other.row.state is TaskState.DONE,
            errors=row.errors,
            replays=row.replays,
            is_there=file is not None and file.state not in _GONE,
        )

    def _outputs(self, task_id: int) -> list[Any]:
        task = self._transformation_data.tasks.get(task_id)
        if task is None:
            return []
        return [one for one in self._catalogue_data.all() if one.job_id == task.row.job_id]

    def _is_read(self, task_id: int) -> bool:
        files = {one.file_id for one in self._outputs(task_id)}
        tasks = self._transformation_data.tasks.values()
        return any(
            files.intersection(one.files) and one.row.state in (TaskState.CREATED, TaskState.DONE)
            for one in tasks
        ) or any(
            files.intersection(inputs)
            and not self._is_of_task(job)
            and job in self._data.jobs
            and self._data.jobs[job].state not in (JobState.FAILED, JobState.KILLED)
            for job, inputs in self._catalogue_data.job_inputs.items()
        )

    def _is_of_task(self, job_id: int) -> bool:
        tasks = self._transformation_data.tasks.values()
        return any(one.row.job_id == job_id for one in tasks)

    async def odd_outputs(self, transformation_id: int, *, after: int, limit: int) -> list[OddTask]:
        found: list[OddTask] = []
        for task in self._over(transformation_id):
            task_id = task.row.task_id
            files = self._outputs(task_id)
            gone = sum(one.state in _GONE for one in files)
            is_odd = gone > 0 if task.row.state is TaskState.DONE else gone < len(files)
            if task.row.number <= after or not is_odd:
                continue
            found.append(
                OddTask(
                    transformation_id=transformation_id,
                    task_id=task_id,
                    number=task.row.number,
                    job_id=task.row.job_id,
                    state=task.row.state,
                    outputs=len(files),
                    outputs_gone=gone,
                    outputs_lost=sum(one.state is FileState.LOST for one in files),
                    is_read=self._is_read(task_id),
                    inputs=tuple(
                        self._odd_input(task_id, one, file_id, number)
                        for (one, file_id, number), row in sorted(
                            self._transformation_data.inputs.items()
                        )
                        if one == transformation_id
                        and file_id in task.files
                        and row.state is not InputState.SHARED
                    ),
                )
            )
        return found[:limit]

    def _holds(self, mend: Mend) -> bool:
        data = self._transformation_data
        task = data.tasks.get(mend.task_id)
        if (None if task is None else task.row.state) is not mend.old:
            return False
        if mend.clean and self._is_read(mend.task_id):
            return False
        rows = [
            data.inputs.get((one.transformation_id, one.file_id, one.input_no))
            for one in mend.inputs
        ]
        return all(
            row is not None and row.state is one.old and row.task_id == mend.task_id
            for row, one in zip(rows, mend.inputs, strict=True)
        )

    def _mend(self, mend: Mend, at: float) -> None:
        if mend.new is not None and mend.new is not mend.old:
            task = self._transformation_data.tasks[mend.task_id]
            task.row = msgspec.structs.replace(task.row, state=mend.new, reason=mend.reason)
        for one in mend.inputs:
            self._move_input(one, at)
        for file in self._outputs(mend.task_id) if mend.clean else ():
            if file.state not in _GONE:
                mark_removed(file, at)
                self._catalogue_data.touch(file)

    # -- reports --------------------------------------------------------------------------------

    async def reports(self, search: ReportSearch) -> list[ReportRow]:
        rows = self._transformation_data.rows
        return [
            one
            for _, one in sorted(self._failover_data.reports.items(), reverse=True)
            if (search.before is None or one.report_id < search.before)
            and one.at >= search.since
            and search.community in (None, one.community)
            and search.owner_id in (None, rows[one.transformation_id].owner_id)
            and (search.groups is None or rows[one.transformation_id].group in search.groups)
            and search.transformation_id in (None, one.transformation_id)
        ][: search.limit]

    async def report(self, report_id: int) -> ReportRow | None:
        return self._failover_data.reports.get(report_id)

    async def mails_due(self, now: float, *, limit: int) -> list[ReportRow]:
        return [
            one
            for _, one in sorted(self._failover_data.reports.items())
            if one.mail_due is not None and one.mail_due <= now
        ][:limit]

    def _change_report(self, report_id: int, **fields: object) -> None:
        reports = self._failover_data.reports
        reports[report_id] = msgspec.structs.replace(reports[report_id], **fields)

    async def mailed(self, report_id: int, at: float) -> None:
        self.begin_write()
        if report_id in self._failover_data.reports:
            self._change_report(report_id, mailed_at=at, mail_due=None, mail_why="")
        await self.synced()

    async def mail_failed(self, report_id: int, *, why: str, due: float | None) -> None:
        self.begin_write()
        row = self._failover_data.reports.get(report_id)
        if row is not None and row.mailed_at is None:
            tries = row.mail_tries + 1
            self._change_report(report_id, mail_due=due, mail_tries=tries, mail_why=why)
        await self.synced()

    async def drop_reports(self, before: float) -> int:
        self.begin_write()
        reports = self._failover_data.reports
        old = [one for one, row in sorted(reports.items()) if row.at < before][:DROPPED_MAX]
        for one in old:
            del reports[one]
        await self.synced()
        return len(old)
