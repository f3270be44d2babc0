"""The part of the store in memory that keeps transformations."""

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pilotage.central.store.errors import StoreError
from pilotage.central.store.quotas import Naming
from pilotage.central.store.records import NewSubmission
from pilotage.central.store.transformations import (
    TASKS_A_CHUNK_MAX,
    Counts,
    EndInput,
    InputMove,
    InputRow,
    MadeTask,
    NewInput,
    NewTask,
    NewTransformation,
    TaskClose,
    TaskEnd,
    TaskOfJob,
    TaskRow,
    TransformationMove,
    TransformationRow,
)
from pilotage.proto.job_states import FINAL
from pilotage.proto.transformation_states import (
    MAKES_TASKS,
    InputState,
    TaskState,
    TransformationState,
)

from .fake_store_rows import Data

Key = tuple[int, int, int]  # transformation, file, input
_HIDDEN = (TransformationState.ARCHIVED, TransformationState.CLEANED)
_LEFT = (InputState.UNUSED, InputState.MAXRESET, InputState.PROBLEMATIC, InputState.MISSING)
_KEPT = (InputState.PROCESSED, InputState.ASSIGNED, InputState.SHARED)


@dataclass
class Task:
    """One task."""

    transformation_id: int
    row: TaskRow
    files: tuple[int, ...]  # side inputs too


@dataclass
class TransformationData:
    """What survives a restart."""

    rows: dict[int, TransformationRow] = field(default_factory=dict[int, TransformationRow])
    tasks: dict[int, Task] = field(default_factory=dict[int, Task])
    inputs: dict[Key, InputRow] = field(default_factory=dict[Key, InputRow])
    lost: set[int] = field(default_factory=set[int])
    untold: set[int] = field(default_factory=set[int])  # tasks whose end nobody was told of
    looked: dict[str, int] = field(default_factory=dict[str, int])
    next_id: int = 1

    def again(self) -> "TransformationData":
        """Return what the next process finds."""
        return copy.deepcopy(self)

    def with_blobs(self) -> list[Naming]:
        """Return the texts in which blobs stand that are kept."""
        return [
            Naming(row.owner_id, row.group, row.doc)
            for row in self.rows.values()
            if row.state is not TransformationState.CLEANED
        ]


