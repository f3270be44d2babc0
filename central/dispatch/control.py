"""Actions of people on jobs, by id or by filter.

The actions are kill, hold, release, reschedule, delete, priority, set and retry.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from typing import Final, NamedTuple

import msgspec

from pilotage.proto.api.jobs import Action, ActionName, ActionReply, JobFilter
from pilotage.proto.documents.job import PRIORITY_MAX, PRIORITY_MIN
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.messages import Stop
from pilotage.proto.problems import Code
from pilotage.proto.state_machine import IllegalTransition

from ..accounts.quotas import Quotas
from ..errors import Refused
from ..identity import policy
from ..identity.action_keys import ActionBook, ActionBooks, named_in
from ..identity.callers import Caller, User
from ..identity.open_per_person import PersonLimiter
from ..identity.scope import Scope, scope
from ..jobs import record as job_records, record_search as job_search, record_tasks as task_records
from ..jobs.definition.need_changes import NeedChange
from ..jobs.intents import Unchanged, intent_of
from ..jobs.queries import search_of
from ..jobs.record_types import AttemptWant, JobMove, JobStanding
from ..observe.events import Log
from ..outbound import Outbound
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import OverQuota, StoreFull
from .follow_up import FollowUp
from .idle_classes import IdleClasses
from .memory import Memory
from .submissions.changed_needs import ChangedNeeds

TRIES = 5  # races with pilots that one action may lose per job
IDS_MAX: Final = 1_000_000  # jobs that a filter may select
BEYOND: Final = 1_000  # matching jobs that are counted beyond the expected number
_Moves = list[tuple[JobStanding, JobMove]]
# Returns the change to a job. Raises IllegalTransition if its state forbids the change. Pure.
Decide = Callable[[JobStanding], JobMove | AttemptWant | Unchanged]
FILTERS_MAX: Final = 2  # at once for each person: all people share a few database connections


class Enforced(NamedTuple):
    """The numbers of jobs that were moved, and of attempts that were told to end."""

    moved: int
    told: int


class JobControl:
    """Carries out people's actions on jobs."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        idle: IdleClasses,
        follow_up: FollowUp,
        outbound: Outbound,
        quotas: Quotas,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._queue, self._owners = store, memory.queue, memory.owners
        self._follow_up, self._outbound = follow_up, outbound
        self._clock, self._log = clock, log
        self._idle, self._quotas = idle, quotas
        self._needs = ChangedNeeds(store, memory, idle)
        self._books = ActionBooks(store, clock)
        why = f"{FILTERS_MAX} of your actions by filter are running, and no more are allowed"
        self._by_filter = PersonLimiter(FILTERS_MAX, f"{why}: repeat when one of them has ended")

    async def act(self, caller: Caller, action: Action) -> ActionReply:
        """Carry out an action on each job. The reply names the jobs that refused it.

        A filter selects the ids that match now. A repeated action with the same key gets the
        first answer again. Raises Refused:

        - COUNT_CHANGED, before any change, if a filter matches another number of jobs than
          expected, or more than IDS_MAX;
        - KEY_REUSED if the key belongs to a different action;
        - TOO_MANY if FILTERS_MAX actions by filter of this person are running.
        """
        assert isinstance(caller, User)
        bounds = scope(caller, policy.Permission.JOB_CONTROL, self._owners)
        _check(action)
        who = self._owners.word(caller.issuer, caller.subject)
        async with self._books.book(caller, action) as book:
            if book.is_kept:
                self._log("acted_again", action=action.action.value, who=who)
                return book.reply()
            with ExitStack() as open_ones:
                if action.filter is not None:
                    open_ones.callback(self._by_filter.enter(caller))
                await self._work(action, bounds, who, book)
            return book.reply()

    async def enforce(self, jobs: Sequence[int], decide: Decide) -> Enforced:
        """Change at most CHUNK_MAX jobs for the central itself: `decide` says how.

        Jobs whose state forbids the change, or that change at the same time, stay as they are.
        """
        book = ActionBook(None, "", self._clock.wall())
        book.begin(jobs)
        book.more()
        moves: _Moves = []
        wants: list[AttemptWant] = []
        with self._queue.reading():
            standings = await self._store.write(job_records.standing, jobs)
            await self._idle.load(one.class_id for one in standings.values())
            for job in standings.values():
                with suppress(IllegalTransition):
                    what = decide(job)
                    if isinstance(what, JobMove):
                        moves.append((job, what))
                    elif isinstance(what, AttemptWant):
                        wants.append(what)
            if moves:
                await self._moved(moves, book)
            moved = book.done
            await self._wanted(wants, book)
        self._queue.wake()
        return Enforced(moved, book.done - moved)

    async def _work(self, action: Action, bounds: Scope, who: str, book: ActionBook) -> None:
        try:
            if book.is_new:
                await self._begin(action, bounds, book)
            await self._carry_on(action, bounds, who, book)
        except StoreFull as why:
            raise Refused(
                Code.STORE_FULL,
                f"{why}; the action was carried out on {book.done} of {book.total} jobs",
            ) from None
        finally:
            self._queue.wake()
        if not book.is_dry:
            self._log("acted", action=action.action.value, count=book.done, who=who)

    async def _begin(self, action: Action, bounds: Scope, book: ActionBook) -> None:
        if action.filter is None:
            book.begin(named_in(action))
            return
        assert action.expected is not None
        try:
            book.begin(await self._frozen(action.filter, action.expected, bounds))
        except Refused as why:
            await book.deny(self._store, why)
            raise
        await book.keep_ids(self._store)

    async def _frozen(self, wanted: JobFilter, expected: int, bounds: Scope) -> list[int]:
        """Return the ids that match now. Raise Refused if their number is not the expected one.

        Reads at most BEYOND ids more than expected.
        """
        most = min(expected + BEYOND, IDS_MAX)
        ids = await self._store.read(job_search.ids, search_of(wanted, bounds), limit=most + 1)
        if len(ids) > IDS_MAX:
            raise Refused(
                Code.COUNT_CHANGED,
                f"more than {IDS_MAX} jobs match, the limit of one action: narrow the filter",
                field="filter",
            )
        if len(ids) != expected:
            found = f"more than {most}" if len(ids) > most else len(ids)
            raise Refused(
                Code.COUNT_CHANGED,
                f"{found} jobs match now, not {expected}: check the filter, then repeat",
                field="expected",
            )
        return ids

    async def _carry_on(self, action: Action, bounds: Scope, who: str, book: ActionBook) -> None:
        while book.more():
            for _ in range(TRIES):
                with self._queue.reading():
                    await self._try(action, bounds, who, book)
                if not book.left:
                    break
            for job in list(book.left):
                book.refuse(
                    job,
                    Code.UNAVAILABLE,
                    f"job {job} changed its state {TRIES} times during the action: try again",
                )
        await book.close(self._store)

    async def _try(self, action: Action, bounds: Scope, who: str, book: ActionBook) -> None:
        """Read the jobs that are left, and carry out the action on each if possible."""
        jobs = list(book.left)
        standings = await self._store.write(job_records.standing, jobs)
        await self._idle.load(one.class_id for one in standings.values())
        inside: list[JobStanding] = []
        for job in jobs:
            standing = standings.get(job)
            if standing is None or not self._visible(standing, bounds):
                book.refuse(job, Code.NOT_FOUND, f"there is no job {job}")
            else:
                inside.append(standing)
        if action.action in (ActionName.RELEASE, ActionName.RESCHEDULE, ActionName.RETRY):
            held = [(one.job_id, 1) for one in inside if one.state is JobState.HELD]
            await self._follow_up.adopt([one for one in held if standings[one[0]].epoch == 0])
        await self._carry_out(action, inside, who, book)

    def _visible(self, standing: JobStanding, bounds: Scope) -> bool:
        return bounds.covers(self._queue.classes[standing.class_id].kind)

    async def _carry_out(
        self, action: Action, jobs: list[JobStanding], who: str, book: ActionBook
    ) -> None:
        """Carry out the action on each job. Jobs that change at the same time are left."""
        if action.action is ActionName.DELETE:
            await self._delete(jobs, who, book)
        elif action.action is ActionName.PRIORITY:
            assert action.priority is not None
            await self._set_priority(jobs, action.priority, who, book)
        else:
            await self._move_or_want(action, jobs, who, book)

    async def _move_or_want(
        self, action: Action, jobs: list[JobStanding], who: str, book: ActionBook
    ) -> None:
        moves: _Moves = []
        wants: list[AttemptWant] = []
        at = self._clock.wall()
        over = await self._tasks_over(action, jobs)
        change = NeedChange(action.needs, action.times)
        for job in jobs:
            if job.deleted:
                book.refuse(job.job_id, Code.NOT_FOUND, f"job {job.job_id} was deleted")
                continue
            if job.job_id in over:
                why = "has ended, and its transformation has already processed the end: use "
                why += "`pilotage transformation replay` or `reset`"
                book.refuse(job.job_id, Code.ILLEGAL_STATE, f"job {job.job_id} {why}")
                continue
            try:
                what = intent_of(action, job, change, at=at, who=who)
            except IllegalTransition as why:
                book.refuse(job.job_id, Code.ILLEGAL_STATE, f"job {job.job_id}: {why}")
                continue
            if isinstance(what, Unchanged):
                book.leave(job.job_id)
            elif isinstance(what, JobMove):
                moves.append((job, what))
            else:
                wants.append(what)
        if change:
            moves = await self._with_needs(change, moves, book)
        for some in self._by_holder(moves):
            await self._moved(some, book)
        await self._wanted(wants, book)

    async def _with_needs(self, change: NeedChange, moves: _Moves, book: ActionBook) -> _Moves:
        """Return moves with the classes of changed needs. Refuse jobs that cannot have these."""
        jobs = [job for job, _ in moves]
        classes = await self._needs.classes(jobs, change, is_dry=book.is_dry)
        changed: _Moves = []
        for job, move in moves:
            new = classes[job.job_id]
            if isinstance(new, Refused):
                book.refuse(job.job_id, new.code, f"job {job.job_id}: {new.message}")
            elif new != job.class_id:
                words = {"old_class": job.class_id, "new_class": new}
                changed.append((job, msgspec.structs.replace(move, **words)))
            elif move.new is move.old and move.priority in (None, job.priority):
                book.leave(job.job_id)
            else:
                changed.append((job, move))
        return changed

    def _by_holder(self, moves: Sequence[tuple[JobStanding, JobMove]]) -> list[_Moves]:
        """Group moves that the store writes together.

        A quota refuses jobs of one holder only, so jobs that run again are grouped by holder.
        """
        found: defaultdict[tuple[str, str, int] | None, _Moves] = defaultdict(list)
        for job, move in moves:
            info = self._queue.classes[job.class_id]
            holder = (info.kind.community, info.kind.group, info.owner_id)
            found[holder if move.runs_again else None].append((job, move))
        return list(found.values())

    async def _tasks_over(self, action: Action, jobs: list[JobStanding]) -> Collection[int]:
        """Return the jobs that are ended tasks. Other tasks may have taken their files since."""
        if action.action not in (ActionName.RESCHEDULE, ActionName.RETRY):
            return ()
        final = [job.job_id for job in jobs if job.state in FINAL]
        return await self._store.read(task_records.tasks_of_jobs, final) if final else ()

    async def _moved(self, moves: _Moves, book: ActionBook) -> None:
        """Move jobs. Refuse those that would exceed their quota if they ran again."""
        ids = [move.job_id for _, move in moves]
        if book.is_dry:
            book.written(ids, [True] * len(ids))
            return
        rows = [move for _, move in moves]
        try:
            done = await self._quotas.with_room(job_records.move, rows, keep=book.keep(ids))
        except OverQuota as why:
            fit = max(0, min(why.room, len(moves) - 1))
            for job_id in ids[fit:]:
                book.refuse(job_id, why.code, f"job {job_id}: {why}")
            if fit:
                await self._moved(moves[:fit], book)
            return
        book.written(ids, done)
        for (job, move), written in zip(moves, done, strict=True):
            if written:
                self._follow_up.job_moved(job, move)

    async def _wanted(self, wants: list[AttemptWant], book: ActionBook) -> None:
        if not wants:
            return
        ids = [want.job_id for want in wants]
        if book.is_dry:
            book.written(ids, [True] * len(ids))
            return
        done = await self._store.write(job_records.want, wants, keep=book.keep(ids))
        book.written(ids, done)
        for want, written in zip(wants, done, strict=True):
            if not written:
                continue
            lease = self._follow_up.wanted(want)
            if lease is not None and lease.wanted is not None:
                self._outbound.stop(
                    lease.kind.community, lease.pilot, Stop(lease.job, lease.epoch, lease.wanted)
                )

    async def _delete(self, jobs: list[JobStanding], who: str, book: ActionBook) -> None:
        final: list[JobStanding] = []
        for job in jobs:
            if job.deleted:
                book.leave(job.job_id)
            elif job.state in FINAL:
                final.append(job)
            else:
                book.refuse(
                    job.job_id,
                    Code.ILLEGAL_STATE,
                    f"job {job.job_id} is {job.state.value}, and only ended jobs can be deleted:"
                    " kill it first",
                )
        if not final:
            return
        ids = [job.job_id for job in final]
        if book.is_dry:
            book.written(ids, [True] * len(ids))
            return
        done = await self._store.write(
            job_records.delete, ids, self._clock.wall(), who, keep=book.keep(ids)
        )
        book.written(ids, done)
        for job, written in zip(final, done, strict=True):
            if written:
                kind = self._queue.classes[job.class_id].kind
                self._follow_up.job_removed(kind, job.site, job.state)

    async def _set_priority(
        self, jobs: list[JobStanding], priority: int, who: str, book: ActionBook
    ) -> None:
        able = [job for job in jobs if job.state not in FINAL and not job.deleted]
        for job in jobs:
            if job.state in FINAL or job.deleted:
                book.refuse(
                    job.job_id,
                    Code.ILLEGAL_STATE,
                    f"job {job.job_id} has ended: only the priority of unfinished jobs can change",
                )
        if not able:
            return
        ids, at = [job.job_id for job in able], self._clock.wall()
        if book.is_dry:
            book.written(ids, [True] * len(ids))
            return
        done = await self._store.write(
            job_records.set_priority, ids, priority, at, who, keep=book.keep(ids)
        )
        book.written(ids, done)
        for job, written in zip(able, done, strict=True):
            if written:
                self._follow_up.priority_set(job.job_id, priority)


def _check(action: Action) -> None:
    """Raise Refused (INVALID) if parts of the request are missing or contradict each other."""
    if action.action is ActionName.PRIORITY and action.priority is None:
        raise Refused(
            Code.INVALID,
            f"the action 'priority' needs the new priority, {PRIORITY_MIN} to {PRIORITY_MAX}",
            field="priority",
        )
    change = NeedChange(action.needs, action.times)
    may_change = action.action in (ActionName.SET, ActionName.RETRY)
    if change and not may_change:
        raise Refused(Code.INVALID, "only 'set' and 'retry' change needs", field="needs")
    if action.action is ActionName.SET and not change and action.priority is None:
        raise Refused(Code.INVALID, "give new needs or a new priority", field="needs")
    if bool(action.ids) == (action.filter is not None):
        raise Refused(Code.INVALID, "give either ids or a filter", field="ids")
    if action.filter is not None and action.expected is None:
        raise Refused(
            Code.INVALID,
            "a filter needs 'expected', the number of jobs that you expect to match",
            field="expected",
        )
