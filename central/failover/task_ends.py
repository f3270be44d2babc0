"""Applies the rules at the end of tasks, and when their inputs are retried.

It keeps no state. The number of failures, their causes and hosts, and the spent budgets come from
the attempts of all tasks of an input since its last success. Attempts that retention has removed do
not count.
"""

import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from pilotage.proto.documents.job import Job
from pilotage.proto.failures import Evidence, FailureClass
from pilotage.proto.job_states import JobState
from pilotage.proto.transformation_states import InputEvent, TaskState

from ..accounts import record_failures as failure_records
from ..catalogue import record_read as catalogue_read
from ..jobs import record as job_records
from ..jobs.failure_class import classify, evidence_of
from ..jobs.output.standard_error import stderr_end
from ..jobs.record_types import AttemptRow
from ..observe.events import Log
from ..ports import Blobs
from ..store.engine import Store
from ..transformations import record as transformation_records
from ..transformations.input_moves import Bad
from ..transformations.record import TaskEnd
from ..transformations.repairs import Repair, RepairBounds, RetryGroup
from . import record as failover_records
from .decisions import Decision, TaskHistory, charged, decide
from .record import TaskDecision
from .report import last_line
from .rule_book import RuleBook
from .rules import RuleSet, RuleVerb
from .site_capacity import MaxGrant

# seconds for which a task avoids the host that failed, unless a rule sets them
ELSEWHERE_S: Final = 600.0
TASKS_MAX: Final = 20  # the last tasks of an input that count
NO_BOUNDS: Final = MaxGrant()

Stderr = Callable[[AttemptRow], Awaitable[bytes]]


class MaxGrantSource(Protocol):
    """Knows the largest grants of sites."""

    async def most(self, transformation_id: int, job: Job) -> MaxGrant:
        """Return the most that one job of a transformation may get."""
        ...


class FailingHosts(Protocol):
    """Counts failures on hosts, and suspends hosts."""

    def failed_lately(self, site: str, host: str, *, besides: int) -> int:
        """Return how many other jobs failed on a host recently."""
        ...

    def suspend(self, site: str, host: str, *, for_s: float, why: str) -> bool:
        """Suspend a host; return False if no other host is left, or it is suspended already."""
        ...


@dataclass(frozen=True)
class FailureVerdict:
    """The decisions about the last failure of an input's tasks, and its time."""

    decisions: tuple[Decision, ...]
    memory_mb: int = 0  # reached by its tasks so far; 0: not grown
    wall_s: int = 0
    at: float = 0.0
    last: Evidence | None = None
    hosts: tuple[tuple[str, str], ...] = ()  # site and host on which its last task failed

    def find(self, *wanted: RuleVerb) -> Decision | None:
        """Return the first decision for one of these actions, dry runs excluded."""
        found = (one for one in self.decisions if one.do in wanted and not one.dry_run)
        return next(found, None)

    def splits(self, files: Sequence[int]) -> bool:
        """Return whether to retry these files in smaller tasks."""
        return len(files) > 1 and self.find(RuleVerb.SPLIT, RuleVerb.BISECT) is not None

    def parts(self, file_ids: Sequence[int]) -> list[tuple[int, ...]]:
        """Return the groups in which to retry these files."""
        files = tuple(sorted(file_ids))
        if not self.splits(files):
            return [files]
        half = (len(files) + 1) // 2
        return [files[:half], files[half:]]


