"""Finds the files that a transformation never takes: its own outputs, and files made from them.

A file names the job that made it, and tasks are known by their job forever. The inputs of a
transformation are fixed when it is added. So the transformations above a maker are found once,
without walking the lineage of files.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from ..catalogue.record_types import FileRow
from ..jobs import record_tasks as task_records
from ..store.engine import Store
from . import record as transformation_records
from .inputs import WantedInput
from .live_state import document

KEPT_MAX: Final = 20_000  # cached transformations

Pair = tuple[FileRow, WantedInput]


class _Links(msgspec.Struct, frozen=True):
    derived_from: tuple[int, ...]
    fed_by: tuple[int, ...]


class FeedingTransformations:
    """Knows which transformations feed which."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._links: dict[int, _Links] = {}  # by transformation: they never change

    async def others(self, takers: Sequence[Pair]) -> list[Pair]:
        """Return the pairs without files that were made from the transformation's own outputs.

        A transformation takes neither its own outputs nor those of transformations that they feed,
        directly or indirectly. A derived transformation does not take those of its parent either.
        Files of the input's own `from` are always taken.
        """
        jobs = {row.job_id for row, _ in takers if row.job_id is not None}
        if not jobs:
            return list(takers)
        if len(self._links) > KEPT_MAX:
            self._links.clear()
        tasks = await self._store.read(task_records.tasks_of_jobs, sorted(jobs))
        makers = {one.transformation_id for one in tasks.values()}
        above = {one: await self._above(one) for one in makers}
        takes = {one.transformation_id for _, one in takers}
        lines = {one: await self._line(one) for one in takes} if makers else {}
        found: list[Pair] = []
        for row, one in takers:
            task = None if row.job_id is None else tasks.get(row.job_id)
            if (
                task is None
                or task.transformation_id == one.from_id
                or above[task.transformation_id].isdisjoint(lines[one.transformation_id])
            ):
                found.append((row, one))
        return found

    async def _above(self, transformation_id: int) -> set[int]:
        """Return a transformation with all that feed it, and all that those were derived from."""
        found, left = set[int](), [transformation_id]
        while left:
            one = left.pop()
            if one not in found:
                found.add(one)
                links = await self._of(one)
                left += [*links.derived_from, *links.fed_by]
        return found

    async def _line(self, transformation_id: int) -> set[int]:
        """Return a transformation with those it was derived from, directly or indirectly."""
        found, left = set[int](), [transformation_id]
        while left:
            one = left.pop()
            found.add(one)
            left += (await self._of(one)).derived_from
        return found

    async def _of(self, transformation_id: int) -> _Links:
        known = self._links.get(transformation_id)
        if known is None:
            row = await self._store.read(transformation_records.transformation, transformation_id)
            if row is None:
                return _Links((), ())
            parent = () if row.parent_id is None else (row.parent_id,)
            try:
                fed_by = _ids(one.from_ for one in document(row).inputs)
            except msgspec.MsgspecError:  # a document of another release
                fed_by = ()
            known = self._links[transformation_id] = _Links(parent, fed_by)
        return known


def _ids(named: Iterable[str]) -> tuple[int, ...]:
    """Return the transformations that a document names: stored documents have ids."""
    return tuple(int(one) for one in named if one)
