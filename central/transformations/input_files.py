"""Reads waiting inputs from the catalogue, with the facts that grouping rules use."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from pilotage.proto.catalogue import FileState, Metadata, ReplicaState
from pilotage.proto.transformation_states import InputEvent

from ..catalogue import record_read as catalogue_read
from ..catalogue.record_types import FileRow
from ..catalogue.storages import Storages
from ..store.engine import Store
from .grouping import WaitingInput
from .record import InputRow

PAGE: Final = 1_000
SETS_MAX: Final = 20_000  # cached sets of metadata


class TrimmedMetadata:
    """Metadata cut to the keys in use: equal ones are one object."""

    def __init__(self, keys: Collection[str] | None) -> None:
        """Make a cutter of metadata to these keys; None: keep all keys."""
        self._keys = None if keys is None else sorted(keys)
        self._known: dict[tuple[object, ...], Metadata] = {}

    def of(self, metadata: Metadata) -> Metadata:
        """Return the used keys of metadata."""
        if self._keys is None:
            return metadata
        found = {key: metadata[key] for key in self._keys if key in metadata}
        # True, 1 and 1.0 are equal in Python, but not to users.
        place = (*found.items(), *map(type, found.values()))
        if len(self._known) >= SETS_MAX:
            self._known.clear()
        return self._known.setdefault(place, found)


class FileReader:
    """Reads files for transformations."""

    def __init__(self, catalogue: Store, storages: Storages) -> None:
        self._catalogue, self._storages = catalogue, storages

    async def of_rows(
        self, rows: Sequence[InputRow], *, with_sites: bool, cut: TrimmedMetadata
    ) -> tuple[list[WaitingInput], list[tuple[InputRow, FileState]]]:
        """Return the files of inputs, and the other inputs with the states of their files."""
        found = await self._catalogue.read(
            catalogue_read.files_by_id, [row.file_id for row in rows]
        )
        good: list[InputRow] = []
        bad: list[tuple[InputRow, FileState]] = []
        for row in rows:
            state = _state(found.get(row.file_id))
            if state is FileState.AVAILABLE:
                good.append(row)
            else:
                bad.append((row, state))
        sites: Mapping[int, tuple[str, ...]] = {}
        if with_sites:
            sites = await self.sites([row.file_id for row in good])
        files = [
            file_of(
                found[row.file_id],
                row.input_no,
                row.changed_at,
                sites.get(row.file_id, ()),
                task_id=row.task_id or 0,
                cut=cut,
            )
            for row in good
        ]  # fmt: skip
        return files, bad

    async def sites(self, file_ids: Sequence[int]) -> Mapping[int, tuple[str, ...]]:
        """Return the sites near the copies of files, or able to read them; omitted files: all."""
        found: dict[int, tuple[str, ...]] = {}
        copies = (
            await self._catalogue.read(catalogue_read.replicas_of, file_ids) if file_ids else {}
        )
        for file_id, several in copies.items():
            entries = [
                self._storages.book.storages[one.storage]
                for one in several
                if one.state is ReplicaState.AVAILABLE
                and one.storage in self._storages.book.storages
            ]
            near = {site for entry in entries for site in entry.near}
            reached = {site for entry in entries for site in entry.sites}
            if near or reached:
                found[file_id] = tuple(sorted(near or reached))
        return found

    async def rows(self, file_ids: Collection[int]) -> dict[int, FileRow]:
        """Return the rows of any number of files, read in pages."""
        rows: dict[int, FileRow] = {}
        wanted = sorted(file_ids)
        for start in range(0, len(wanted), PAGE):
            rows |= await self._catalogue.read(
                catalogue_read.files_by_id, wanted[start : start + PAGE]
            )
        return rows

    async def unreadable(self, file_ids: Collection[int]) -> dict[int, InputEvent]:
        """Return the files that are bad or missing, and so made a job fail."""
        rows = await self.rows(file_ids)
        found: dict[int, InputEvent] = {}
        for file_id in sorted(file_ids):
            state = _state(rows.get(file_id))
            if state is FileState.LOST:
                found[file_id] = InputEvent.BAD_DATA
            elif state is not FileState.AVAILABLE:
                found[file_id] = InputEvent.NOT_THERE
        return found


def file_of(
    row: FileRow,
    input_no: int,
    since: float,
    sites: tuple[str, ...] = (),
    *,
    task_id: int = 0,
    cut: TrimmedMetadata | None = None,
) -> WaitingInput:
    """Return a file in the form for rules."""
    metadata = row.metadata if cut is None else cut.of(row.metadata)
    return WaitingInput(
        row.file_id, input_no, str(row.did), row.bytes, metadata, sites, since, task_id
    )


def _state(row: FileRow | None) -> FileState:
    return FileState.REMOVED if row is None else row.state
