"""The agent of failover: each cycle checks all transformations that ask for failover.

One transaction of the store holds all that a cycle decides about one transformation: its counters,
its reports and its actions. So the agent may die at any moment. The cycle then kills the jobs whose
inputs go to another task. They are Held until then, and the next cycle finds the rest.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from pilotage.proto.api.jobs import Action as JobAction, ActionName
from pilotage.proto.claims import Role
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.failures import FailureClass
from pilotage.proto.transformation_states import (
    TaskState,
    TransformationEvent,
    TransformationState,
    next_transformation,
)

from ..identity.callers import User
from ..jobs import record as job_records
from ..jobs.failure_class import classify, evidence_of
from ..jobs.record_types import AttemptRow
from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import OF_ALL, StoreBroken, StoreError, StoreFull
from ..transformations import record as transformation_records
from ..transformations.live_state import document
from ..transformations.record import StateCounts, TransformationMove, TransformationRow
from ..transformations.shortfall import lacks_too_much
from ..transformations.task_ends import ROOM_WAITS
from . import record as failover_records
from .decisions import ENDS_A_WAIT, Decision, decide_cycle
from .facts import GONE, ends_of, facts_of, inputs_of, parents_of, standing_of
from .record import REASSIGNED, CycleRecord, EndedTask, FailoverRow, HeldTask, NewReport
from .report import FailureCase, as_json, last_line, reports, title
from .rule_book import RuleBook
from .rules import RuleVerb
from .task_ends import Stderr

S = TransformationState
LOOKED_AT: Final = (S.ACTIVE, S.PAUSED, S.COMPLETING)
PAGE: Final = 500
ENDS_MAX: Final = 5_000  # of one transformation in one cycle; the next cycle takes the others
JOBS_A_READ: Final = 500
DAY_S: Final = 86_400.0
FAR: Final = 1e12  # wall clock that no token outlives
_HELD: Final = "lost too often"  # mark: this was reported
_ACTS: Final = frozenset({RuleVerb.PAUSE, RuleVerb.COMPLETE, RuleVerb.FLUSH, RuleVerb.REASSIGN})
_decisions: Final = msgspec.json.Decoder(tuple[Decision, ...]).decode

KillJobs = Callable[[User, JobAction], Awaitable[object]]
Asked = tuple[TransformationRow, Transformation]


class CycleReads(msgspec.Struct, frozen=True, kw_only=True):
    """The facts that a page of transformations shares, read for all of them at once."""

    counts: Mapping[int, StateCounts]
    rows: Mapping[int, FailoverRow]
    held: Mapping[int, Sequence[HeldTask]]
    parents: Mapping[int, Asked]


class Cycle:
    """Checks transformations, decides by the rules, and acts."""

    def __init__(
        self,
        *,
        store: Store,
        rules: RuleBook,
        touch: Callable[[int], None],
        kill: KillJobs,
        clock: Clock,
        log: Log,
        every_s: float,
        report_days: float,
        mail: bool,
        looked: Callable[[], None],
        stderr: Stderr,
    ) -> None:
        """Make an agent; `looked` is called after each whole cycle, `stderr` reads an attempt's
        error.
        """
        self._looked, self._stderr = looked, stderr
        self._store, self._rules, self._touch, self._kill = store, rules, touch, kill
        self._clock, self._log = clock, log
        self._every_s, self._report_days, self._mail = every_s, report_days, mail

    async def run(self) -> None:
        """Run until cancelled. While the disk is full, decide nothing."""
        while True:
            await self._clock.sleep(self._every_s)
            try:
                await self.once()
            except StoreFull:
                continue
            except StoreBroken:
                raise
            except StoreError as why:
                self._log("loop_failed", loop="failover", error=str(why))

    async def once(self) -> None:
        """Check all transformations that ask for failover."""
        after = 0
        while True:
            rows = await self._store.read(
                transformation_records.transformations,
                None,
                states=LOOKED_AT,
                after=after,
                limit=PAGE,
            )
            asked = [(row, doc) for row in rows if (doc := _asks(row)) is not None]
            if asked:
                await self._look(asked)
            if len(rows) < PAGE:
                break
            after = rows[-1].transformation_id
        await self._rest()
        await self._store.write(
            failover_records.drop_reports, self._clock.wall() - self._report_days * DAY_S
        )
        self._looked()

    async def _rest(self) -> None:
        """Check the last tasks of transformations that have completed or were stopped since."""
        asked: list[Asked] = []
        for one in await self._store.read(failover_records.unseen_failover):
            row = await self._store.read(transformation_records.transformation, one)
            if row is not None and row.state not in LOOKED_AT and (doc := _asks(row)) is not None:
                asked.append((row, doc))
        for start in range(0, len(asked), PAGE):
            await self._look(asked[start : start + PAGE])

    async def _look(self, asked: Sequence[Asked]) -> None:
        ids = [row.transformation_id for row, _ in asked]
        known = await self._store.read(failover_records.failover_rows, ids)
        for one in ids:
            if one not in known:
                await self._store.write(failover_records.begin_failover, one)
        parents = await self._parents(asked)
        held: dict[int, list[HeldTask]] = {}
        for task in await self._store.read(failover_records.held_tasks, ids):
            held.setdefault(task.transformation_id, []).append(task)
        seen = CycleReads(
            counts=await self._store.read(
                transformation_records.transformation_counts, [*ids, *parents]
            ),
            rows=known,
            held=held,
            parents=parents,
        )
        for row, doc in asked:
            try:
                await self._one(row, doc, seen)
            except OF_ALL:
                raise
            # of this one: the others are checked now, this one in the next cycle
            except StoreError as why:
                loop = f"failover of transformation {row.transformation_id}"
                self._log("loop_failed", loop=loop, error=str(why))

    async def _parents(self, asked: Sequence[Asked]) -> dict[int, Asked]:
        found = {row.transformation_id: (row, doc) for row, doc in asked}
        wanted = {int(one.from_) for _, doc in asked for one in doc.inputs if one.from_}
        for one in wanted - found.keys():
            row = await self._store.read(transformation_records.transformation, one)
            if row is not None:
                found[one] = (row, document(row))
        return {one: found[one] for one in wanted if one in found}

    # -- one transformation -----------------------------------------------------------------------

    async def _one(self, row: TransformationRow, doc: Transformation, seen: CycleReads) -> None:
        one = row.transformation_id
        before = seen.rows.get(one, FailoverRow(transformation_id=one))
        counts, held = seen.counts[one], seen.held.get(one, ())
        ends = await self._store.read(failover_records.failover_ends, one, limit=ENDS_MAX)
        attempts = await self._attempts(ends, held)
        cases = cases_of(ends, attempts)
        failed = [end for end in ends if end.state is TaskState.FAILED]
        classes = {end.task_id: _class_of(attempts.get(end.job_id, ())) for end in failed}
        counted = [end for end in ends if not _is_split(end)]
        first, last = ends_of(row, before, counted, classes)
        now = FailoverRow(
            transformation_id=one,
            cycle=before.cycle + 1,
            flushes=before.flushes,
            inputs=inputs_of(doc, counts),
            judged_from=row.judged_from,
            first=first,
            last=last,
        )
        applied = await self._rules.of(one)
        facts = facts_of(
            row, doc, counts,
            before=before, now=now, held=held, new_failures=len(failed), step=applied.step,
            parents=parents_of(
                doc, seen.parents, seen.counts, may_bring=bool(applied.step) and not row.closing
            ),
        )  # fmt: skip
        decided = decide_cycle(applied.rules, facts)
        if any(made.do in ENDS_A_WAIT for made in decided) and await self._waits(row):
            decided = decide_cycle(applied.rules, msgspec.structs.replace(facts, waits=True))
        again = [task for task in held if task.inputs and task.reassigned == facts.reassigns]
        now = self._counted(now, decided)
        kept = CycleRecord(
            row=now,
            was=before.cycle,
            seen=tuple(end.task_id for end in ends),
            flush=now.flushes > before.flushes,
            move=self._move(row, decided),
            at=self._clock.wall(),
        )
        is_over = bool(held) and not _does(decided, RuleVerb.REASSIGN)
        said = (*_tried(decided), *([_HELD] if is_over else []), *_of_recovery(before))
        new = [one for one in decided if one.dry_run and one.rule not in before.said]
        if is_over and _HELD not in before.said:
            new.append(_given_up(len(held)))
        cases += _held_cases(again, attempts) if _does(decided, RuleVerb.REASSIGN) else []
        kept = msgspec.structs.replace(
            kept,
            row=msgspec.structs.replace(now, said=said),
            reports=self._reports(
                row,
                doc,
                counts,
                decided,
                new,
                cases,
                now.cycle,
                await self._words(cases, attempts) if _does(decided, RuleVerb.REPORT) else {},
            ),
            mail=self._mail,
        )
        if _is_quiet(kept, before) and not _does(decided, RuleVerb.REASSIGN):
            return
        ids = await self._store.write(failover_records.keep_cycle, kept)
        if ids is None:
            return  # it has changed since it was read: the next cycle checks it again
        for report, new_one in zip(ids, kept.reports, strict=True):
            self._log("failover_reported", transformation=one, report=report, title=new_one.title)
        await self._follow(row, kept, decided, [task.job_id for task in again])

    async def _waits(self, row: TransformationRow) -> bool:
        """Return whether it has no room, or waits for a user to handle its missing inputs."""
        if row.closing or row.state is not S.ACTIVE:
            return False
        return row.reason.startswith(ROOM_WAITS) or await lacks_too_much(self._store, row)

    async def _follow(
        self,
        row: TransformationRow,
        kept: CycleRecord,
        decided: Sequence[Decision],
        jobs: Sequence[int],
    ) -> None:
        """Log the decisions, tell the engine, and kill jobs whose inputs go to another task."""
        for one in decided:
            if one.do in _ACTS:
                self._tell(row, one)
        if _does(decided, RuleVerb.REASSIGN):
            action = JobAction(action=ActionName.KILL, ids=tuple(jobs), reason=REASSIGNED)
            await self._kill(_caller(row), action)
        if kept.move is not None or kept.flush:
            self._touch(row.transformation_id)
        if kept.move is not None and kept.move.new is S.PAUSED:
            self._log(
                "transformation_paused",
                transformation=row.transformation_id,
                name=row.name,
                why=kept.move.reason,
            )

    def _tell(self, row: TransformationRow, one: Decision) -> None:
        self._log(
            "failover_decided",
            transformation=row.transformation_id,
            task=0,
            job=0,
            failure=one.failure.value if one.failure is not None else "",
            rule=one.rule,
            do=one.do.value,
            dry_run=one.dry_run,
        )

    async def _attempts(
        self, ends: Sequence[EndedTask], held: Sequence[HeldTask]
    ) -> dict[int, list[AttemptRow]]:
        """Return the attempts of failed and held tasks, by job."""
        jobs = [end.job_id for end in ends if end.state is TaskState.FAILED]
        jobs += [task.job_id for task in held]
        found: dict[int, list[AttemptRow]] = {}
        for start in range(0, len(jobs), JOBS_A_READ):
            found |= await self._store.read(
                job_records.attempts_of_jobs, jobs[start : start + JOBS_A_READ]
            )
        return found

    async def _words(
        self, cases: Sequence[FailureCase], attempts: Mapping[int, Sequence[AttemptRow]]
    ) -> dict[int, str]:
        """Return the last line of standard error of the newest job of each class of failures."""
        newest: dict[FailureClass, int] = {}
        for case in cases:
            newest[case.failure] = max(case.job, newest.get(case.failure, 0))
        return {
            job: last_line(await self._stderr(attempts[job][-1]))
            for job in sorted(set(newest.values()))
            if attempts.get(job)
        }

    def _counted(self, now: FailoverRow, decided: Sequence[Decision]) -> FailoverRow:
        if not _does(decided, RuleVerb.FLUSH):
            return now
        return msgspec.structs.replace(now, flushes=now.flushes + 1)

    def _move(
        self, row: TransformationRow, decided: Sequence[Decision]
    ) -> TransformationMove | None:
        """Return the move of the transformation, as for a brake or an action of a user."""
        made = next(
            (d for d in decided if d.do in (RuleVerb.PAUSE, RuleVerb.COMPLETE) and not d.dry_run),
            None,
        )
        if made is None or (made.do is RuleVerb.COMPLETE and row.closing):
            return None
        new, reason = row.state, f"failover: {made.rule}"
        if made.do is RuleVerb.PAUSE:
            new = next_transformation(row.state, TransformationEvent.BRAKE)
            reason += f": {made.failure.value}" if made.failure is not None else ""
        return TransformationMove(
            transformation_id=row.transformation_id,
            old=row.state,
            new=new,
            reason=reason[:500],
            at=self._clock.wall(),
            closing=True if made.do is RuleVerb.COMPLETE else None,
        )

    def _reports(
        self,
        row: TransformationRow,
        doc: Transformation,
        counts: StateCounts,
        decided: Sequence[Decision],
        new: Sequence[Decision],
        cases: Sequence[FailureCase],
        cycle: int,
        stderr: Mapping[int, str],
    ) -> tuple[NewReport, ...]:
        """Return the reports: those that rules ask for, and those of dry runs."""
        wanted = _does(decided, RuleVerb.REPORT)
        acted = [one for one in decided if not one.dry_run] if wanted else []
        one = row.transformation_id
        left = {one: standing_of(row, doc, counts)}
        if _does(decided, RuleVerb.PAUSE):
            left = {one: msgspec.structs.replace(left[one], state=S.PAUSED.value)}
        made = reports(
            cases if wanted else (), left, cycle=cycle, acted={one: [*acted, *new]}, stderr=stderr
        )
        return tuple(
            NewReport(
                cause=report.cause,
                title=title(report),
                saved=report.saved,
                for_people=report.for_people,
                body=as_json(report),
            )
            for report in made
        )


def cases_of(
    ends: Sequence[EndedTask], attempts: Mapping[int, Sequence[AttemptRow]]
) -> list[FailureCase]:
    """Return the failed attempts of failed tasks.

    The noted decisions of a task are about its last attempt. After each earlier attempt, its job
    ran again.
    """
    made: list[FailureCase] = []
    for end in ends:
        if end.state is not TaskState.FAILED:
            continue
        several = attempts.get(end.job_id, ())
        for number, attempt in enumerate(several, 1):
            found = classify(evidence_of(attempt)) if attempt.ended_at is not None else None
            if found is None:
                continue
            decisions: tuple[Decision, ...] = (_RAN_AGAIN,)
            if number == len(several):
                decisions = _decisions(end.decisions) if end.decisions else (_NOBODY,)
            made.append(
                FailureCase(
                    transformation=end.transformation_id,
                    job=end.job_id,
                    failure=found,
                    evidence=evidence_of(attempt),
                    decisions=decisions,
                )
            )
    return made


_RAN_AGAIN: Final = Decision(rule="the job's own", do=RuleVerb.RETRY)
_NOBODY: Final = Decision(rule="", do=RuleVerb.GIVE_UP)  # it had no inputs to retry


def _held_cases(
    held: Sequence[HeldTask], attempts: Mapping[int, Sequence[AttemptRow]]
) -> list[FailureCase]:
    """Return the last attempts of jobs that were lost too often: their inputs go to other tasks."""
    made: list[FailureCase] = []
    for task in held:
        several = attempts.get(task.job_id, ())
        if several:
            evidence = evidence_of(several[-1])
            failure = _class_of(several)
            made.append(
                FailureCase(
                    transformation=task.transformation_id,
                    job=task.job_id,
                    failure=failure,
                    evidence=evidence,
                    decisions=(Decision(rule="reassign", do=RuleVerb.REASSIGN, failure=failure),),
                )
            )
    return made


def _class_of(attempts: Sequence[AttemptRow]) -> FailureClass:
    """Return the class of the last failure of a job."""
    found = classify(evidence_of(attempts[-1])) if attempts else None
    return found or FailureClass.UNKNOWN


def _is_split(end: EndedTask) -> bool:
    """Return whether its inputs continue in smaller tasks: they count instead of it."""
    made = _decisions(end.decisions) if end.decisions else ()
    return any(one.do in (RuleVerb.SPLIT, RuleVerb.BISECT) and not one.dry_run for one in made)


def _given_up(count: int) -> Decision:
    why = f"jobs of {count} tasks were lost too often, and are Held: check them, then release them"
    return Decision(rule="reassign", do=RuleVerb.GIVE_UP, why=why)


def _does(decided: Sequence[Decision], do: RuleVerb) -> bool:
    return any(one.do is do and not one.dry_run for one in decided)


def _tried(decided: Sequence[Decision]) -> list[str]:
    return list(dict.fromkeys(one.rule for one in decided if one.dry_run))


def _of_recovery(before: FailoverRow) -> list[str]:
    return [word for word in before.said if word.startswith(GONE)]


def _is_quiet(kept: CycleRecord, before: FailoverRow) -> bool:
    """Return whether there is nothing to store."""
    same = msgspec.structs.replace(kept.row, cycle=before.cycle) == before
    nothing = not kept.seen and not kept.reports and kept.move is None and not kept.flush
    return same and nothing and before.cycle > 0


def _asks(row: TransformationRow) -> Transformation | None:
    """Return the document of a transformation that asks for failover, or None."""
    try:
        doc = document(row)
    except msgspec.ValidationError:  # from another release: the engine has paused it
        return None
    return doc if doc.failover else None


def _caller(row: TransformationRow) -> User:
    return User(
        issuer="",
        subject="failover",
        name="failover",
        community=row.community,
        groups=(row.group,),
        role=Role.ADMIN,
        expires_at=FAR,
        jti="",
    )
