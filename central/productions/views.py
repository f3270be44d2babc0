"""Shows productions: their rows, counters and samples in the form of the API."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from pilotage.proto.api.productions import Eta, ProductionView, StepView
from pilotage.proto.production_states import ProductionState, stands_alone
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

from ..identity.scope import Owners
from ..observe.times import shown
from ..ports import Clock
from ..store.engine import Store
from ..transformations import record as transformation_records
from ..transformations.missing_outputs import STUCK, WAITS
from ..transformations.record import StateCounts, TransformationRow
from . import record as production_records
from .definition_cache import KnownProduction, KnownStep, ProductionCache
from .eta import Estimate, ProgressPoint, estimate
from .progress import ProductionProgress, StepProgress, StepStanding, progress
from .record import ProductionRow, StepRow, TaskMean
from .states import OVER

STUCK_MARK: Final = "stuck"  # of a step that continues only after a user acts
NO_PILOT: Final = "no pilot fits"
RUN_FAILED: Final = "its run has failed"
SUCCESS: Final = "success"  # of a run of a CWL document
NEARLY: Final = 0.999999  # shown for a progress just below 1
S = TransformationState


Unfit = Callable[[TransformationRow], str]  # why no pilot fits its jobs; empty: one does


def all_fit(row: TransformationRow) -> str:
    """Return no reason: nothing is known about pilots."""
    return ""


async def unfit_steps(
    store: Store, production_id: int, state: ProductionState, unfit: Unfit
) -> dict[str, str]:
    """Return the reason for each step with open tasks that no pilot fits."""
    if state not in (ProductionState.ACTIVE, ProductionState.PAUSED, ProductionState.STOPPED):
        return {}
    rows = (await store.read(production_records.production_steps, [production_id], documents=True))[
        production_id
    ]
    counts = await store.read(
        transformation_records.transformation_counts, [one.row.transformation_id for one in rows]
    )
    said = {
        one.step: unfit(one.row)
        for one in rows
        if counts[one.row.transformation_id].tasks.get(TaskState.CREATED)
    }
    return {step: why for step, why in said.items() if why}


class Views:
    """Shows productions."""

    def __init__(
        self,
        *,
        store: Store,
        cache: ProductionCache,
        owners: Owners,
        clock: Clock,
        unfit: Unfit = all_fit,
    ) -> None:
        self._store, self._cache, self._unfit = store, cache, unfit
        self._owners, self._clock = owners, clock

    async def of(self, rows: Sequence[ProductionRow]) -> list[ProductionView]:
        """Return the views of productions."""
        steps = await self._store.read(
            production_records.production_steps, [row.production_id for row in rows]
        )
        ids = [one.row.transformation_id for some in steps.values() for one in some]
        counts = await self._store.read(transformation_records.transformation_counts, ids)
        means = await self._cache.means(ids)
        runs = await self._store.read(
            production_records.cwl_statuses, [row.production_id for row in rows]
        )
        views = [await self._view(row, steps[row.production_id], counts, means) for row in rows]
        return [_with_run(view, runs.get(view.id)) for view in views]

    async def one(self, row: ProductionRow) -> ProductionView:
        """Return the view of a production, with the steps that no pilot fits or that run."""
        (view,) = await self.of([row])
        view = msgspec.structs.replace(view, steps=await self._with_running(view.steps))
        found = await unfit_steps(self._store, view.id, view.state, self._unfit)
        if not found:
            return view
        steps = [await self._unfit_step(one, found.get(one.step, "")) for one in view.steps]
        marks = [f"{NO_PILOT} step {one.step}" for one in steps if one.unfit]
        return msgspec.structs.replace(view, steps=steps, marks=(*view.marks, *marks))

    async def _with_running(self, steps: Sequence[StepView]) -> list[StepView]:
        """Return steps with the numbers of their tasks whose jobs run."""
        ids = [one.transformation for one in steps if one.tasks.get(TaskState.CREATED)]
        counts = await self._store.read(production_records.running_tasks, ids) if ids else {}
        return [
            msgspec.structs.replace(one, tasks_running=counts.get(one.transformation, 0))
            for one in steps
        ]

    async def _unfit_step(self, step: StepView, why: str) -> StepView:
        """Return a step with the reason why no pilot fits its jobs, and one of these jobs."""
        if not why:
            return step
        states = [TaskState.CREATED]
        found = await self._store.read(
            transformation_records.tasks, step.transformation, states=states, after=0, limit=1
        )
        job = found[0].job_id if found else None
        return msgspec.structs.replace(step, unfit=why, unfit_job=job)

    async def _view(
        self,
        row: ProductionRow,
        steps: Sequence[StepRow],
        counts: Mapping[int, StateCounts],
        means: Mapping[int, TaskMean],
    ) -> ProductionView:
        known = await self._cache.of(
            row.production_id, [one.row.transformation_id for one in steps]
        )
        stands = {one.step: stand(one, known, counts, means) for one in steps}
        how_far = progress(known.definition.workflow, known.plan, stands)
        views = [
            _step(row, one, steps, known, stands[one.step], how_far.steps[one.step])
            for one in steps
        ]
        return ProductionView(
            id=row.production_id,
            name=row.name,
            title=row.title,
            state=row.state,
            reason=row.reason,
            community=row.community,
            group=row.group,
            owner=self._owners.by_id(row.owner_id),
            steps=views,
            progress=_whole(how_far),
            eta=await self._eta(row, stands),
            marks=_marks(views),
            priority=row.priority,
            rerun_of=row.rerun_of,
            definition=row.sha256,
            made_at=shown(row.made_at),
            changed_at=shown(row.changed_at),
        )

    async def _eta(self, row: ProductionRow, stands: Mapping[str, StepStanding]) -> Eta | None:
        if row.state is not ProductionState.ACTIVE:
            return None
        samples = [
            ProgressPoint(one.at, one.progress)
            for one in await self._store.read(production_records.samples, row.production_id)
        ]
        known = [one.task_s for one in stands.values() if one.task_s]
        task_s = sum(known) / len(known) if known else 0.0
        found = estimate(samples, self._clock.wall(), task_s=task_s)
        return None if found is None else _shown_eta(found)


def _with_run(view: ProductionView, status: str | None) -> ProductionView:
    """Return a view with the status of the run of its CWL document.

    After a failure, steps without tasks were not reached.
    """
    if not status or status == SUCCESS:
        return msgspec.structs.replace(view, run=status)
    steps = [
        one if one.tasks_made else msgspec.structs.replace(one, done=0.0) for one in view.steps
    ]
    progress = min(view.progress, sum(one.done for one in steps) / len(steps), NEARLY)
    marks = (*view.marks, RUN_FAILED)
    return msgspec.structs.replace(view, run=status, marks=marks, steps=steps, progress=progress)


def stand(
    one: StepRow,
    known: KnownProduction,
    counts: Mapping[int, StateCounts],
    means: Mapping[int, TaskMean],
) -> StepStanding:
    """Return the counts of a step."""
    its = one.row.transformation_id
    inputs: dict[InputState, int] = {}
    for (number, state), files in counts[its].inputs.items():
        if number in known.steps[its].once:
            inputs[state] = inputs.get(state, 0) + files
    mean = means.get(its)
    return StepStanding(
        is_over=one.row.state in (S.COMPLETED, S.ARCHIVED),
        inputs=inputs,
        tasks=counts[its].tasks,
        tasks_wanted=one.row.tasks_wanted or one.row.tasks_made,
        task_s=mean.wall_s if mean is not None else None,
    )


def _whole(how_far: ProductionProgress) -> float:
    """Return the whole progress: 1 only if each step is at 1, also for a Completed production."""
    return 1.0 if how_far.whole >= 1.0 else min(round(how_far.whole, 6), NEARLY)


def _shown_eta(found: Estimate) -> Eta:
    return Eta(at=shown(found.at), low=shown(found.low), high=shown(found.high))


def _step(
    row: ProductionRow,
    one: StepRow,
    steps: Sequence[StepRow],
    known: KnownProduction,
    its: StepStanding,
    how_far: StepProgress,
) -> StepView:
    said: KnownStep = known.steps[one.row.transformation_id]
    return StepView(
        step=one.step,
        transformation=one.row.transformation_id,
        name=one.row.name,
        title=said.title,
        state=one.row.state,
        reason=one.row.reason,
        parents=tuple(steps[place].step for place in one.parents),
        inputs=dict(sorted(its.inputs.items(), key=_by_value)),
        tasks=dict(sorted(its.tasks.items(), key=_by_value)),
        tasks_made=one.row.tasks_made,
        tasks_expected=how_far.expected,
        tasks_wanted=one.row.tasks_wanted,
        expected_exactly=how_far.exact,
        done=round(how_far.done, 6),
        task_s=its.task_s,
        outputs=said.outputs,
        marks=_marks_of(row, one, steps),
        allow_partial=known.definition.workflow.allowed(one.step),
    )


def _by_value(item: tuple[InputState | TaskState, int]) -> str:
    return str(item[0].value)


def _marks_of(row: ProductionRow, one: StepRow, steps: Sequence[StepRow]) -> tuple[str, ...]:
    its = one.row
    marks = {
        "scouting": bool(its.scouts_until),
        "flushing": its.flushing,
        "closing": its.closing and its.state is S.ACTIVE,
        "looking for inputs": not its.tasks_wanted and not its.seeded,
        STUCK_MARK: stands_alone(its.state, row.state) or _lacks_inputs(row, one, steps),
    }
    return tuple(mark for mark, holds in marks.items() if holds)


def _lacks_inputs(row: ProductionRow, one: StepRow, steps: Sequence[StepRow]) -> bool:
    """Return whether a step waits because too many of its inputs are missing for good.

    Its reason may be older than the last action: while a parent works, nothing is missing for good,
    and a step that a user has closed continues.
    """
    if row.state is not ProductionState.ACTIVE or one.row.state is not S.ACTIVE:
        return False
    fed = any(steps[place].row.state not in OVER for place in one.parents)
    return one.row.reason.startswith(WAITS) and not fed and not one.row.closing


def _marks(views: Sequence[StepView]) -> tuple[str, ...]:
    """Return the marks of a production."""
    marks = [f"step {one.step} is stuck" for one in views if STUCK_MARK in one.marks]
    stuck = sum(one.inputs.get(state, 0) for one in views for state in STUCK)
    if stuck:
        marks.append(f"{stuck} files are stuck" if stuck > 1 else "1 file is stuck")
    return tuple(marks)
