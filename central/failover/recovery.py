"""Makes tasks agree with their inputs and outputs again, and reports those it leaves alone.

One transaction makes a task with its job and inputs, one ends the job and publishes its outputs,
and one closes the task. So most disagreements cannot occur. Three remain: copies that go bad, files
that a user removes later, and a store that was changed by hand. docs/failure-recovery.md has the
table.

A sweep changes one transformation and writes its report in one transaction. The transaction fails
if the transformation has changed since it was read: then the next sweep checks it again.
"""

from collections.abc import Callable, Sequence
from typing import Final
from zlib import crc32

import msgspec

from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.job_states import JobState
from pilotage.proto.state_machine import IllegalTransition
from pilotage.proto.transformation_states import (
    InputEvent,
    InputState,
    TaskEvent,
    TaskState,
    TransformationEvent,
    TransformationState,
    next_input,
    next_task,
    next_transformation,
)

from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import OF_ALL, StoreBroken, StoreError, StoreFull
from ..transformations import record as transformation_records
from ..transformations.live_state import document
from ..transformations.record import InputMove, TransformationMove, TransformationRow
from . import record as failover_records
from .decisions import Decision, OddTaskState, decide_recovery
from .facts import GONE, standing_of
from .record import CycleRecord, FailoverRow, NewReport, OddInput, OddTask, TaskRepair
from .report import as_json, reports, title
from .rule_book import RuleBook
from .rules import OutputPresence, RuleVerb

S = TransformationState
LOOKED_AT: Final = (S.ACTIVE, S.PAUSED, S.STOPPED, S.COMPLETING, S.COMPLETED)
PAGE: Final = 500
ODD_MAX: Final = 1_000  # tasks, or inputs, of one transformation that a sweep checks
INPUTS_MAX: Final = 10_000  # of the tasks that it repairs: other writers wait for the transaction

# The event of an input for each action of a rule, by the input's state.
EVENTS: Final[dict[RuleVerb, dict[InputState, InputEvent]]] = {
    RuleVerb.INPUTS_PROCESSED: {
        InputState.ASSIGNED: InputEvent.TASK_DONE,
        InputState.UNUSED: InputEvent.OUTPUTS_FOUND,
        InputState.STUCK: InputEvent.OUTPUTS_FOUND,
    },
    RuleVerb.INPUTS_UNUSED: {
        InputState.ASSIGNED: InputEvent.TASK_SPARED,
        InputState.PROCESSED: InputEvent.OUTPUTS_LOST,
    },
    RuleVerb.INPUTS_STUCK: {InputState.ASSIGNED: InputEvent.TASK_FAILED_LAST},
    RuleVerb.INPUTS_REMOVED: {
        InputState.ASSIGNED: InputEvent.NOT_THERE,
        InputState.UNUSED: InputEvent.NOT_THERE,
    },
}
_ENDS_AT: Final = {  # the state of an input afterwards: inputs in this state stay unchanged
    RuleVerb.INPUTS_PROCESSED: InputState.PROCESSED,
    RuleVerb.INPUTS_UNUSED: InputState.UNUSED,
    RuleVerb.INPUTS_STUCK: InputState.STUCK,
    RuleVerb.INPUTS_REMOVED: InputState.MISSING,
}
_OF_TASKS: Final = {
    RuleVerb.JOB_DONE: TaskEvent.OUTPUTS_FOUND,
    RuleVerb.JOB_FAILED: TaskEvent.OUTPUTS_LOST,
}


class RecoveryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The decisions of a sweep about one transformation."""

    mends: tuple[TaskRepair, ...] = ()
    done: tuple[Decision, ...] = ()  # by these repairs
    told: tuple[Decision, ...] = ()  # tasks left as they are, and dry runs
    mark: str = ""  # of the tasks in `told`: an unchanged mark is not reported again
    new: tuple[Decision, ...] = ()  # reported only, or dry runs, of repaired tasks


class TaskRecovery:
    """Repairs inconsistent tasks, sweep by sweep."""

    def __init__(
        self,
        *,
        store: Store,
        rules: RuleBook,
        touch: Callable[[int], None],
        clock: Clock,
        log: Log,
        every_s: float,
        mail: bool,
    ) -> None:
        self._store, self._rules, self._touch = store, rules, touch
        self._clock, self._log, self._every_s, self._mail = clock, log, every_s, mail

    async def run(self) -> None:
        """Run until cancelled. While the disk is full, repair nothing."""
        while True:
            await self._clock.sleep(self._every_s)
            try:
                await self.once()
            except StoreFull:
                continue
            except StoreBroken:
                raise
            except StoreError as why:
                self._log("loop_failed", loop="recovery", error=str(why))

    async def once(self) -> None:
        """Check all transformations that ask for failover."""
        missed = await self._store.write(
            failover_records.note_missed_ends
        ) + await self._store.write(transformation_records.lost_tasks)
        after = 0
        while True:
            rows = await self._store.read(
                transformation_records.transformations,
                None,
                states=LOOKED_AT,
                after=after,
                limit=PAGE,
            )
            for row in rows:
                if (doc := document(row)).failover:
                    await self._guarded(row, doc)
                if missed:
                    self._touch(row.transformation_id)  # the engine then closes the tasks
            if len(rows) < PAGE:
                return
            after = rows[-1].transformation_id

    async def _guarded(self, row: TransformationRow, doc: Transformation) -> None:
        """Check one transformation; log an error of the store, so that the others are repaired."""
        try:
            await self._look(row, doc)
        except OF_ALL:
            raise
        except StoreError as why:
            loop = f"recovery of transformation {row.transformation_id}"
            self._log("loop_failed", loop=loop, error=str(why))

    async def _look(self, row: TransformationRow, doc: Transformation) -> None:
        """Repair the tasks of a transformation that can be repaired, and report the others once."""
        one = row.transformation_id
        odd = await self._store.read(failover_records.odd_inputs, one, limit=ODD_MAX)
        known = {task.task_id for task in odd}
        of_outputs = await self._store.read(
            failover_records.odd_outputs, one, after=0, limit=ODD_MAX
        )
        odd += [task for task in of_outputs if task.task_id not in known]
        if odd:
            await self._store.write(failover_records.begin_failover, one)
        before = (await self._store.read(failover_records.failover_rows, [one])).get(one)
        if before is None or (not odd and not _last_mark(before)):
            return
        rules = (await self._rules.of(one)).rules
        has_heir = await self._store.read(transformation_records.derived_from, one) is not None
        decided = [
            (task, decide_recovery(rules, oddness(task, errors_max=doc.errors_max))) for task in odd
        ]
        found = _found(decided, has_heir=has_heir)
        if not found.mends and found.mark == _last_mark(before):
            return
        if await self._keep(row, doc, before, found):
            self._tell(one, decided, found.mends)

    async def _keep(
        self,
        row: TransformationRow,
        doc: Transformation,
        before: FailoverRow,
        found: RecoveryPlan,
    ) -> bool:
        """Write all of it; return False if it has changed: the next sweep checks it again."""
        one = row.transformation_id
        counts = (await self._store.read(transformation_records.transformation_counts, [one]))[one]
        cycle = before.cycle + 1
        left = {one: standing_of(row, doc, counts)}
        reported = found.told if found.mark != _last_mark(before) else ()
        made = reports((), left, cycle=cycle, acted={one: [*found.done, *found.new, *reported]})
        said = tuple(word for word in before.said if not word.startswith(GONE))
        if found.mark:
            said += (found.mark,)
        move = self._more(row, found.mends)
        # The next cycle counts inputs that came back as new: the engine makes tasks first.
        inputs = before.inputs if move is None else 0
        kept = CycleRecord(
            row=msgspec.structs.replace(before, cycle=cycle, said=said, inputs=inputs),
            was=before.cycle,
            move=move,
            mends=found.mends,
            reports=tuple(
                NewReport(
                    cause=report.cause,
                    title=title(report),
                    saved=report.saved,
                    for_people=report.for_people,
                    body=as_json(report),
                )
                for report in made
            ),
            mail=self._mail,
            at=self._clock.wall(),
        )
        ids = await self._store.write(failover_records.keep_cycle, kept)
        if ids is None:
            return False
        for report, new_one in zip(ids, kept.reports, strict=True):
            self._log("failover_reported", transformation=one, report=report, title=new_one.title)
        return True

    def _more(
        self, row: TransformationRow, mends: Sequence[TaskRepair]
    ) -> TransformationMove | None:
        """Return the move of the transformation: it works again if inputs are Unused again."""
        waits = any(move.new is InputState.UNUSED for one in mends for move in one.inputs)
        if not waits:
            return None
        return TransformationMove(
            transformation_id=row.transformation_id,
            old=row.state,
            new=next_transformation(row.state, TransformationEvent.MORE),
            reason="failover: inputs whose outputs were lost go to other tasks",
            at=self._clock.wall(),
        )

    def _tell(
        self,
        one: int,
        decided: Sequence[tuple[OddTask, Sequence[Decision]]],
        mends: Sequence[TaskRepair],
    ) -> None:
        mended = {mend.task_id for mend in mends}
        for task, several in decided:
            for made in several if task.task_id in mended else ():
                if not made.dry_run:
                    self._log(
                        "failover_recovered",
                        transformation=one,
                        task=task.number,
                        rule=made.rule,
                        do=made.do.value,
                    )
        if mends:
            self._touch(one)


def _last_mark(row: FailoverRow) -> str:
    """Return the mark of the last report; empty if there was none."""
    return next((word for word in row.said if word.startswith(GONE)), "")


def _found(
    decided: Sequence[tuple[OddTask, Sequence[Decision]]], *, has_heir: bool
) -> RecoveryPlan:
    """Return the repairs, and the decisions to report. Pure.

    If another transformation was derived from this one, that one continues with the inputs. Tasks
    that have lost outputs are then only reported.
    """
    mends: list[TaskRepair] = []
    done: list[Decision] = []
    new: list[Decision] = []
    reported: list[Decision] = []
    stands: list[int] = []
    inputs = 0
    for task, several in decided:
        steps = [one for one in several if not one.dry_run]
        tried = [one for one in several if one.dry_run]
        mend = None if has_heir and task.outputs_gone else mend_of(task, steps)
        if mend is not None and (mend.inputs or mend.clean or mend.new is not mend.old):
            if inputs and inputs + len(mend.inputs) > INPUTS_MAX:
                continue  # left to the next sweep
            inputs += len(mend.inputs)
            mends.append(mend)
            done += [one for one in steps if one.do is not RuleVerb.TELL]
            new += tried + [one for one in steps if one.do is RuleVerb.TELL]
        elif several:
            stands.append(task.task_id)
            reported += tried
            if steps:
                reported.append(msgspec.structs.replace(steps[0], do=RuleVerb.TELL))
    mark = f"{GONE}{len(stands)} {crc32(str(stands).encode()):08x}" if stands else ""
    return RecoveryPlan(
        mends=tuple(mends), done=tuple(done), new=tuple(new), told=tuple(reported), mark=mark
    )


def mend_of(task: OddTask, steps: Sequence[Decision]) -> TaskRepair | None:
    """Return the repair for the steps of a rule; None: not all steps are possible. Pure.

    A step is impossible if another task has an input by now, or if the table of states has no such
    move. A task that does not exist has no state: only its inputs change.
    """
    new, clean = task.state, False
    inputs: list[InputMove] = []
    for one in steps:
        if task.state is None and (one.do in _OF_TASKS or one.do is RuleVerb.CLEAN_OUTPUTS):
            continue
        if one.do in _OF_TASKS:
            try:
                new = next_task(task.state or TaskState.LOST, _OF_TASKS[one.do])
            except IllegalTransition:
                return None
        elif one.do is RuleVerb.CLEAN_OUTPUTS:
            clean = True
        elif one.do in EVENTS:
            moves = moves_of(task, one.do)
            if moves is None:
                return None
            inputs += moves
    return TaskRepair(
        task_id=task.task_id,
        old=task.state,
        new=new,
        reason=f"failover: {steps[0].rule}"[:500] if steps else "",
        inputs=tuple(inputs),
        clean=clean,
    )


def oddness(task: OddTask, *, errors_max: int) -> OddTaskState:
    """Return a task in the terms of the rules. Pure."""
    left = task.outputs - task.outputs_gone
    if task.state is TaskState.DONE and not task.outputs:
        outputs = OutputPresence.ALL  # it makes no outputs
    elif left == task.outputs and left:
        outputs = OutputPresence.ALL
    else:
        outputs = OutputPresence.SOME if left else OutputPresence.NONE
    others = [one for one in task.inputs if not one.is_own]
    return OddTaskState(
        job=JobState.DONE if task.state is TaskState.DONE else JobState.FAILED,
        outputs=outputs,
        inputs=[one.state for one in task.inputs],
        inputs_there=all(one.is_there for one in task.inputs),
        other_task=bool(others),
        other_task_did=any(one.other_did for one in others),
        errors_left=all(one.errors + 1 < errors_max for one in task.inputs),
        lost=task.outputs_lost > 0 and task.outputs_lost == task.outputs_gone,
        read=task.is_read,
        anew=max((one.replays for one in task.inputs), default=0),
    )


def moves_of(task: OddTask, do: RuleVerb) -> list[InputMove] | None:
    """Return the moves of a task's inputs; None: one of them cannot move. Pure."""
    moves: list[InputMove] = []
    for one in task.inputs:
        if one.state is _ENDS_AT[do]:
            continue
        event = EVENTS[do].get(one.state)
        if event is None or not one.is_own:
            return None
        moves.append(_move(task, one, event))
    return moves


def _move(task: OddTask, one: OddInput, event: InputEvent) -> InputMove:
    return InputMove(
        transformation_id=task.transformation_id,
        file_id=one.file_id,
        input_no=one.input_no,
        old=one.state,
        new=next_input(one.state, event),
        task_id=task.task_id,
        error=event is InputEvent.TASK_FAILED_LAST,
        replay=event is InputEvent.OUTPUTS_LOST,
        no_errors=event in (InputEvent.OUTPUTS_LOST, InputEvent.OUTPUTS_FOUND),
    )
