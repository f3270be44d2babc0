"""Makes tasks: groups of inputs with their jobs, stored in one transaction and queued."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from pilotage.proto.documents.job import Job
from pilotage.proto.transformation_states import InputState, TransformationState

from ..accounts.disk_room import DiskRoom
from ..accounts.quotas import Quotas
from ..catalogue.input_resolution import InputResolver, ResolvedInputs
from ..catalogue.record_types import FileRow
from ..catalogue.storages import Storages
from ..dispatch.submissions.intake import CheckedJobs
from ..dispatch.submissions.submissions import Submissions
from ..identity.bans.ban_list import BanList
from ..identity.scope import Owners
from ..jobs.classes import JobClasses
from ..jobs.definition.normal_form import normal_preference
from ..jobs.definition.sizes import check_size
from ..jobs.definition.software import needs_of
from ..jobs.record_types import JobClassRow, NewJob, NewSubmission
from ..observe.events import Log
from ..pauses import by_and_by
from ..ports import Clock
from ..sites.suspended_hosts import SuspendedHosts
from ..store.engine import Store
from ..store.errors import OverQuota
from . import record as transformation_records
from .grouping import Group, WaitingInput, key_of
from .groupings.pending_groups import ASIDE_FROM, GroupingRequest, Regrouping
from .groupings.rule_names import BUILT_IN
from .groupings.side_inputs import SideInputs
from .input_files import FileReader
from .input_moves import moves_of
from .live_state import NEVER, LiveTransformation
from .missing_outputs import MissingOutputs, said_of, takes_all
from .record import TASKS_A_CHUNK_MAX, MadeTask, NewTask, TakenInput, TransformationRow
from .repairs import asking
from .retry_groups import RetryAdviser, RetryPlan
from .reuse.tasks import TaskReuse, recipe
from .task_jobs import TaskDraft, marked, task_of

PAGE: Final = 1_000
POOL_MAX: Final = 20_000  # inputs in memory that may make groups: twice the largest group
A_TURN: Final = 32  # tasks that are built before others get their turn
CHUNK_BYTES_MAX: Final = 4 << 20  # for the jobs of one transaction
CHUNK_FILES_MAX: Final = 20_000  # files that these jobs read; one job has at most half as many

_encode = msgspec.json.encode


class TaskMaker:
    """Makes tasks."""

    def __init__(
        self,
        *,
        store: Store,
        files: FileReader,
        submissions: Submissions,
        classes: JobClasses,
        owners: Owners,
        storages: Storages,
        adviser: RetryAdviser,
        hosts: SuspendedHosts,
        quotas: Quotas,
        room: DiskRoom,
        bans: BanList,
        reuse: TaskReuse,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._files, self._submissions = store, files, submissions
        self._adviser, self._regrouping, self._hosts = adviser, Regrouping(clock), hosts
        self._storages, self._quotas, self._room = storages, quotas, room
        self._bans, self._reuse = bans, reuse
        self._classes, self._owners = classes, owners
        self._clock, self._log = clock, log

    async def some(self, live: LiveTransformation) -> bool:
        """Make at most one chunk of tasks; return whether there may be more to make now.

        Raises any fault in the transformation's template, rule or limits, and Banned.
        """
        owner = self._owners.owner(live.row.owner_id)
        self._bans.check(owner.issuer, owner.subject)
        if live.doc.inputs and live.pool is None:
            await self._read(live)
        elif self._rests(live):
            return False
        if live.lacks_side_inputs:
            live.due = NEVER  # it is checked again when they come
            return False
        trial = await self._adviser.trial(live)
        groups = await self._groups(live, trial)
        while not groups and not live.is_whole and live.room() > 0:
            await self._read(live)  # those in memory became tasks, or make no group alone
            trial = await self._adviser.trial(live)
            groups = await self._groups(live, trial)
        if not groups:
            return False
        tasks, ready = await self._tasks(live, groups, trial)
        row = live.row
        reused, fresh = await self._reuse.known(live, tasks)
        if reused:
            made = await self._reuse.make(live, reused)
        else:
            tasks, ready = _first_of(tasks, ready, fresh)
            new = submission_of(row, at=self._clock.wall())
            made, ready = await self._made(live, new, tasks, ready)
        if not made:  # another part has changed it: read it again
            live.forget()
            return False
        # No await until memory agrees with the store: the jobs are durable, and wait.
        if reused:
            live.look = True  # no task ends that would tell it
        else:
            self._keep_off(groups, made, trial)
            self._submissions.take_up(made[0].job_id, ready)
            live.open += len(made)
        live.row = msgspec.structs.replace(row, tasks_made=row.tasks_made + len(made))
        if live.pool is not None:
            for task in tasks[: len(made)]:
                for one in task.inputs:
                    del live.pool[key_of(one.file_id, one.input_no)]
            if live.kept.pool is live.pool:  # groups beyond this chunk come first
                live.kept.groups[:0] = [group for group, _ in groups[len(made) :]]
        self._log("tasks_made", transformation=live.id, count=len(made), first=made[0].number)
        return True

    async def _made(
        self,
        live: LiveTransformation,
        new: NewSubmission,
        tasks: Sequence[NewTask],
        ready: CheckedJobs,
    ) -> tuple[list[MadeTask], CheckedJobs]:
        """Make as many tasks as the quotas allow. Raises OverQuota if they allow none.

        Raises ReserveReached if the disk has no room for new tasks.
        """
        await self._room.check_new()
        number = live.row.tasks_made
        while True:
            try:
                made = await self._quotas.with_room(
                    transformation_records.make_tasks, live.id, number, new, tasks
                )
                return made, ready
            except OverQuota as why:
                if not 0 < why.room < len(tasks):
                    raise
                tasks, ready = _first_of(tasks, ready, why.room)

    def _keep_off(
        self,
        groups: Sequence[tuple[Group, tuple[WaitingInput, ...]]],
        made: Sequence[MadeTask],
        trial: RetryPlan,
    ) -> None:
        """Let retried jobs avoid the hosts where they failed."""
        if not trial.asks:
            return
        for (group, _), task in zip(groups, made, strict=False):
            again = trial.asks.get(group[0]) if group else None
            for site, host in again.avoid if again is not None else ():
                assert again is not None
                self._hosts.keep_off(
                    site, host, task.job_id, for_s=again.avoid_s, now=self._clock.monotonic()
                )

    async def _read(self, live: LiveTransformation) -> None:
        """Read the waiting inputs, and move those that cannot be read any more.

        If many wait, read only the first, up to twice the number that makes no group. So memory
        holds inputs that wait for others of their kind, not those that wait for room. Rules from
        other packages see all inputs.
        """
        ungrouped = len(live.pool) if live.pool is not None else 0
        is_ours = live.doc.grouping.rule in BUILT_IN
        most = max(POOL_MAX, 2 * ungrouped) if is_ours else sys.maxsize
        pool: dict[int, WaitingInput] = {}
        shared: dict[int, WaitingInput] = {}
        for state, into in ((InputState.UNUSED, pool), (InputState.SHARED, shared)):
            after = (0, 0)
            while True:
                rows = await self._store.read(
                    transformation_records.inputs, live.id, states=[state], after=after, limit=PAGE
                )
                files, bad = await self._files.of_rows(rows, with_sites=live.by_site, cut=live.cut)
                into.update({one.key: one for one in files})
                moves = [
                    move
                    for row, file_state in bad
                    for move in moves_of(file_state, live.id, row.file_id, row.input_no)
                ]
                if moves:
                    await self._store.write(
                        transformation_records.move_inputs, moves, self._clock.wall()
                    )
                if len(rows) < PAGE or (into is pool and len(pool) >= most):
                    break
                after = (rows[-1].file_id, rows[-1].input_no)
        live.pool, live.shared, live.is_whole = pool, shared, len(pool) < most

    def _rests(self, live: LiveTransformation) -> bool:
        """Return whether to check waiting inputs later: they are many, and were just checked."""
        if live.row.state is not TransformationState.ACTIVE or live.closes_groups:
            return False
        if not live.is_whole:
            return False  # more wait than were read
        rest = self._regrouping.rest_s(live.kept) if live.pool else 0.0
        if rest:
            live.due = self._clock.wall() + rest
        return rest > 0

    async def _groups(
        self, live: LiveTransformation, trial: RetryPlan
    ) -> list[tuple[Group, tuple[WaitingInput, ...]]]:
        """Return the groups that become tasks now, each with its side inputs."""
        live.due = live.retries_at = trial.due
        most = min(live.room(), TASKS_A_CHUNK_MAX)
        if most <= 0:
            return []
        if not live.doc.inputs:
            return [((), ())] * most
        pool = live.pool
        assert pool is not None
        groups, oldest = live.kept.take(pool), None
        if trial.held:
            groups = [one for one in groups if trial.held.isdisjoint(one)]
        if not groups:
            asked = GroupingRequest(
                rule=live.rule,
                files=list(pool.values()),
                plan=live.plan,
                held=frozenset(trial.held),
                now=self._clock.wall() if live.is_whole else -math.inf,  # none has waited too long
                closing=live.closes_groups and live.is_whole,
            )
            groups, oldest = await self._regrouping.look(asked, live.kept)
        found = trial.groups + groups
        beside = SideInputs(live.doc.inputs, live.shared.values(), growing=live.growing)
        ready = first(found, beside, most)
        if oldest is not None and len(found) <= most:
            live.due = min(live.due, oldest + live.doc.grouping.after_s)
        if len(pool) >= ASIDE_FROM and ready:
            self._keep(live, found[found.index(ready[-1][0]) + 1 :])
        return ready

    def _keep(self, live: LiveTransformation, groups: list[Group]) -> None:
        """Keep groups for the next chunk."""
        live.kept.groups, live.kept.pool = groups, live.pool

    async def _tasks(
        self,
        live: LiveTransformation,
        groups: Sequence[tuple[Group, tuple[WaitingInput, ...]]],
        trial: RetryPlan,
    ) -> tuple[list[NewTask], CheckedJobs]:
        """Return the tasks of groups, at most one transaction, and the jobs to queue."""
        bodies: list[tuple[TaskDraft, bytes]] = []
        size = 0
        settling = await self._settling(live, groups)
        number = live.row.tasks_made
        async for group, side in by_and_by(groups, self._clock, a_turn=A_TURN):
            number += 1
            task = task_of(
                live.template,
                transformation_id=live.id,
                number=number,
                group=group,
                side=side,
            )
            lacks = live.missing if takes_all(live.doc) else MissingOutputs()
            if missing := said_of(lacks, (one.metadata for one in (*group, *side))):
                task = replace(task, job=marked(task.job, missing))
            again = trial.asks.get(group[0]) if group else None
            if again is not None:
                task = replace(task, job=asking(task.job, again))
            if bodies and task.job is bodies[-1][0].job:
                body = bodies[-1][1]
            else:
                body = _encode(task.job)
                check_size(body, "job")
            size += len(body)
            if bodies and size > CHUNK_BYTES_MAX:
                break
            bodies.append((task, body))
        settled = [
            await settling.settle(live, task)
            async for task, _ in by_and_by(bodies, self._clock, a_turn=A_TURN)
        ]
        wanted = [self._class(live, one.job) for one in settled]
        infos, _ = await self._classes.intern(wanted)
        at = self._clock.wall()
        rows = [
            NewJob(
                class_id=info.spec.class_id,
                body=body,
                priority=task.job.priority,
                retries=task.job.retries,
                queue_until=at + task.job.queue_s if task.job.queue_s else None,
                name=task.job.name or None,
                inputs=one.inputs,
                stores=one.stores,
                has_tokens=bool(task.job.tokens),
            )
            for (task, body), one, info in zip(bodies, settled, infos, strict=True)
        ]
        tasks = [
            NewTask(
                job=row,
                inputs=tuple(
                    TakenInput(file_id=f.file_id, input_no=f.input_no) for f in task.group
                ),
                shared=tuple(f.file_id for f in task.side),
                recipe=recipe(live, task, settling.rows),
            )
            for row, (task, _) in zip(rows, bodies, strict=True)
        ]
        return tasks, CheckedJobs(infos, rows)

    async def _settling(
        self, live: LiveTransformation, groups: Sequence[tuple[Group, tuple[WaitingInput, ...]]]
    ) -> "_Settling":
        """Read the files of all groups at once."""
        resolving = InputResolver(self._store, self._storages.book, live.row.community)
        ids = {one.file_id for group, side in groups for one in (*group, *side)}
        rows = await self._files.rows(ids)
        await resolving.learn(list(rows.values()))
        return _Settling(resolving, rows)

    def _class(self, live: LiveTransformation, job: Job) -> JobClassRow:
        return JobClassRow(
            community=live.row.community,
            group=live.row.group,
            owner_id=live.row.owner_id,
            type=job.type,
            needs=live.encoded(needs_of(job)),
            preference=_encode(normal_preference(job.preference)),
        )


@dataclass(frozen=True)
class _Settling:
    """The inputs of the jobs of a chunk, and the places where they can run."""

    resolving: InputResolver
    rows: dict[int, FileRow]

    async def settle(self, live: LiveTransformation, task: TaskDraft) -> ResolvedInputs:
        """Return the inputs of one job. Raises Refused if no site reaches all of them."""
        if task.job.data is None:
            return ResolvedInputs((), task.job)
        given: list[list[FileRow]] = [[] for _ in live.doc.inputs]
        for one in task.files:
            row = self.rows.get(one.file_id)
            if row is not None:  # a file that was just removed: the job reports it
                given[one.input_no].append(row)
        return await self.resolving.settle(task.job, "job", group=live.row.group, given=given)


def _first_of(
    tasks: Sequence[NewTask], ready: CheckedJobs, count: int
) -> tuple[list[NewTask], CheckedJobs]:
    """Return the first tasks, and their jobs."""
    return list(tasks[:count]), CheckedJobs(ready.infos[:count], ready.rows[:count])


def submission_of(row: TransformationRow, *, at: float) -> NewSubmission:
    """Return the submission of the next jobs.

    The owner may have used the key. But no body of a client has this hash, not even an incomplete
    one, so the jobs of clients are never taken for those of tasks.
    """
    key = f"transformation:{row.transformation_id}:{row.tasks_made}"
    return NewSubmission(
        community=row.community,
        owner_id=row.owner_id,
        key=key,
        body_hash=key,
        name=row.name[:128],
        template=None,
        at=at,
    )


def first(
    found: Sequence[Group], beside: SideInputs, most: int
) -> list[tuple[Group, tuple[WaitingInput, ...]]]:
    """Return the first groups that have their side inputs, as many as one transaction takes."""
    ready: list[tuple[Group, tuple[WaitingInput, ...]]] = []
    files = 0
    for group in found:
        side = beside.of(group)
        if side is None:
            continue
        files += len(group) + len(side)
        if len(ready) == most or (ready and files > CHUNK_FILES_MAX):
            break
        ready.append((group, side))
    return ready