class TaskEndRepairs:
    """Decides about failed tasks: the `Repairs` of transformations."""

    def __init__(
        self,
        *,
        store: Store,
        rules: RuleBook,
        stderr: Stderr,
        places: FailingHosts,
        limits: MaxGrantSource,
        log: Log,
    ) -> None:
        self._store, self._rules, self._stderr, self._limits = store, rules, stderr, limits
        self._places, self._log = places, log

    async def again(
        self, transformation_id: int, file_ids: Sequence[int], bounds: RepairBounds
    ) -> list[RetryGroup]:
        """Return the groups in which the inputs of a failed task are retried."""
        verdict = await self._verdict(transformation_id, file_ids, bounds)
        if verdict is None:
            return []
        made = verdict.find(RuleVerb.RETRY)
        after = verdict.at + made.wait_s if made is not None else 0.0
        avoid: tuple[tuple[str, str], ...] = ()
        avoid_s = 0.0
        if made is not None and made.elsewhere:
            avoid, avoid_s = verdict.hosts, made.host_s or ELSEWHERE_S
        return [
            RetryGroup(part, verdict.memory_mb, verdict.wall_s, after, avoid, avoid_s)
            for part in verdict.parts(file_ids)
        ]

    async def verdicts(
        self, ends: Sequence[TaskEnd], bounds: Mapping[int, RepairBounds]
    ) -> dict[int, Repair]:
        """Return the bad and stuck inputs, and how the others are retried, by task.

        The decisions are noted before the task is closed, and the cycle reports them. A repeated
        call gives the same result.
        """
        found: dict[int, Repair] = {}
        notes: list[TaskDecision] = []
        for end in ends:
            files = [one.file_id for one in end.inputs if _is_own(end, one.transformation_id)]
            if end.state is not JobState.FAILED or not files:
                continue
            bound = bounds[end.transformation_id]
            verdict = await self._verdict(end.transformation_id, files, bound)
            if verdict is None:
                continue
            if _is_last(end, bound) and not verdict.splits(files):
                verdict = ended(verdict, bound.errors_max)
            bad = await self._bad(verdict, files)
            is_split = not bad and verdict.splits(files)
            found[end.task_id] = Repair(
                bad, is_split=is_split, is_retried=not bad, pause=_pause(verdict, end)
            )
            self._suspend(verdict)
            notes.append(
                TaskDecision(
                    transformation_id=end.transformation_id,
                    task_id=end.task_id,
                    said=_encode(verdict.decisions),
                )
            )
            for one in verdict.decisions:
                self._tell(end, one)
        if notes:
            await self._store.write(failover_records.note_decisions, notes)
        return found

    async def _bad(self, verdict: FailureVerdict, files: Sequence[int]) -> Bad:
        """Return the events of inputs that are not retried."""
        made = verdict.find(*_EVENTS)
        if made is not None:
            return dict.fromkeys(files, _EVENTS[made.do])
        if verdict.find(RuleVerb.MISSING) is None or verdict.last is None:
            return {}
        if len(files) == 1:
            return {files[0]: InputEvent.NOT_THERE}
        rows = await self._store.read(catalogue_read.files_by_id, files)
        named = [one for one, row in rows.items() if str(row.did) in verdict.last.detail]
        return dict.fromkeys(named, InputEvent.NOT_THERE)

    def _suspend(self, verdict: FailureVerdict) -> None:
        made, last = verdict.find(RuleVerb.SUSPEND_HOST), verdict.last
        if made is not None and last is not None and last.host:
            why = f"failover: {made.rule}"
            self._places.suspend(last.site, last.host, for_s=made.host_s, why=why)

    def _tell(self, end: TaskEnd, made: Decision) -> None:
        self._log(
            "failover_decided",
            transformation=end.transformation_id,
            task=end.number,
            job=end.job_id,
            failure=made.failure.value if made.failure is not None else "",
            rule=made.rule,
            do=made.do.value,
            dry_run=made.dry_run,
        )

    async def _verdict(
        self, transformation_id: int, file_ids: Sequence[int], bounds: RepairBounds
    ) -> FailureVerdict | None:
        """Return the verdict on the last task; None: it did not fail."""
        jobs = await self._store.read(
            failure_records.jobs_of_input, transformation_id, min(file_ids), limit=TASKS_MAX
        )
        tasks: list[list[AttemptRow]] = []
        for job in jobs:
            attempts = [
                one
                for one in await self._store.read(job_records.attempts, job)
                if one.ended_at is not None
            ]
            if attempts and evidence_of(attempts[-1]).succeeded:
                tasks.clear()
            elif attempts:
                tasks.append(attempts)
        histories = [[await self._evidence(one) for one in attempts] for attempts in tasks]
        if not histories:
            return None
        applied = await self._rules.of(transformation_id)
        at = tasks[-1][-1].ended_at or 0.0
        most = MaxGrant()
        if bounds.job is not None and any(classify(one[-1]) in _OF_ROOM for one in histories):
            most = await self._limits.most(transformation_id, bounds.job)
        counts = await self._store.read(
            transformation_records.transformation_counts, [transformation_id]
        )
        return judged(
            applied.rules, histories,
            inputs=len(file_ids), can_be_split=bounds.can_be_split, at=at, step=applied.step,
            most=most, none_done=not counts[transformation_id].tasks.get(TaskState.DONE),
        )  # fmt: skip

    async def _evidence(self, attempt: AttemptRow) -> Evidence:
        near = self._places.failed_lately(attempt.site, attempt.host, besides=attempt.job_id)
        found = evidence_of(attempt, host_failed=near)
        if classify(found) not in (FailureClass.PAYLOAD, FailureClass.OUTPUT):
            return found
        return evidence_of(attempt, stderr=await self._stderr(attempt), host_failed=near)


_encode: Final = msgspec.json.encode
_OF_ROOM: Final = (FailureClass.MEMORY, FailureClass.TIME)
# The decisions about a task whose inputs continue in parts. With the inputs that it had, an earlier
# task was halved where `judged`, which looks with those of the last, finds them bad.
_HALVES: Final = (RuleVerb.SPLIT, RuleVerb.BISECT, RuleVerb.PROBLEMATIC)
_ENDS: Final = (
    RuleVerb.PROBLEMATIC,
    RuleVerb.MISSING,
    RuleVerb.GIVE_UP,
    RuleVerb.PAUSE,
)  # these do not retry the inputs


