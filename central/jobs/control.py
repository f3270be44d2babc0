"""What people do to jobs: kill, hold, release, reschedule, delete, priority; by id or by filter."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pilotage.proto.api import Action, ActionName, ActionRefusal, ActionReply, JobFilter
from pilotage.proto.job import PRIORITY_MAX, PRIORITY_MIN
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.machine import IllegalTransition
from pilotage.proto.messages import Stop
from pilotage.proto.problems import Code

from ..auth import policy
from ..auth.callers import Caller, User
from ..errors import Refused
from ..observe.events import Log
from ..ports import Clock
from ..store.errors import StoreFull
from ..store.protocol import CHUNK_MAX, Store
from ..store.records import Move, Standing, Want
from .aftermath import Aftermath, counted
from .idle import IdleClasses
from .intents import Unchanged, intent
from .memory import Memory
from .outbound import Outbound
from .queries import search_of
from .scope import Scope, scope

TRIES = 5  # races with pilots that one action may lose per job
IDS_MAX = 1_000_000


@dataclass
class _Tally:
    done: int = 0
    unchanged: int = 0
    refused: list[ActionRefusal] = field(default_factory=list[ActionRefusal])

    def refuse(self, job: int, code: Code, message: str) -> None:
        if len(self.refused) < 1_000:
            self.refused.append(ActionRefusal(id=job, code=code.value, message=message))


class Control:
    """Carries out actions."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        idle: IdleClasses,
        aftermath: Aftermath,
        outbound: Outbound,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._queue, self._owners = store, memory.queue, memory.owners
        self._counters, self._aftermath, self._outbound = memory.counters, aftermath, outbound
        self._feed, self._clock, self._log = memory.feed, clock, log
        self._idle = idle

    async def act(self, caller: Caller, action: Action) -> ActionReply:
        """Do what is asked to each job; those that refuse are named, the others are done.

        A filter works on the ids that match now and refuses with COUNT_CHANGED, before anything is
        done, where their number is not the expected one.
        """
        assert isinstance(caller, User)
        bounds = scope(caller, policy.Action.JOB_CONTROL, self._owners)
        if action.action is ActionName.PRIORITY and action.priority is None:
            raise Refused(
                Code.INVALID,
                f"give the new priority, {PRIORITY_MIN} to {PRIORITY_MAX}",
                field="priority",
            )
        ids = await self._ids(action, bounds)
        who = self._owners.word(caller.issuer, caller.subject)
        tally = _Tally()
        try:
            for start in range(0, len(ids), CHUNK_MAX):
                await self._chunk(action, ids[start : start + CHUNK_MAX], bounds, who, tally)
        except StoreFull as why:
            raise Refused(
                Code.STORE_FULL, f"{why}; {tally.done} of {len(ids)} jobs were done"
            ) from None
        self._queue.wake()
        self._log("acted", action=action.action.value, count=tally.done, who=who)
        return ActionReply(done=tally.done, unchanged=tally.unchanged, refused=tally.refused)

    async def _ids(self, action: Action, bounds: Scope) -> list[int]:
        if bool(action.ids) == (action.filter is not None):
            raise Refused(Code.INVALID, "give either ids or a filter", field="ids")
        if action.filter is None:
            return list(dict.fromkeys(action.ids))
        if action.expected is None:
            raise Refused(
                Code.INVALID, "with a filter, say how many jobs you expect", field="expected"
            )
        return await self._frozen(action.filter, action.expected, bounds)

    async def _frozen(self, wanted: JobFilter, expected: int, bounds: Scope) -> list[int]:
        """Return the ids that match now."""
        ids = await self._store.ids(search_of(wanted, bounds), limit=IDS_MAX)
        if len(ids) != expected:
            raise Refused(
                Code.COUNT_CHANGED,
                f"{len(ids)} jobs match now, not {expected}: look again, then repeat",
                field="expected",
            )
        return ids

    async def _chunk(
        self, action: Action, ids: Sequence[int], bounds: Scope, who: str, tally: _Tally
    ) -> None:
        left = list(ids)
        for _ in range(TRIES):
            standings = await self._store.standing(left)
            await self._idle.load(one.class_id for one in standings.values())
            inside: list[Standing] = []
            for job in left:
                standing = standings.get(job)
                if standing is None or not self._visible(standing, bounds):
                    tally.refuse(job, Code.NOT_FOUND, f"there is no job {job}")
                else:
                    inside.append(standing)
            left = await self._carry_out(action, inside, who, tally)
            if not left:
                return
        for job in left:
            tally.refuse(job, Code.UNAVAILABLE, f"job {job} moves too fast: try again")

    def _visible(self, standing: Standing, bounds: Scope) -> bool:
        return bounds.covers(self._queue.classes[standing.class_id].kind)

    async def _carry_out(
        self, action: Action, jobs: list[Standing], who: str, tally: _Tally
    ) -> list[int]:
        """Return the jobs that changed under our hands."""
        if action.action is ActionName.DELETE:
            return await self._delete(jobs, who, tally)
        if action.action is ActionName.PRIORITY:
            assert action.priority is not None
            return await self._set_priority(jobs, action.priority, who, tally)
        moves: list[tuple[Standing, Move]] = []
        wants: list[Want] = []
        at = self._clock.wall()
        for job in jobs:
            if job.deleted:
                tally.refuse(job.job_id, Code.NOT_FOUND, f"job {job.job_id} was deleted")
                continue
            try:
                what = intent(action.action, job, at=at, who=who, reason=action.reason)
            except IllegalTransition as why:
                tally.refuse(job.job_id, Code.ILLEGAL_STATE, f"job {job.job_id}: {why}")
                continue
            if isinstance(what, Unchanged):
                tally.unchanged += 1
            elif isinstance(what, Move):
                moves.append((job, what))
            else:
                wants.append(what)
        return await self._moved(moves, tally) + await self._wanted(wants, tally)

    async def _moved(self, moves: list[tuple[Standing, Move]], tally: _Tally) -> list[int]:
        done = await self._store.move([move for _, move in moves]) if moves else []
        again: list[int] = []
        for (job, move), written in zip(moves, done, strict=True):
            if not written:
                again.append(job.job_id)
                continue
            tally.done += 1
            kind = self._queue.classes[job.class_id].kind
            self._aftermath.closed(job.job_id)
            if move.new_round or move.new in FINAL:
                self._queue.lift(job.job_id)
            if move.new is JobState.WAITING:
                self._queue.put(job.job_id, job.class_id, job.priority, job.epoch)
            elif move.old is JobState.WAITING:
                self._queue.take_out(job.job_id)
            self._counters.move(kind, counted(move.old, job.site), counted(move.new, job.site))
            self._feed.job(kind, job.job_id, move.new, reason=move.reason)
        return again

    async def _wanted(self, wants: list[Want], tally: _Tally) -> list[int]:
        done = await self._store.want(wants) if wants else []
        again: list[int] = []
        for want, written in zip(wants, done, strict=True):
            if not written:
                again.append(want.job_id)
                continue
            tally.done += 1
            lease = self._aftermath.wanted(want)
            if lease is not None and lease.wanted is not None:
                self._outbound.stop(
                    lease.kind.community, lease.pilot, Stop(lease.job, lease.epoch, lease.wanted)
                )
        return again

    async def _delete(self, jobs: list[Standing], who: str, tally: _Tally) -> list[int]:
        final: list[Standing] = []
        for job in jobs:
            if job.deleted:
                tally.unchanged += 1
            elif job.state in FINAL:
                final.append(job)
            else:
                tally.refuse(
                    job.job_id,
                    Code.ILLEGAL_STATE,
                    f"job {job.job_id} is {job.state.value}: kill it first, only ended ones go",
                )
        ids = [job.job_id for job in final]
        done = await self._store.delete(ids, self._clock.wall(), who) if ids else []
        for job, written in zip(final, done, strict=True):
            if written:
                tally.done += 1
                kind = self._queue.classes[job.class_id].kind
                self._counters.add(kind, *counted(job.state, job.site), -1)
        return [job.job_id for job, written in zip(final, done, strict=True) if not written]

    async def _set_priority(
        self, jobs: list[Standing], priority: int, who: str, tally: _Tally
    ) -> list[int]:
        able = [job for job in jobs if job.state not in FINAL and not job.deleted]
        for job in jobs:
            if job.state in FINAL or job.deleted:
                tally.refuse(job.job_id, Code.ILLEGAL_STATE, f"job {job.job_id} has ended")
        ids = [job.job_id for job in able]
        done = await self._store.set_priority(ids, priority, self._clock.wall(), who) if ids else []
        for job, written in zip(able, done, strict=True):
            if written:
                tally.done += 1
                self._queue.set_priority(job.job_id, priority)
                self._aftermath.priority(job.job_id, priority)
        return [job.job_id for job, written in zip(able, done, strict=True) if not written]
