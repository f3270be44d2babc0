"""Carries out users' actions on a production and its steps."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec import UNSET

from pilotage.proto.api.jobs import Action as JobAction, ActionName
from pilotage.proto.api.productions import ProductionAction, ProductionActionName as A
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.problems import Code
from pilotage.proto.production_states import ProductionState, stands_alone
from pilotage.proto.transformation_states import (
    InputEvent,
    InputState,
    TaskState,
    TransformationState,
    next_input,
)

from ..errors import Refused
from ..identity.callers import User
from ..ports import Clock
from ..store.engine import CHUNK_MAX, Store
from ..transformations import record as transformation_records
from ..transformations.live_state import document
from ..transformations.record import InputMove, StateCounts, TransformationRow
from ..transformations.task_ends import inputs
from . import record as production_records
from .cleaning import ActOnJobs
from .plans import ProductionChange, more, planned, step_named
from .record import ProductionRow, StepRow
from .whole_inputs import unlike_when_fixed

TRIES: Final = 5  # lost races with the engine that one action survives
PAGE: Final = 1_000
P, S = ProductionState, TransformationState
_GONE: Final = (P.CLEANING, P.CLEANED, P.ARCHIVED)


class ProductionControl:
    """Carries out actions on productions."""

    def __init__(
        self, *, store: Store, act: ActOnJobs, touch: Callable[[int], None], clock: Clock
    ) -> None:
        """Make a control; `act` carries out actions on jobs, `touch` notifies the engine."""
        self._store, self._act, self._touch, self._clock = store, act, touch, clock

    async def act(self, caller: User, row: ProductionRow, action: ProductionAction) -> list[str]:
        """Carry out an action; return messages about the changes. Raises Refused."""
        if action.action is A.PRIORITY:
            return await self._priority(caller, row, action)
        if action.action is A.FIX:
            return await self._fix(row, action)
        docs: dict[int, Transformation] = {}
        if action.action is A.EXTEND:
            rows = await self._store.read(
                production_records.production_steps, [row.production_id], documents=True
            )
            docs = {one.row.transformation_id: document(one.row) for one in rows[row.production_id]}
        return await self._carry_out(
            row,
            lambda now, steps: planned(now, steps, action, at=self._clock.wall(), docs=docs),
        )

    async def _carry_out(
        self,
        row: ProductionRow,
        plan: Callable[[ProductionRow, Sequence[StepRow]], ProductionChange],
    ) -> list[str]:
        """Write the plan for the present state; plan again if the engine was faster."""
        for _ in range(TRIES):
            now = await self._store.read(production_records.production, row.production_id)
            assert now is not None
            found = plan(now, await self.steps(row))
            if found.move is None:
                return found.did
            if await self._store.write(
                production_records.move_production,
                found.move,
                found.steps,
                extensions=found.extensions,
            ):
                for one in {
                    *(step.transformation_id for step in found.steps),
                    *(its.transformation_id for its in found.extensions),
                }:
                    self._touch(one)
                return found.did
        text = f"production {row.name} keeps changing: try again"
        raise Refused(Code.ILLEGAL_STATE, text, field="action")

    async def steps(self, row: ProductionRow) -> list[StepRow]:
        """Return the present steps of a production."""
        return (await self._store.read(production_records.production_steps, [row.production_id]))[
            row.production_id
        ]

    # -- fix ------------------------------------------------------------------------------------

    async def _fix(self, row: ProductionRow, action: ProductionAction) -> list[str]:
        """Retry stuck files and steps: first reset the files, then resume the steps that take them.

        The process may die in between: then `fix` also finds ended steps with Unused files.
        """
        if row.state in _GONE:
            said = f"a production that is {row.state.value} cannot be fixed"
            raise Refused(Code.ILLEGAL_STATE, said, field="action")
        steps = await self.steps(row)
        some = [step_named(steps, action.step)] if action.step is not None else steps
        states = [
            InputState.STUCK,
            InputState.MISSING,
            *([InputState.PROBLEMATIC] if action.problematic else []),
        ]
        ids = [one.row.transformation_id for one in steps]
        counts = await self._store.read(transformation_records.transformation_counts, ids)
        did: list[str] = []
        some = [one for one in some if one.row.state not in (S.ARCHIVED, S.CLEANING, S.CLEANED)]
        again = _to_be_fixed(row, some, counts, states)
        if again and not action.anyway:
            await self._check_wholes(row, counts, again, states)
        for one in some:
            its, count = one.row, counts[one.row.transformation_id]
            if any(inputs(count, state) for state in states):
                files = await self._reset(its, states)
                did.append(f"step {one.step}: {_files(files)} tried again")
            failed = count.tasks.get(TaskState.FAILED, 0)
            if its.tasks_wanted and failed:
                did.append(
                    f"step {one.step}: {failed} of its tasks failed for good, and it has no files "
                    f"to retry: `extend` it by {failed} to replace them, "
                    "then `complete` the step that waits for it"
                )
        did += await self._carry_out(
            row,
            lambda now, steps: (
                more(
                    now,
                    steps,
                    [one for one in steps if one.step in again],
                    reason=action.reason,
                    at=self._clock.wall(),
                )
                if again
                else ProductionChange()
            ),
        )
        for one in some:
            if one.step in again:
                self._touch(one.row.transformation_id)
        return did or ["nothing is stuck"]

    async def _check_wholes(
        self,
        row: ProductionRow,
        counts: Mapping[int, StateCounts],
        again: Collection[str],
        states: Sequence[InputState],
    ) -> None:
        """Raise Refused if a step that takes all files would take only the retried ones."""
        rows = await self._store.read(
            production_records.production_steps, [row.production_id], documents=True
        )
        steps = rows[row.production_id]
        docs = {one.row.transformation_id: document(one.row) for one in steps}
        wrong = unlike_when_fixed(steps, docs, counts, again, states)
        if wrong:
            why = f"step: {'; '.join(wrong)}: `rerun` {row.name} under another name to process "
            raise Refused(Code.ILLEGAL_STATE, f"{why}all together, or add `anyway`", field="step")

    async def _reset(self, row: TransformationRow, states: Sequence[InputState]) -> int:
        """Reset inputs; return their number."""
        done = 0
        after = (0, 0)
        while True:
            rows = await self._store.read(
                transformation_records.inputs,
                row.transformation_id,
                states=states,
                after=after,
                limit=CHUNK_MAX,
            )
            moves = [
                InputMove(
                    transformation_id=row.transformation_id,
                    file_id=one.file_id,
                    input_no=one.input_no,
                    old=one.state,
                    new=next_input(one.state, InputEvent.RESET),
                    no_errors=True,
                )
                for one in rows
            ]
            if moves:
                done += sum(
                    await self._store.write(
                        transformation_records.move_inputs, moves, self._clock.wall()
                    )
                )
            if len(rows) < CHUNK_MAX:
                return done
            after = (rows[-1].file_id, rows[-1].input_no)

    # -- priority -------------------------------------------------------------------------------

    async def _priority(
        self, caller: User, row: ProductionRow, action: ProductionAction
    ) -> list[str]:
        """Set the priority of future jobs, then of the waiting ones."""
        wanted = action.priority
        assert wanted is not UNSET, "the action's own check refuses it"
        if row.state in _GONE:
            text = f"a production that is {row.state.value} makes no more jobs"
            raise Refused(Code.ILLEGAL_STATE, text, field="action")
        at = self._clock.wall()
        await self._store.write(
            production_records.set_production_priority, row.production_id, wanted, at
        )
        rows = await self._store.read(
            production_records.production_steps, [row.production_id], documents=True
        )
        steps = rows[row.production_id]
        for one in steps:
            self._touch(one.row.transformation_id)
        count = 0
        for one in steps:
            priority = wanted
            if priority is None:
                priority = document(one.row).job.priority
            count += await self._set_priority(caller, one, priority, action.reason)
        what = "as each job says" if wanted is None else str(wanted)
        return [f"priority {what}: {count} jobs wait or run with it"]

    async def _set_priority(self, caller: User, one: StepRow, priority: int, reason: str) -> int:
        after = count = 0
        while True:
            tasks = await self._store.read(
                transformation_records.tasks,
                one.row.transformation_id,
                states=[TaskState.CREATED],
                after=after,
                limit=PAGE,
            )
            if tasks:
                ids = tuple(task.job_id for task in tasks)
                action = JobAction(
                    action=ActionName.PRIORITY, ids=ids, priority=priority, reason=reason
                )
                await self._act(caller, action)
                count += len(ids)
            if len(tasks) < PAGE:
                return count
            after = tasks[-1].number


def _to_be_fixed(
    row: ProductionRow,
    some: Sequence[StepRow],
    counts: Mapping[int, StateCounts],
    states: Sequence[InputState],
) -> set[str]:
    """Return the names of the steps that have stuck files, or are stuck themselves."""
    found: set[str] = set()
    for one in some:
        its, count = one.row, counts[one.row.transformation_id]
        left = inputs(count, InputState.UNUSED)
        if (
            any(inputs(count, state) for state in states)
            or (row.state is P.ACTIVE and stands_alone(its.state, row.state))
            or (left and its.state in (S.COMPLETED, S.COMPLETING))
        ):
            found.add(one.step)
    return found


def _files(count: int) -> str:
    return "1 file is" if count == 1 else f"{count} files are"