_EVENTS: Final[Mapping[RuleVerb, InputEvent]] = {
    RuleVerb.PROBLEMATIC: InputEvent.BAD_DATA,
    RuleVerb.GIVE_UP: InputEvent.TASK_FAILED_LAST,
    RuleVerb.PAUSE: InputEvent.TASK_SPARED,
}


def _pause(verdict: FailureVerdict, end: TaskEnd) -> str:
    """Return why to pause the transformation of a task; empty: no reason."""
    made = verdict.find(RuleVerb.PAUSE)
    return f"failover: {made.rule}: {end.reason}" if made is not None else ""


def _is_own(end: TaskEnd, transformation_id: int) -> bool:
    return transformation_id == end.transformation_id


def _is_last(end: TaskEnd, bounds: RepairBounds) -> bool:
    """Return whether each of its inputs has now failed as often as it may."""
    own = [one for one in end.inputs if _is_own(end, one.transformation_id)]
    return all(one.errors + 1 >= bounds.errors_max and not one.has_heir for one in own)


def ended(verdict: FailureVerdict, errors_max: int) -> FailureVerdict:
    """Return a verdict for inputs that may not fail any more. Pure.

    A retry becomes `give_up`, so the inputs are stuck. Hosts are still suspended, and decisions
    about bad inputs hold.
    """
    if verdict.find(*_ENDS) is not None:
        return verdict
    kept = [one for one in verdict.decisions if one.dry_run or one.do is RuleVerb.SUSPEND_HOST]
    why = f"errors_max: its inputs have failed in {errors_max} tasks, the most allowed"
    failure = verdict.decisions[-1].failure
    over = Decision(rule=f"errors_max {errors_max}", do=RuleVerb.GIVE_UP, failure=failure, why=why)
    return dataclasses.replace(verdict, decisions=(*kept, over))


def judged(
    rules: RuleSet,
    tasks: Sequence[Sequence[Evidence]],
    *,
    inputs: int,
    can_be_split: bool = True,
    at: float = 0.0,
    step: str = "",
    most: MaxGrant = NO_BOUNDS,
    none_done: bool = False,
) -> FailureVerdict | None:
    """Return the verdict on the last of some tasks, given all before it. Pure.

    Each task has its attempts, and the last one decides. A task draws once on a budget. A part of
    a task that was halved has budgets of its own. Return None if the last task did not fail.
    """
    seen: Counter[FailureClass] = Counter()
    spent: dict[str, int] = {}
    before: list[Evidence] = []
    made: list[Decision] = []
    memory_mb = wall_s = 0
    for attempts in tasks:
        before += [one for one in attempts if classify(one) is not None]
        failure, made = classify(attempts[-1]), []
        if failure is None:
            continue
        seen[failure] += 1
        alike = [(one.site, one.host) for one in before if one.cause == attempts[-1].cause]
        counters = TaskHistory(
            seen=seen, spent=spent,
            same_on_hosts=max(1, len(set(alike))), same_times=max(1, len(alike)),
            inputs=inputs, can_be_split=can_be_split, step=step,
            memory_max_mb=most.memory_mb, wall_max_s=most.wall_s, none_done=none_done,
        )  # fmt: skip
        made = decide(rules, attempts[-1], counters)
        done = [one for one in made if not one.dry_run]
        is_halved = any(one.do in _HALVES for one in done)
        spent = {} if is_halved else charged(spent, made)
        memory_mb = max(memory_mb, *(one.memory_mb for one in done), 0)
        wall_s = max(wall_s, *(one.wall_s for one in done), 0)
    if not made:
        return None
    failed = [one for one in tasks[-1] if one.host and classify(one) is not None]
    hosts = tuple(sorted({(one.site, one.host) for one in failed}))
    return FailureVerdict(tuple(made), memory_mb, wall_s, at, tasks[-1][-1], hosts)


def stderr_in(blobs: Blobs, log: Log) -> Stderr:
    """Return a reader for the end of an attempt's standard error."""

    async def read(attempt: AttemptRow) -> bytes:
        return await stderr_end(
            blobs, log, attempt.outputs, job=attempt.job_id, epoch=attempt.epoch
        )

    return read


def last_line_in(blobs: Blobs, log: Log) -> Callable[[AttemptRow], Awaitable[str]]:
    """Return a reader for the last line of an attempt's standard error."""
    read = stderr_in(blobs, log)

    async def line(attempt: AttemptRow) -> str:
        return last_line(await read(attempt))

    return line
