"""A catalogue as the rest of the central sees it; the contract of every one that is joined.

Verbs are bulk and idempotent, and each item of a batch is judged by itself. A catalogue holds no
rights: who may do what is decided before it is asked.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

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
from ..store.remnants import RemnantRow

Link = tuple[int, list[Did], list[Did], int]  # job, what it read, what it made, how far away


class Catalogue(Protocol):
    """Files of communities. A batch has at most `api_data.ITEMS_MAX` items."""

    async def register(self, community: str, files: Sequence[NewFile]) -> list[Outcome]: ...

    async def find(
        self,
        community: str,
        query: Query,
        *,
        states: frozenset[FileState] = AVAILABLE,
        after: Place | None = None,
        limit: int,
    ) -> Found:
        """Return files that meet a query. Raises NotRight for a key that nothing has."""
        ...

    async def files(self, community: str, dids: Sequence[Did]) -> list[FileRow | None]: ...

    async def replicas(self, community: str, dids: Sequence[Did]) -> dict[Did, list[ReplicaRow]]:
        """Return the copies of those files that are there."""
        ...

    async def set_metadata(
        self, community: str, changes: Sequence[MetadataChange]
    ) -> list[Outcome]: ...

    async def declare(self, community: str, changes: Sequence[ReplicaChange]) -> list[Outcome]:
        """Say how copies are: a file whose last good one is bad is lost."""
        ...

    async def remove(self, community: str, dids: Sequence[Did]) -> list[Outcome]: ...

    async def changes(self, community: str, since: int, limit: int) -> tuple[list[FileRow], int]:
        """Return files that changed after `since`, in order, and the newest change of all."""
        ...

    async def lineage(
        self, community: str, did: Did, direction: Direction, limit: int
    ) -> tuple[list[Link], bool]:
        """Return the jobs between files, the nearest first, and whether there are more."""
        ...

    async def make_dataset(self, community: str, new: NewDataset) -> DatasetRow: ...

    async def datasets(
        self, community: str, *, after: Did | None, limit: int
    ) -> list[DatasetRow]: ...

    async def dataset(self, community: str, did: Did) -> DatasetRow | None: ...
    async def open_dataset(self, community: str, did: Did, is_open: bool) -> bool: ...

    async def attach(
        self, community: str, dataset: Did, dids: Sequence[Did], *, there: bool
    ) -> list[Outcome]:
        """Let files lie in a dataset, or no longer."""
        ...

    async def remnants_of(self, file_ids: Sequence[int]) -> list[RemnantRow]:
        """Return what becomes of copies of files that were removed."""
        ...

    async def datasets_of(self, file_ids: Sequence[int]) -> dict[int, list[Did]]: ...
    async def keys(self, community: str) -> list[KeyRow]: ...
    async def add_keys(self, community: str, keys: Mapping[str, KeyType]) -> None: ...
