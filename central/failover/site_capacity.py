"""The most that sites grant to one job, by their files and their live pilots.

It bounds the growth of a task that ran out of memory or time: a job that asks for more than any
pilot offers would wait forever.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from pilotage.matcher.clauses.clause import Clauses
from pilotage.matcher.explanation.offer_bits import OfferBits
from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.documents.job import Job, Need

from ..identity.scope import Owners
from ..jobs.definition.software import needs_of
from ..store.engine import Store
from ..transformations import record as transformation_records

BOUNDLESS_MB: Final = 100_000_000  # an offer of this much has no limit


@dataclass(frozen=True)
class MaxGrant:
    """The most that one job may get; 0: unknown, and no limit."""

    memory_mb: int = 0
    wall_s: int = 0


class MaxGrants:
    """Computes the largest grants from the present pilots and site files."""

    def __init__(
        self,
        *,
        store: Store,
        owners: Owners,
        clauses: Callable[[], Clauses],
        living: Callable[[], Iterable[LiveOffer]],
        shapes: Callable[[], Sequence[LiveOffer]],
    ) -> None:
        """Make a source; `living`: offers of live pilots if empty, `shapes`: of new pilots."""
        self._store, self._owners, self._clauses = store, owners, clauses
        self._living, self._shapes = living, shapes

    async def most(self, transformation_id: int, job: Job) -> MaxGrant:
        """Return the most that jobs of a transformation may get at pilots that meet their other
        needs.
        """
        row = await self._store.read(transformation_records.transformation, transformation_id)
        if row is None:
            return MaxGrant()
        spec = ClassSpec(
            class_id=0,
            community=row.community,
            group=row.group,
            owner=self._owners.by_id(row.owner_id),
            type=job.type,
            needs=tuple(_roomless(need) for need in needs_of(job)),
            preference=job.preference,
        )
        return most(spec, list(self._living()), self._shapes(), self._clauses())


def most(
    spec: ClassSpec, living: Sequence[LiveOffer], shapes: Sequence[LiveOffer], clauses: Clauses
) -> MaxGrant:
    """Return the largest offers that fit the jobs, their size left aside. Pure.

    Time comes only from the files of sites: the time left at live pilots shrinks each minute, and
    says nothing about new pilots.
    """
    live = _fitting(spec, living, clauses)
    planned = _fitting(spec, shapes, clauses)
    memory_mb = max((one.memory_free_mb for one in (*live, *planned)), default=0)
    wall_s = max((int(one.wall_left_s) for one in planned), default=0)
    return MaxGrant(memory_mb if memory_mb < BOUNDLESS_MB else 0, wall_s)


def _fitting(spec: ClassSpec, offers: Sequence[LiveOffer], clauses: Clauses) -> list[LiveOffer]:
    mine = [one for one in offers if one.community == spec.community]
    asked = OfferBits(clauses, mine)
    return asked.some(asked.of(spec))


def _roomless(need: Need) -> Need:
    return msgspec.structs.replace(need, memory_mb=0, memory_per_core_mb=0, wall_s=0)
