"""Shows failed attempts by class and site, from the counts in the store."""

from typing import Final

from pilotage.proto.api.failures import FailureLine, Failures
from pilotage.proto.failures import WORDS, FailureClass

from ..identity.callers import Caller
from ..identity.policy import Permission
from ..identity.scope import Owners, Scope, scope
from ..observe.times import shown
from ..ports import Clock
from ..store.engine import Store
from . import record_failures as failure_records
from .record_failures import HOUR_S, FailureRow, FailureSearch

LINES_MAX: Final = 2_000
DEFAULT_S: Final = 86_400  # period of an answer if the request has no `since`


class FailureReads:
    """The part of `series.SeriesService` that shows failures."""

    def __init__(self, store: Store, owners: Owners, clock: Clock) -> None:
        self._store, self._owners, self._clock = store, owners, clock

    async def failures(
        self,
        caller: Caller,
        /,
        *,
        site: str,
        group: str,
        owner: str,
        transformation: int | None,
        since: float | None,
    ) -> Failures:
        """Return the failed attempts within the caller's scope, in whole hours."""
        bounds = scope(caller, Permission.JOB_READ, self._owners)
        begin = self._clock.wall() - DEFAULT_S if since is None else since
        hour = max(0, int(begin) // HOUR_S)
        search = FailureSearch(
            since=hour,
            community=bounds.community or None,
            owner_ids=await self._owner_ids(bounds, owner),
            groups=_groups(bounds, group),
            site=site or None,
            transformation_id=transformation,
        )
        rows = await self._store.read(failure_records.failures, search, limit=LINES_MAX)
        return Failures(since=shown(hour * HOUR_S), lines=[_line(row) for row in rows])

    async def _owner_ids(self, bounds: Scope, owner: str) -> tuple[int, ...] | None:
        ids = await self._owners.ids_of(owner) if owner else None
        if bounds.owner_id is None:
            return ids
        return (bounds.owner_id,) if ids is None or bounds.owner_id in ids else ()


def _groups(bounds: Scope, group: str) -> tuple[str, ...] | None:
    if bounds.groups is None:
        return (group,) if group else None
    return tuple(sorted(bounds.groups & {group} if group else bounds.groups))


def _line(row: FailureRow) -> FailureLine:
    failure = FailureClass(row.failure)
    family, meaning = WORDS[failure]
    return FailureLine(
        failure=failure,
        family=family,
        meaning=meaning,
        site=row.site,
        attempts=row.attempts,
        jobs=row.jobs,
        examples=row.examples,
        said=row.word,
        said_count=row.word_count,
    )
