"""The catalogue: a part of the store.

It is read on threads of its own, so that a search is plain code with many small statements, and
none of them waits behind those of the rest of the store.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from pilotage.proto.catalogue import Did, FileState, KeyType, Query

from ..catalogue import (
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
from . import catalogue_change as change
from . import catalogue_read as read
from . import catalogue_write as write
from .catalogue_sets import MetaSets
from .moments import Moments
from .opened import Opened, Reader
from .session import Session
from .writer import Writer

ROWS_A_FILE: Final = 6  # that a registration writes: others wait while it does


class CatalogueVerbs(Opened):
    """The verbs of `store.catalogue`."""

    def __init__(
        self, writer: Writer[Session], reader: Reader, moments: Moments, generation: str
    ) -> None:
        super().__init__(writer, reader, moments, generation)
        self._sets = MetaSets()

    # -- files ----------------------------------------------------------------------------------

    async def register_files(
        self, community: str, files: Sequence[NewFile], *, at: float, make_datasets: bool = False
    ) -> list[Outcome]:
        register = partial(
            write.register, community=community, files=files, at=at, make_datasets=make_datasets
        )
        return await self._writer.run(register, rows=ROWS_A_FILE * len(files))

    async def find_files(
        self,
        community: str,
        query: Query,
        *,
        states: frozenset[FileState] = AVAILABLE,
        after: Place | None = None,
        limit: int,
    ) -> Found:
        find = partial(
            read.find,
            sets=self._sets,
            community=community,
            query=query,
            states=states,
            after=after,
            limit=limit,
        )
        return await self._moments.run(find)

    async def files_by_did(self, community: str, dids: Sequence[Did]) -> list[FileRow | None]:
        sets = self._sets
        return await self._moments.run(
            partial(read.by_did, sets=sets, community=community, dids=dids)
        )

    async def files_by_id(self, file_ids: Sequence[int]) -> dict[int, FileRow]:
        sets = self._sets
        return await self._moments.run(partial(read.by_id, sets=sets, file_ids=file_ids))

    async def files_changed(self, community: str, since: int, *, limit: int) -> list[FileRow]:
        changed = partial(
            read.changed,
            sets=self._sets,
            community=community,
            since=since,
            limit=limit,
        )
        return await self._moments.run(changed)

    async def last_change(self, community: str) -> int:
        return await self._moments.run(partial(read.last_change, community=community))

    async def set_metadata(
        self, community: str, changes: Sequence[MetadataChange], *, at: float
    ) -> list[Outcome]:
        put = partial(change.set_metadata, community=community, changes=changes)
        return await self._writer.run(put, rows=ROWS_A_FILE * len(changes))

    async def remove_files(
        self, community: str, dids: Sequence[Did], *, at: float
    ) -> list[Outcome]:
        remove = partial(change.remove_files, community=community, dids=dids, at=at)
        return await self._writer.run(remove, rows=ROWS_A_FILE * len(dids))

    # -- replicas -------------------------------------------------------------------------------

    async def replicas_of(self, file_ids: Sequence[int]) -> dict[int, list[ReplicaRow]]:
        return await self._moments.run(partial(read.replicas, file_ids=file_ids))

    async def change_replicas(
        self, community: str, changes: Sequence[ReplicaChange], *, at: float
    ) -> list[Outcome]:
        put = partial(change.change_replicas, community=community, changes=changes, at=at)
        return await self._writer.run(put, rows=ROWS_A_FILE * len(changes))

    # -- datasets -------------------------------------------------------------------------------

    async def make_dataset(self, community: str, new: NewDataset, *, at: float) -> DatasetRow:
        make = partial(change.make_dataset, community=community, new=new, at=at)
        return await self._writer.run(make)

    async def dataset(self, community: str, did: Did) -> DatasetRow | None:
        return await self._moments.run(partial(change.dataset, community=community, did=did))

    async def datasets(self, community: str, *, after: Did | None, limit: int) -> list[DatasetRow]:
        return await self._moments.run(
            partial(read.datasets, community=community, after=after, limit=limit)
        )

    async def open_dataset(self, community: str, did: Did, is_open: bool) -> bool:
        put = partial(change.open_dataset, community=community, did=did, is_open=is_open)
        return await self._writer.run(put)

    async def attach(
        self, community: str, dataset: Did, dids: Sequence[Did], *, at: float
    ) -> list[Outcome]:
        put = partial(change.attach, community=community, name=dataset, dids=dids, there=True)
        return await self._writer.run(put, rows=ROWS_A_FILE * len(dids))

    async def detach(
        self, community: str, dataset: Did, dids: Sequence[Did], *, at: float
    ) -> list[Outcome]:
        put = partial(change.attach, community=community, name=dataset, dids=dids, there=False)
        return await self._writer.run(put, rows=ROWS_A_FILE * len(dids))

    async def datasets_of(self, file_ids: Sequence[int]) -> dict[int, list[Did]]:
        return await self._moments.run(partial(read.datasets_of, file_ids=file_ids))

    # -- keys and lineage -----------------------------------------------------------------------

    async def keys(self, community: str) -> list[KeyRow]:
        return await self._moments.run(partial(read.keys, community=community))

    async def add_keys(self, community: str, keys: Mapping[str, KeyType]) -> None:
        await self._writer.run(partial(change.add_keys, community=community, keys=keys))

    async def inputs_of_jobs(self, job_ids: Sequence[int]) -> dict[int, list[int]]:
        return await self._moments.run(partial(read.inputs_of_jobs, job_ids=job_ids))

    async def jobs_reading(self, file_ids: Sequence[int], *, limit: int) -> list[tuple[int, int]]:
        return await self._moments.run(partial(read.jobs_reading, file_ids=file_ids, limit=limit))

    async def files_of_jobs(self, job_ids: Sequence[int], *, limit: int) -> list[FileRow]:
        sets = self._sets
        return await self._moments.run(
            partial(read.files_of_jobs, sets=sets, job_ids=job_ids, limit=limit)
        )
