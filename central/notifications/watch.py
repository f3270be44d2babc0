"""Finds the submissions and productions that people want to hear of.

The end of a job costs nothing for that: a slow loop reads the counts that the store has anyway, and
only of submissions and productions with a subscription.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from pilotage.proto.api.notifications import NotifyEvent
from pilotage.proto.job_states import JobState
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import TaskState, TransformationState

from ..identity.scope import Owners
from ..jobs import record_search as search_records
from ..jobs.record_types import JobSearch
from ..observe.events import Log
from ..ports import Clock
from ..productions import record as production_records
from ..productions.record import ProductionRow, StepRow
from ..store.engine import Store
from ..store.errors import OF_ALL, StoreBroken, StoreError, StoreFull
from ..transformations import record as transformation_records
from ..transformations.missing_outputs import STUCK
from . import record as records
from .messages import Cause, Notification, line
from .record import SUBMISSION, Subscription
from .standing import Standing, due, of_jobs

TOGETHER: Final = 200  # subscriptions in one round; the next round continues after them
CAUSES_READ: Final = 500  # failed jobs whose reasons are read
CAUSES_SHOWN: Final = 5
_P = ProductionState
_ENDED: Final = (_P.COMPLETED,)
_AWAY: Final = (_P.ARCHIVED, _P.CLEANING, _P.CLEANED)  # put away by a person: nothing is told


class NotificationWatch:
    """Checks subscriptions, and puts notifications into the outbox."""

    def __init__(
        self,
        store: Store,
        owners: Owners,
        channels: Sequence[str],
        *,
        every_s: float,
        clock: Clock,
        log: Log,
    ) -> None:
        """`channels` are the ways in which this central can send."""
        self._store, self._owners, self._channels = store, owners, channels
        self._every_s, self._clock, self._log = every_s, clock, log
        self._after: Subscription | None = None

    async def run(self) -> None:
        """Run until cancelled; return at once if nothing can be sent."""
        while self._channels:
            await self._clock.sleep(self._every_s)
            try:
                await self.once()
            except StoreFull:
                continue  # the notifications come later
            except StoreBroken:
                raise
            except StoreError as why:
                self._log("loop_failed", loop="notifications", error=str(why))

    async def once(self) -> None:
        """Check the next subscriptions."""
        some = await self._store.read(records.subscriptions_after, self._after, limit=TOGETHER)
        self._after = some[-1] if len(some) == TOGETHER else None
        for one in some:
            try:
                await self._look(one)
            except OF_ALL:
                raise
            except StoreError as why:  # something of this subscription only
                self._log(
                    "loop_failed",
                    loop=f"notifications of {one.kind} {one.subject_id}",
                    error=str(why),
                )

    async def _look(self, one: Subscription) -> None:
        if one.kind == SUBMISSION:
            await self._look_at_submission(one)
        else:
            await self._look_at_production(one)

    # -- submissions ----------------------------------------------------------------------------

    async def _look_at_submission(self, one: Subscription) -> None:
        found = await self._store.read(records.submission, one.subject_id)
        if found is None:
            await self._drop(one)
            return
        if not found.complete:
            return
        standing = of_jobs(found.total, found.counts)
        events, left = due(one.events, standing)
        if left == one.events:
            return
        causes = await self._causes_of_jobs(one) if events and standing.failed else ()
        await self._tell(one, left, events, found.name, found.community, standing, causes)

    async def _causes_of_jobs(self, one: Subscription) -> tuple[Cause, ...]:
        search = JobSearch(
            owner_id=one.owner_id, states=(JobState.FAILED,), submission_id=one.subject_id
        )
        rows = await self._store.read(search_records.search, search, after=0, limit=CAUSES_READ)
        return _most_frequent((row.reason or "no reason", row.job_id) for row in rows)

    # -- productions ----------------------------------------------------------------------------

    async def _look_at_production(self, one: Subscription) -> None:
        row = await self._store.read(production_records.production, one.subject_id)
        if row is None or row.state in _AWAY:
            await self._drop(one)
            return
        steps = await self._store.read(production_records.production_steps, [one.subject_id])
        standing = await self._standing(row, steps[one.subject_id])
        events, left = due(one.events, standing)
        if left == one.events:
            return
        causes = await self._causes_of_steps(steps[one.subject_id]) if events else ()
        await self._tell(one, left, events, row.name, row.community, standing, causes)

    async def _standing(self, row: ProductionRow, steps: Sequence[StepRow]) -> Standing:
        """Return how far a production is.

        Its failed tasks are retried. So it has failures if a step has files that no task takes
        until a person acts, if a step was paused because of them, or if a task without files
        failed, which nothing repeats.
        """
        ids = [one.row.transformation_id for one in steps]
        counts = await self._store.read(transformation_records.transformation_counts, ids)
        tasks: Counter[str] = Counter()
        failed = False
        for one in steps:
            its = counts[one.row.transformation_id]
            tasks.update({state.value: number for state, number in its.tasks.items() if number})
            failed |= any(files and state in STUCK for (_, state), files in its.inputs.items())
            failed |= not its.inputs and bool(its.tasks.get(TaskState.FAILED))
            failed |= one.row.state is TransformationState.PAUSED and row.state is _P.ACTIVE
        samples = await self._store.read(production_records.samples, row.production_id)
        return Standing(
            part=samples[-1].progress if samples else 0.0,
            failed=failed,
            is_over=row.state in _ENDED,
            counts=tasks,
        )

    async def _causes_of_steps(self, steps: Sequence[StepRow]) -> tuple[Cause, ...]:
        found: list[tuple[str, int]] = []
        for one in steps:
            tasks = await self._store.read(
                transformation_records.tasks,
                one.row.transformation_id,
                states=(TaskState.FAILED,),
                after=0,
                limit=CAUSES_READ,
            )
            found += [(f"step {one.step}: {task.reason}", task.job_id) for task in tasks]
        return _most_frequent(found)

    # -- the outbox -----------------------------------------------------------------------------

    async def _tell(
        self,
        one: Subscription,
        left: frozenset[NotifyEvent],
        events: Sequence[NotifyEvent],
        name: str,
        community: str,
        standing: Standing,
        causes: tuple[Cause, ...],
    ) -> None:
        told = [
            Notification(
                kind=one.kind,
                id=one.subject_id,
                name=name,
                community=community,
                event=event,
                at=self._clock.wall(),
                counts=dict(sorted(standing.counts.items())),
                causes=causes,
            )
            for event in events
        ]
        dropped = await self._store.write(records.notify, one, left, told, channels=self._channels)
        await self._owners.meet([one.owner_id])
        owner = self._owners.by_id(one.owner_id)
        for event in events:
            self._log("notified", kind=one.kind, id=one.subject_id, what=event.value, owner=owner)
        if dropped:
            self._log("notifications_dropped", owner=owner, count=dropped)

    async def _drop(self, one: Subscription) -> None:
        await self._store.write(records.notify, one, frozenset(), (), channels=())


def _most_frequent(failed: Iterable[tuple[str, int]]) -> tuple[Cause, ...]:
    """Return the most frequent reasons of failed jobs, each with the first job as an example."""
    reasons: Counter[str] = Counter()
    examples: dict[str, int] = {}
    for reason, job in failed:
        shown = line(reason)
        reasons[shown] += 1
        examples.setdefault(shown, job)
    return tuple(
        Cause(text=reason, count=count, job=examples[reason])
        for reason, count in reasons.most_common(CAUSES_SHOWN)
    )
