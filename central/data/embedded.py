"""The catalogue in the store of the central itself."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from pilotage.proto.api_data import Direction
from pilotage.proto.catalogue import Did, FileState, KeyType, Query

from ..store.catalogue import (
    AVAILABLE,
    DatasetRow,
    FileRow,
    Found,
    KeyRow,
    MetadataChange,
    NewDataset,
    NewFile,
    Outcome,
    Place,
    ReplicaChange,
    ReplicaRow,
)
from ..store.engine import Store
from ..store.remnants import RemnantRow
from ..store.verbs import (
    catalogue_change,
    catalogue_read,
    catalogue_write,
    remnants as remnant_records,
)
from .protocol import Link

STEPS_MAX: Final = 50  # of a lineage
OUTPUTS_MAX: Final = 10_000  # files of one step of a lineage
TOGETHER: Final = 250  # files of a transaction: jobs that are matched meanwhile wait for it


class Clock(Protocol):
    def wall(self) -> float: ...


class EmbeddedCatalogue:
    """`protocol.Catalogue` on a store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def register(self, community: str, files: Sequence[NewFile]) -> list[Outcome]:
        at = self._clock.wall()
        outcomes: list[Outcome] = []
        for start in range(0, len(files), TOGETHER):
            some = files[start : start + TOGETHER]
            outcomes += await self._store.write(
                catalogue_write.register_files, community, some, at=at
            )
        return outcomes

    async def find(
        self,
        community: str,
        query: Query,
        *,
        states: frozenset[FileState] = AVAILABLE,
        after: Place | None = None,
        limit: int,
    ) -> Found:
        if query.conditions and after is None:  # later pages ask what the first one did
            known = await self._store.read(catalogue_read.keys, community)
            query.check({key.key: key.type for key in known})
        return await self._store.read(
            catalogue_read.find_files, community, query, states=states, after=after, limit=limit
        )

    async def files(self, community: str, dids: Sequence[Did]) -> list[FileRow | None]:
        return await self._store.read(catalogue_read.files_by_did, community, dids)

    async def replicas(self, community: str, dids: Sequence[Did]) -> dict[Did, list[ReplicaRow]]:
        rows = [
            row
            for row in await self._store.read(catalogue_read.files_by_did, community, dids)
            if row is not None
        ]
        found = await self._store.read(catalogue_read.replicas_of, [row.file_id for row in rows])
        return {row.did: found.get(row.file_id, []) for row in rows}

    async def set_metadata(
        self, community: str, changes: Sequence[MetadataChange]
    ) -> list[Outcome]:
        return await self._store.write(catalogue_change.set_metadata, community, changes)

    async def declare(self, community: str, changes: Sequence[ReplicaChange]) -> list[Outcome]:
        return await self._store.write(
            catalogue_change.change_replicas, community, changes, at=self._clock.wall()
        )

    async def remove(self, community: str, dids: Sequence[Did]) -> list[Outcome]:
        return await self._store.write(
            catalogue_change.remove_files, community, dids, at=self._clock.wall()
        )

    async def changes(self, community: str, since: int, limit: int) -> tuple[list[FileRow], int]:
        rows = await self._store.read(catalogue_read.files_changed, community, since, limit=limit)
        last = await self._store.read(catalogue_read.last_change, community)
        return rows, max([last, *(row.seq for row in rows[-1:])])

    async def lineage(
        self, community: str, did: Did, direction: Direction, limit: int
    ) -> tuple[list[Link], bool]:
        rows = [
            row
            for row in await self._store.read(catalogue_read.files_by_did, community, [did])
            if row is not None
        ]
        seen: set[int] = set()
        links: list[Link] = []
        for step in range(1, STEPS_MAX + 1):
            jobs = [job for job in await self._jobs(rows, direction, limit) if job not in seen]
            if not jobs:
                return links, False
            room = limit - len(links)
            seen.update(jobs)
            read = await self._store.read(catalogue_read.inputs_of_jobs, jobs[:room])
            by_id = await self._store.read(
                catalogue_read.files_by_id, [i for ids in read.values() for i in ids]
            )
            made = await self._store.read(
                catalogue_read.files_of_jobs, jobs[:room], limit=OUTPUTS_MAX
            )
            for job in jobs[:room]:
                inputs = [by_id[one].did for one in read.get(job, ()) if one in by_id]
                links.append((job, inputs, [row.did for row in made if row.job_id == job], step))
            if len(jobs) > room or len(made) == OUTPUTS_MAX:
                return links, True
            rows = list(by_id.values()) if direction is Direction.UP else made
        return links, True

    async def _jobs(self, rows: Sequence[FileRow], direction: Direction, limit: int) -> list[int]:
        """Return the jobs that made files, or read them, each once."""
        if direction is Direction.UP:
            return sorted({row.job_id for row in rows if row.job_id is not None})
        ids = [row.file_id for row in rows]
        pairs = (
            await self._store.read(catalogue_read.jobs_reading, ids, limit=limit + 1) if ids else []
        )
        return sorted({job for _, job in pairs})

    async def make_dataset(self, community: str, new: NewDataset) -> DatasetRow:
        return await self._store.write(
            catalogue_change.make_dataset, community, new, at=self._clock.wall()
        )

    async def datasets(self, community: str, *, after: Did | None, limit: int) -> list[DatasetRow]:
        return await self._store.read(catalogue_read.datasets, community, after=after, limit=limit)

    async def dataset(self, community: str, did: Did) -> DatasetRow | None:
        return await self._store.read(catalogue_change.dataset, community, did)

    async def open_dataset(self, community: str, did: Did, is_open: bool) -> bool:
        return await self._store.write(catalogue_change.open_dataset, community, did, is_open)

    async def attach(
        self, community: str, dataset: Did, dids: Sequence[Did], *, there: bool
    ) -> list[Outcome]:
        verb = catalogue_change.attach if there else catalogue_change.detach
        return await self._store.write(verb, community, dataset, dids)

    async def remnants_of(self, file_ids: Sequence[int]) -> list[RemnantRow]:
        return await self._store.read(remnant_records.remnants_of_files, file_ids)

    async def datasets_of(self, file_ids: Sequence[int]) -> dict[int, list[Did]]:
        return await self._store.read(catalogue_read.datasets_of, file_ids)

    async def keys(self, community: str) -> list[KeyRow]:
        return await self._store.read(catalogue_read.keys, community)

    async def add_keys(self, community: str, keys: Mapping[str, KeyType]) -> None:
        await self._store.write(catalogue_change.add_keys, community, keys)
