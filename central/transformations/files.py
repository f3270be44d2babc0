"""Inputs with what grouping rules look at, out of the catalogue."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from pilotage.proto.catalogue import FileState
from pilotage.proto.transformation_states import InputEvent, InputState, next_input

from ..store.catalogue import CatalogueStore, FileRow
from ..store.transformations import InputMove, InputRow
from .grouping import File

Sites = Callable[[Sequence[int]], Awaitable[Mapping[int, tuple[str, ...]]]]

# What the state of a file in the catalogue does to inputs that nobody works on.
ENDS: Mapping[FileState, tuple[InputEvent, tuple[InputState, ...]]] = {
    FileState.REMOVED: (
        InputEvent.REMOVE,
        (
            InputState.UNUSED,
            InputState.MAXRESET,
            InputState.PROBLEMATIC,
            InputState.MISSING,
            InputState.SHARED,
        ),
    ),
    FileState.LOST: (InputEvent.BAD_DATA, (InputState.UNUSED, InputState.MAXRESET)),
    FileState.MISSING: (InputEvent.NOT_THERE, (InputState.UNUSED,)),
    FileState.AVAILABLE: (InputEvent.BACK, (InputState.MISSING,)),
}


def moves_of(
    state: FileState, transformation_id: int, file_id: int, input_no: int
) -> list[InputMove]:
    """Return what the state of a file means for an input: of these at most one is written."""
    event, states = ENDS[state]
    return [
        InputMove(
            transformation_id=transformation_id,
            file_id=file_id,
            input_no=input_no,
            old=old,
            new=next_input(old, event),
        )
        for old in states
    ]


class Files:
    """Reads files for transformations."""

    def __init__(self, catalogue: CatalogueStore, sites: Sites | None = None) -> None:
        self._catalogue, self._sites = catalogue, sites

    async def of_rows(
        self, rows: Sequence[InputRow], *, with_sites: bool
    ) -> tuple[list[File], list[tuple[InputRow, FileState]]]:
        """Return the files of inputs, and those of which no copy can be read, with their state."""
        found = await self._catalogue.files_by_id([row.file_id for row in rows])
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
                found[row.file_id], row.input_no, row.changed_at, sites.get(row.file_id, ())
            )
            for row in good
        ]  # fmt: skip
        return files, bad

    async def sites(self, file_ids: Sequence[int]) -> Mapping[int, tuple[str, ...]]:
        """Return which sites see copies of files; of those that are left out, all do."""
        return await self._sites(file_ids) if self._sites is not None and file_ids else {}


def file_of(row: FileRow, input_no: int, since: float, sites: tuple[str, ...] = ()) -> File:
    """Return a file as rules see it."""
    return File(row.file_id, input_no, str(row.did), row.bytes, row.metadata, sites, since)


def _state(row: FileRow | None) -> FileState:
    return FileState.REMOVED if row is None else row.state
