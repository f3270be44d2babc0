"""Makes tasks agree with their inputs again, and tells where outputs of them are gone.

One transaction of the store makes a task with its job and its inputs, one ends the job and
publishes its outputs, one draws the consequences: so most rows of DIRAC's table cannot occur.
What can: files that somebody removes or that are lost afterwards, and a store that somebody has
changed by hand. docs/failures.md has the table.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from pilotage.proto.job_states import JobState
from pilotage.proto.transformation_states import (
    InputEvent,
    InputState,
    TaskState,
    TransformationState,
    next_input,
)

from ..observe.events import Log
from ..ports import Clock
from ..store.errors import StoreFull
from ..store.failover import CycleKept, FailoverRow, NewReport, OddTask
from ..store.protocol import Store
from ..store.transformations import InputMove, TransformationRow
from ..transformations.live import document
from .decide import Decision, Odd, decide_recovery
from .facts import GONE, standing_of
from .report import as_json, reports, title
from .rule_book import RuleBook
from .rules import Do, Outputs

S = TransformationState
LOOKED_AT: Final = (S.ACTIVE, S.PAUSED, S.STOPPED, S.COMPLETING, S.COMPLETED)
PAGE: Final = 500
ODD_MAX: Final = 1_000  # inputs of one transformation in one sweep; the next one has the others

# What a rule does to inputs that stand Assigned to a task that has none any more.
EVENTS: Final = {
    Do.INPUTS_PROCESSED: InputEvent.TASK_DONE,
    Do.INPUTS_UNUSED: InputEvent.TASK_SPARED,
    Do.INPUTS_MAX_RESET: InputEvent.TASK_FAILED_LAST,
    Do.INPUTS_REMOVED: InputEvent.NOT_THERE,
}
_JOBS: Final = {TaskState.DONE: JobState.DONE, TaskState.FAILED: JobState.FAILED}


class Recovery:
    """Sweeps."""

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
        """Run for ever. Ends by cancellation. While the disk is full nothing is repaired."""
        while True:
            await self._clock.sleep(self._every_s)
            try:
                await self.once()
            except StoreFull:
                continue

    async def once(self) -> None:
        """Look at all transformations that ask for failover."""
        missed = await self._store.note_missed_ends() + await self._store.lost_tasks()
        after = 0
        while True:
            rows = await self._store.transformations(
                None, states=LOOKED_AT, after=after, limit=PAGE
            )
            for row in rows:
                if document(row).failover:
                    await self._inputs(row)
                    await self._outputs(row)
                if missed:
                    self._touch(row.transformation_id)  # the engine draws the consequences
            if len(rows) < PAGE:
                return
            after = rows[-1].transformation_id

    async def _inputs(self, row: TransformationRow) -> None:
        """Free inputs that a task has left behind."""
        one = row.transformation_id
        odd = await self._store.odd_inputs(one, limit=ODD_MAX)
        if not odd:
            return
        rules = (await self._rules.of(one)).rules
        for task in odd:
            decided = decide_recovery(rules, oddness(task))
            for made in decided:
                if made.do in EVENTS and not made.dry_run:
                    await self._store.move_inputs(moves_of(task, made.do), self._clock.wall())
                self._log(
                    "failover_recovered",
                    transformation=one,
                    task=task.number,
                    rule=made.rule,
                    do=made.do.value,
                )
        self._touch(one)

    async def _outputs(self, row: TransformationRow) -> None:
        """Tell of tasks whose outputs are gone, when there are more than were told of."""
        one = row.transformation_id
        gone = await self._store.gone_outputs(one, after=0, limit=ODD_MAX)
        before = (await self._store.failover_rows([one])).get(one)
        mark = f"{GONE}{len(gone)}"
        if not gone or before is None or mark in before.said:
            return
        rules = (await self._rules.of(one)).rules
        decided = [made for task in gone for made in decide_recovery(rules, oddness(task))]
        await self._report(row, before, mark, decided)

    async def _report(
        self, row: TransformationRow, before: FailoverRow, mark: str, decided: Sequence[Decision]
    ) -> None:
        one, doc = row.transformation_id, document(row)
        counts = (await self._store.transformation_counts([one]))[one]
        left = {one: standing_of(row, doc, counts)}
        made = reports((), left, cycle=before.cycle + 1, acted={one: decided})
        others = tuple(word for word in before.said if not word.startswith(GONE))
        kept = CycleKept(
            row=msgspec.structs.replace(before, cycle=before.cycle + 1, said=(*others, mark)),
            was=before.cycle,
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
        await self._store.keep_cycle(kept)


def oddness(task: OddTask) -> Odd:
    """Return a task in the terms of the rules."""
    outputs = Outputs.NONE
    if task.state is TaskState.DONE:
        outputs = Outputs.ALL if not task.outputs_gone else Outputs.SOME
        if task.outputs_gone and task.outputs_gone == task.outputs:
            outputs = Outputs.NONE
    states = [state for _, _, state in task.inputs] or [InputState.PROCESSED]
    return Odd(
        job=_JOBS.get(task.state or TaskState.LOST, JobState.FAILED), outputs=outputs, inputs=states
    )


def moves_of(task: OddTask, do: Do) -> list[InputMove]:
    """Return how the inputs of a task move."""
    event = EVENTS[do]
    return [
        InputMove(
            transformation_id=task.transformation_id,
            file_id=file_id,
            input_no=number,
            old=state,
            new=next_input(state, event),
            task_id=task.task_id,
            error=event is InputEvent.TASK_FAILED_LAST,
        )
        for file_id, number, state in task.inputs
    ]