class FakeTransformations:
    """The verbs of `store.transformations`."""

    _data: Data
    _transformation_data: TransformationData

    def begin_write(self) -> None:
        raise NotImplementedError

    async def synced(self) -> None:
        raise NotImplementedError

    def check_room(self, jobs: Sequence[Any]) -> None:
        """Raise OverQuota for jobs that are too many."""
        raise NotImplementedError

    async def submit(self, new: NewSubmission, jobs: Sequence[Any]) -> Any:
        raise NotImplementedError

    async def add_transformation(self, new: NewTransformation) -> TransformationRow:
        self.begin_write()
        row = self._named(new.community, new.name)
        if row is None:
            row = self._insert(self._transformation_data.next_id, new)
            self._transformation_data.next_id += 1
        await self.synced()
        return row

    def _insert(self, transformation_id: int, new: NewTransformation) -> TransformationRow:
        given = msgspec.structs.asdict(new)
        at = given.pop("at")
        row = TransformationRow(
            transformation_id=transformation_id, reason="", tasks_made=0, scouted=b"",
            closing=False, flushing=False, seeded=False, seed_place="", made_at=at,
            changed_at=at, judged_from=0.0, **given,
        )  # fmt: skip
        if new.parent_id is not None and self._heir(new.parent_id) is not None:
            raise StoreError(f"another one was derived from {new.parent_id}")
        self._transformation_data.rows[transformation_id] = row
        return row

    def _named(self, community: str, name: str) -> TransformationRow | None:
        for row in self._transformation_data.rows.values():
            if (row.community, row.name) == (community, name) and row.state not in _HIDDEN:
                return row
        return None

    def _heir(self, transformation_id: int) -> int | None:
        for row in self._transformation_data.rows.values():
            if row.parent_id == transformation_id:
                return row.transformation_id
        return None

    async def transformation(self, transformation_id: int) -> TransformationRow | None:
        return self._transformation_data.rows.get(transformation_id)

    async def transformation_named(self, community: str, name: str) -> TransformationRow | None:
        return self._named(community, name)

    async def transformations(
        self,
        community: str | None,
        *,
        states: Sequence[TransformationState],
        after: int,
        limit: int,
    ) -> list[TransformationRow]:
        return [
            row
            for one, row in sorted(self._transformation_data.rows.items())
            if one > after
            and community in (None, row.community)
            and (not states or row.state in states)
        ][:limit]

    def _replace_row(self, transformation_id: int, **fields: object) -> None:
        rows = self._transformation_data.rows
        rows[transformation_id] = msgspec.structs.replace(rows[transformation_id], **fields)

    async def move_transformation(self, move: TransformationMove) -> bool:
        self.begin_write()
        row = self._transformation_data.rows.get(move.transformation_id)
        done = row is not None and row.state is move.old
        if done:
            self._check_unique(move)
            self._move_row(move)
        await self.synced()
        return done

    def _check_unique(self, move: TransformationMove) -> None:
        """Raise StoreError where one that was put away would have another's name again."""
        rows = self._transformation_data.rows
        row = rows[move.transformation_id]
        if row.state in _HIDDEN and move.new not in _HIDDEN and any(
            (one.community, one.name) == (row.community, row.name) and one.state not in _HIDDEN
            for one in rows.values()
        ):  # fmt: skip
            raise StoreError(f"{row.name!r} is the name of another one")

    def _move_row(self, move: TransformationMove) -> None:
        given: dict[str, object] = {"state": move.new, "reason": move.reason}
        given["changed_at"] = move.at
        for name in ("closing", "scouts_until", "scouted"):
            if getattr(move, name) is not None:
                given[name] = getattr(move, name)
        if move.seed_anew:
            given |= {"seeded": False, "seed_place": ""}
        if move.judge_anew:
            given["judged_from"] = move.at
        self._replace_row(move.transformation_id, **given)

    async def extend_transformation(
        self, transformation_id: int, *, old: int, new: int, at: float
    ) -> bool:
        self.begin_write()
        row = self._transformation_data.rows.get(transformation_id)
        done = row is not None and row.tasks_wanted == old and new >= row.tasks_made
        if done:
            self._replace_row(transformation_id, tasks_wanted=new, changed_at=at)
        await self.synced()
        return done

    async def set_flushing(self, transformation_id: int, flushing: bool) -> None:
        self.begin_write()
        if transformation_id in self._transformation_data.rows:
            self._replace_row(transformation_id, flushing=flushing)
        await self.synced()

    async def add_inputs(
        self,
        inputs: Sequence[NewInput],
        at: float,
        *,
        looked: tuple[str, int] | None = None,
        moves: Sequence[InputMove] = (),
    ) -> tuple[list[bool], list[bool]]:
        self.begin_write()
        if looked is not None:
            seqs = self._transformation_data.looked
            seqs[looked[0]] = max(looked[1], seqs.get(looked[0], 0))
        moved = [self._move_input(one, at) for one in moves]
        new = [self._insert_input(one, at) for one in inputs]
        await self.synced()
        return new, moved

    def _insert_input(self, one: NewInput, at: float) -> bool:
        key = (one.transformation_id, one.file_id, one.input_no)
        if key in self._transformation_data.inputs:
            return False
        self._transformation_data.inputs[key] = InputRow(
            file_id=one.file_id,
            input_no=one.input_no,
            state=one.state,
            task_id=None,
            errors=0,
            replays=0,
            inherited=False,
            changed_at=at,
        )
        return True

    async def seed(
        self,
        transformation_id: int,
        inputs: Sequence[NewInput],
        at: float,
        *,
        place: str,
        is_end: bool,
        moves: Sequence[InputMove] = (),
    ) -> tuple[list[bool], list[bool]]:
        row = self._transformation_data.rows.get(transformation_id)
        if row is not None and not row.seeded:
            self._replace_row(transformation_id, seed_place=place, seeded=is_end)
        return await self.add_inputs(inputs, at, moves=moves)

    async def looked_until(self, community: str) -> int:
        return self._transformation_data.looked.get(community, 0)

    async def make_tasks(
        self, transformation_id: int, made: int, new: NewSubmission, tasks: Sequence[NewTask]
    ) -> list[MadeTask]:
        self.begin_write()
        if len(tasks) > TASKS_A_CHUNK_MAX:
            raise ValueError("too many tasks")
        keys = [(transformation_id, i.file_id, i.input_no) for task in tasks for i in task.inputs]
        if len(set(keys)) != len(keys):
            raise ValueError("an input stands twice")
        if not tasks or not self._may_make(transformation_id, made, len(tasks), keys):
            await self.synced()
            return []
        self.check_room([task.job for task in tasks])
        self._replace_row(transformation_id, tasks_made=made + len(tasks))
        data = self._transformation_data
        first = max(data.tasks, default=0) + 1
        job = self._data.next_job
        for place, task in enumerate(tasks):
            row = TaskRow(
                task_id=first + place, number=made + 1 + place, job_id=job + place,
                state=TaskState.CREATED, reason="", made_at=new.at, ended_at=None,
            )  # fmt: skip
            files = (*(one.file_id for one in task.inputs), *task.shared)
            data.tasks[row.task_id] = Task(transformation_id, row, files)
            for one in task.inputs:
                key = (transformation_id, one.file_id, one.input_no)
                data.inputs[key] = msgspec.structs.replace(
                    data.inputs[key], state=InputState.ASSIGNED, task_id=row.task_id,
                    changed_at=new.at, inherited=False,
                )  # fmt: skip
        await self.submit(new, [task.job for task in tasks])  # one await, after all is written
        return [
            MadeTask(task_id=first + i, number=made + 1 + i, job_id=job + i)
            for i in range(len(tasks))
        ]

    def _may_make(self, transformation_id: int, made: int, count: int, keys: Sequence[Key]) -> bool:
        row = self._transformation_data.rows.get(transformation_id)
        inputs = self._transformation_data.inputs
        if any(key not in inputs or inputs[key].state is not InputState.UNUSED for key in keys):
            return False
        if row is None or row.tasks_made != made or row.state not in MAKES_TASKS:
            return False
        bounds = (row.tasks_wanted, row.scouts_until)
        return all(not most or made + count <= most for most in bounds)

    async def task_ends(self, limit: int) -> list[TaskEnd]:
        return [self._end_of_task(task) for task in self._ended_tasks()][:limit]

    def _ended_tasks(self) -> Iterator[Task]:
        data = self._transformation_data
        for task_id, task in sorted(data.tasks.items()):
            job = self._data.jobs.get(task.row.job_id)
            over = task_id in data.lost or (job is not None and job.state in FINAL)
            if task.row.state is TaskState.CREATED and over and task_id not in data.untold:
                yield task

    def _end_of_task(self, task: Task) -> TaskEnd:
        job = self._data.jobs.get(task.row.job_id)
        last = self._data.attempts[job.attempts[-1]] if job and job.attempts else None
        how = last.how if last is not None else None
        return TaskEnd(
            task_id=task.row.task_id,
            transformation_id=task.transformation_id,
            number=task.row.number,
            job_id=task.row.job_id,
            state=job.state if job is not None else None,
            inputs=tuple(self._had(task)),
            how=how.value if how is not None else "",
            reason=(job.reason if job else "") or (last.reason if last else ""),
        )

    def _heirs(self, transformation_id: int) -> Iterator[int]:
        heir: int | None = transformation_id
        while heir is not None:
            yield heir
            heir = self._heir(heir)

    def _had(self, task: Task) -> Iterable[EndInput]:
        heirs, data = set(self._heirs(task.transformation_id)), self._transformation_data
        for (one, file_id, number), row in sorted(data.inputs.items()):
            if one in heirs and row.task_id == task.row.task_id:
                if row.state is InputState.ASSIGNED:
                    yield EndInput(
                        transformation_id=one, file_id=file_id, input_no=number,
                        errors=row.errors,
                        has_heir=(self._heir(one), file_id, number) in data.inputs,
                    )  # fmt: skip

    async def lost_tasks(self) -> int:
        self.begin_write()
        data = self._transformation_data
        found = {
            task_id
            for task_id, task in data.tasks.items()
            if task.row.state is TaskState.CREATED and task.row.job_id not in self._data.jobs
        }
        new = len(found - data.lost)
        data.lost |= found
        await self.synced()
        return new

    async def close_tasks(self, closes: Sequence[TaskClose]) -> list[bool]:
        self.begin_write()
        done = [self._close_task(one) for one in closes]
        await self.synced()
        return done

    def _close_task(self, close: TaskClose) -> bool:
        task = self._transformation_data.tasks.get(close.task_id)
        if task is None or task not in self._ended_tasks():
            return False
        has = {(one.transformation_id, one.file_id, one.input_no) for one in self._had(task)}
        if has != {(one.transformation_id, one.file_id, one.input_no) for one in close.inputs}:
            return False
        task.row = msgspec.structs.replace(
            task.row, state=close.state, reason=close.reason, ended_at=close.at
        )
        for one in close.inputs:
            self._move_input(one, close.at)
        return True

    def _move_input(self, move: InputMove, at: float) -> bool:
        key = (move.transformation_id, move.file_id, move.input_no)
        row = self._transformation_data.inputs.get(key)
        if row is None or row.state is not move.old:
            return False
        if move.old is InputState.ASSIGNED and row.task_id != move.task_id:
            return False
        self._transformation_data.inputs[key] = msgspec.structs.replace(
            row,
            state=move.new,
            changed_at=at,
            errors=0 if move.no_errors else row.errors + move.error,
            replays=row.replays + move.replay,
        )
        return True

    async def move_inputs(self, moves: Sequence[InputMove], at: float) -> list[bool]:
        self.begin_write()
        done = [self._move_input(one, at) for one in moves]
        await self.synced()
        return done

    async def derive_inputs(self, parent_id: int, child_id: int, at: float) -> int:
        self.begin_write()
        inputs = self._transformation_data.inputs
        for (one, file_id, number), row in list(inputs.items()):
            if one != parent_id or row.state in (InputState.REMOVED, InputState.MOVED):
                continue
            state = row.state if row.state in _KEPT else InputState.UNUSED
            mine = InputRow(
                file_id=file_id, input_no=number, state=state,
                task_id=row.task_id if state in _KEPT[:2] else None,
                errors=0, replays=0, inherited=True, changed_at=at,
            )  # fmt: skip
            inputs.setdefault((child_id, file_id, number), mine)
            if row.state in _LEFT:
                inputs[one, file_id, number] = msgspec.structs.replace(
                    row, state=InputState.MOVED, changed_at=at
                )
        await self.synced()
        return sum(
            row.state in (InputState.UNUSED, InputState.ASSIGNED)
            for (one, _, _), row in inputs.items()
            if one == child_id
        )

    async def derived_from(self, transformation_id: int) -> int | None:
        return self._heir(transformation_id)

    async def inputs(
        self,
        transformation_id: int,
        *,
        states: Sequence[InputState],
        after: tuple[int, int],
        limit: int,
    ) -> list[InputRow]:
        tasks = self._transformation_data.tasks
        return [
            msgspec.structs.replace(
                row, number=tasks[row.task_id].row.number if row.task_id is not None else None
            )
            for (one, file_id, number), row in sorted(self._transformation_data.inputs.items())
            if one == transformation_id
            and (file_id, number) > after
            and (not states or row.state in states)
        ][:limit]

    async def tasks(
        self, transformation_id: int, *, states: Sequence[TaskState], after: int, limit: int
    ) -> list[TaskRow]:
        return [
            task.row
            for task in self._tasks_of(transformation_id)
            if task.row.number > after and (not states or task.row.state in states)
        ][:limit]

    def _tasks_of(self, transformation_id: int) -> list[Task]:
        tasks = self._transformation_data.tasks.values()
        mine = [task for task in tasks if task.transformation_id == transformation_id]
        return sorted(mine, key=lambda task: task.row.number)

    async def last_ends(self, transformation_id: int, since: float, limit: int) -> list[TaskState]:
        return [
            task.row.state
            for task in reversed(self._tasks_of(transformation_id))
            if task.row.ended_at is not None and task.row.ended_at > since
        ][:limit]

    async def transformation_counts(self, transformation_ids: Sequence[int]) -> dict[int, Counts]:
        found: dict[int, Counts] = {}
        for wanted in transformation_ids:
            inputs = Counter(
                (number, row.state)
                for (one, _, number), row in self._transformation_data.inputs.items()
                if one == wanted
            )
            tasks = Counter(task.row.state for task in self._tasks_of(wanted))
            found[wanted] = Counts(inputs=dict(inputs), tasks=dict(tasks))
        return found

    async def tasks_of_jobs(self, job_ids: Sequence[int]) -> dict[int, TaskOfJob]:
        tasks = self._transformation_data.tasks
        of_job = {
            one.row.job_id: TaskOfJob(task_id, one.transformation_id, one.row.number)
            for task_id, one in tasks.items()
        }
        return {job: of_job[job] for job in job_ids if job in of_job}
