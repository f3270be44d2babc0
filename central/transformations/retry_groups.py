"""Groups the inputs of failed tasks for retries, as the failover rules decide."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from ..pauses import by_and_by
from ..ports import Clock
from .grouping import Group, WaitingInput
from .live_state import NEVER, LiveTransformation
from .repairs import Repairs, RetryGroup, bounds_of

ASKED_MAX: Final = 100  # tasks that are checked in one pass


@dataclass
class RetryPlan:
    """The groups to retry now, and the inputs that wait for a later retry."""

    groups: list[Group] = field(default_factory=list[Group])
    asks: dict[WaitingInput, RetryGroup] = field(
        default_factory=dict[WaitingInput, RetryGroup]
    )  # by the first input of a group
    held: set[WaitingInput] = field(
        default_factory=set[WaitingInput]
    )  # in those groups, or in later ones
    due: float = NEVER  # when the first of the later ones is due (wall clock)

    def take(self, group: Group, again: RetryGroup, *, now: float) -> None:
        """Add a group, for now or for later."""
        self.held.update(group)
        if again.after > now:
            self.due = min(self.due, again.after)
        elif group:
            self.groups.append(group)
            self.asks[group[0]] = again


NO_TRIAL: Final = RetryPlan()


class RetryAdviser:
    """Asks the rules about failed inputs, once for each task: the answer does not change."""

    def __init__(self, repairs: Repairs, clock: Clock) -> None:
        self._repairs, self._clock = repairs, clock
        self._known: dict[int, dict[int, Sequence[RetryGroup]]] = {}  # by transformation and task

    async def trial(self, live: LiveTransformation) -> RetryPlan:
        """Return the retries of a transformation; most have none."""
        if not live.doc.failover or not live.pool:
            return NO_TRIAL
        failed: defaultdict[int, list[WaitingInput]] = defaultdict(list)
        async for one in by_and_by(live.pool.values(), self._clock):
            if one.task_id:
                failed[one.task_id].append(one)
        before = self._known.pop(live.id, {})
        known = {task: plans for task, plans in before.items() if task in failed}
        trial, now, asked = RetryPlan(), self._clock.wall(), 0
        for task, files in failed.items():
            ids = {one.file_id for one in files}
            if not ids <= {one for plan in known.get(task, ()) for one in plan.file_ids}:
                asked += 1
                if asked > ASKED_MAX:
                    trial.held.update(files)
                    trial.due = now
                    continue
                known[task] = await self._plans(live, files)
            for again in known[task]:
                group = tuple(one for one in files if one.file_id in again.file_ids)
                trial.take(group, again, now=now)
        if known:
            self._known[live.id] = known
        return trial

    async def _plans(
        self, live: LiveTransformation, files: Sequence[WaitingInput]
    ) -> Sequence[RetryGroup]:
        ids = sorted({one.file_id for one in files})
        plans = await self._repairs.again(live.id, ids, bounds_of(live.doc))
        if not plans:  # they did not fail: they count as new inputs from now on
            assert live.pool is not None
            for one in files:
                if one.key in live.pool:
                    live.pool[one.key] = msgspec.structs.replace(one, task_id=0)
            return ()
        return plans
