"""The part of the store in memory that counts failures."""

import copy
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pilotage.central.store.failures import (
    HOUR_S,
    KEEP_HOURS,
    FailedEnd,
    FailureRow,
    FailureSearch,
    Sum,
)

from .fake_store_actions import FakeActions

Key = tuple[int, str, str, int, int, str, str]  # hour, community, group, owner, of, site, class


FailureData = dict[Key, Sum]  # what survives a restart


class FakeFailures(FakeActions):
    """The verbs of `store.failures`."""

    _series_data: Any
    _transformation_data: Any

    async def keep_failures(
        self, at: float, ends: Sequence[FailedEnd], *, drop: bool = True
    ) -> None:
        self.begin_write()
        data: FailureData = self._series_data.failures
        tasks = self._transformation_data.tasks.values()
        of = {task.row.job_id: task.transformation_id for task in tasks}
        hour = int(at) // HOUR_S
        made: defaultdict[Key, Sum] = defaultdict(Sum)
        for end in ends:
            transformation = of.get(end.job_id, 0)
            whose = (end.community, end.group, end.owner_id, transformation)
            made[hour, *whose, end.site, end.failure].add(end)
        for key, one in made.items():
            one.merge(data.get(key, Sum()))
            data[key] = one
        oldest = min((key[0] for key in data), default=hour)
        if drop and oldest < hour - KEEP_HOURS:
            for key in [key for key in data if key[0] == oldest]:
                del data[key]
        await self.synced()

    async def failures(self, search: FailureSearch, *, limit: int) -> list[FailureRow]:
        found: defaultdict[tuple[str, str], Sum] = defaultdict(Sum)
        data: FailureData = self._series_data.failures
        for key, one in sorted(data.items(), key=lambda item: -item[0][0]):
            hour, community, group, owner_id, transformation, site, failure = key
            if (
                hour >= search.since
                and search.community in (None, community)
                and (search.owner_ids is None or owner_id in search.owner_ids)
                and (search.groups is None or group in search.groups)
                and search.site in (None, site)
                and search.transformation_id in (None, transformation)
            ):
                found[failure, site].merge(copy.deepcopy(one))
        rows = [one.row(failure, site) for (failure, site), one in found.items()]
        return sorted(rows, key=lambda row: (-row.attempts, row.failure, row.site))[:limit]

    async def jobs_of_input(self, transformation_id: int, file_id: int, *, limit: int) -> list[int]:
        tasks = sorted(self._transformation_data.tasks.items())
        found = [
            task.row.job_id
            for _, task in tasks
            if task.transformation_id == transformation_id and file_id in task.files
        ]
        return found[-limit:]
