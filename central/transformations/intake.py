"""Turns files into inputs: changed files, and files from before the transformation."""

from collections.abc import Mapping, Sequence
from typing import Final

from pilotage.proto.catalogue import Did, FileState
from pilotage.proto.transformation_states import TAKES_INPUTS, InputState

from ..catalogue import record_read as catalogue_read
from ..catalogue.record_types import FileCursor, FileRow
from ..ports import Clock
from ..store.engine import Store
from . import record as transformation_records
from .feeding_transformations import FeedingTransformations
from .grouping import key_of
from .input_files import FileReader, file_of
from .input_moves import moves_of
from .inputs import InputIndex, WantedInput
from .live_state import LiveTransformation
from .record import InputMove, NewInput

CHUNK: Final = 1_000  # files that are checked at once
TOGETHER: Final = 2_000  # inputs of one transaction, or of one file: other writers wait for it


class InputIntake:
    """Gives files to the transformations that take them."""

    def __init__(
        self, *, store: Store, catalogue: Store, files: FileReader, index: InputIndex, clock: Clock
    ) -> None:
        self._store, self._catalogue, self._files = store, catalogue, files
        self._index, self._clock = index, clock
        self._makers = FeedingTransformations(store)
        self._looked: dict[str, int] = {}  # last checked change, by community

    def forget(self) -> None:
        """Forget how far each community was checked: it is read again."""
        self._looked.clear()

    async def begin(self, community: str) -> None:
        """Skip earlier changes of a community that is new to the index: seeding checks those."""
        until = await self._catalogue.read(catalogue_read.last_change, community)
        if until > await self._store.read(transformation_records.looked_until, community):
            await self._store.write(
                transformation_records.add_inputs, [], self._clock.wall(), looked=(community, until)
            )
        self._looked[community] = until

    async def changes(self, community: str, lives: Mapping[int, LiveTransformation]) -> None:
        """Check all files of a community that have changed since the last time."""
        if community not in self._looked:
            self._looked[community] = await self._store.read(
                transformation_records.looked_until, community
            )
        until = await self._catalogue.read(catalogue_read.last_change, community)
        while self._looked[community] < until:
            since = self._looked[community]
            rows = await self._catalogue.read(
                catalogue_read.files_changed, community, since, limit=CHUNK
            )
            if not rows:
                break
            await self._take(community, rows, lives)
            self._looked[community] = rows[-1].seq

    async def _take(
        self, community: str, rows: Sequence[FileRow], lives: Mapping[int, LiveTransformation]
    ) -> None:
        lying: Mapping[int, list[Did]] = {}
        if self._index.asks_for_datasets(community):
            lying = await self._catalogue.read(
                catalogue_read.datasets_of, [row.file_id for row in rows]
            )
        takers: list[tuple[FileRow, WantedInput]] = []
        for row in rows:
            takers += [
                (row, one) for one in self._index.takers(community, row, lying.get(row.file_id, ()))
            ]
            if len(takers) >= TOGETHER or row is rows[-1]:
                await self._write(takers, (community, row.seq), lives)
                takers = []

    async def _write(
        self,
        takers: Sequence[tuple[FileRow, WantedInput]],
        looked: tuple[str, int],
        lives: Mapping[int, LiveTransformation],
    ) -> None:
        """Write the inputs and moves of some files, and how far the changes were checked."""
        others = await self._makers.others(takers)
        new, moves = _new(others), _moves(takers)
        at = self._clock.wall()
        inputs = [one for _, one in new]
        done = await self._store.write(
            transformation_records.add_inputs, inputs, at, looked=looked, moves=moves
        )
        await self._tell(new, moves, done, lives, at)
        for row, one in others:
            if one.state is InputState.SHARED:
                self._offer_side_input(row, one, lives[one.transformation_id], at)

    def _offer_side_input(
        self, row: FileRow, one: WantedInput, live: LiveTransformation, at: float
    ) -> None:
        """Offer a side input to new tasks only while its file can be read."""
        if row.state is FileState.AVAILABLE:
            live.came(file_of(row, one.input_no, at, cut=live.cut))
        else:
            live.shared.pop(key_of(row.file_id, one.input_no), None)

    async def seed(self, live: LiveTransformation, lives: Mapping[int, LiveTransformation]) -> bool:
        """Check one more page of the earlier files; return whether there are more.

        `changes` finds what changes in between: a page need not be exact.
        """
        wanted = self._index.of(live.id)
        if live.row.seeded or not wanted or live.row.state not in TAKES_INPUTS:
            return False
        number, place = _place(live.row.seed_place)
        one = wanted[number]
        page = await self._catalogue.read(
            catalogue_read.find_files, one.community, one.query, after=place, limit=CHUNK
        )
        if page.next is None:
            number, following = number + 1, FileCursor()
        else:
            following = page.next
        is_end = number == len(wanted)
        takers = [(row, one) for row in page.files]
        new, moves = _new(await self._makers.others(takers)), _moves(takers)
        at = self._clock.wall()
        place_text = f"{number}:{following.set_id}:{following.file_id}"
        done = await self._store.write(
            transformation_records.seed,
            live.id,
            [it for _, it in new],
            at,
            place=place_text,
            is_end=is_end,
            moves=moves,
        )
        live.seeded(place_text, is_end=is_end)
        await self._tell(new, moves, done, lives, at)
        return not is_end

    async def _tell(
        self,
        new: Sequence[tuple[FileRow, NewInput]],
        moves: Sequence[InputMove],
        done: tuple[list[bool], list[bool]],
        lives: Mapping[int, LiveTransformation],
        at: float,
    ) -> None:
        """Tell the live transformations about the written inputs."""
        came = [pair for pair, is_new in zip(new, done[0], strict=True) if is_new]
        asked = [row.file_id for row, one in came if lives[one.transformation_id].by_site]
        sites = await self._files.sites(list(dict.fromkeys(asked)))
        for row, one in came:
            live = lives[one.transformation_id]
            its_sites = sites.get(row.file_id, ())
            live.came(file_of(row, one.input_no, at, its_sites, cut=live.cut))
        for move, is_done in zip(moves, done[1], strict=True):
            if is_done:
                lives[move.transformation_id].forget()


def _new(takers: Sequence[tuple[FileRow, WantedInput]]) -> list[tuple[FileRow, NewInput]]:
    """Return the inputs that available files make."""
    return [
        (
            row,
            NewInput(
                transformation_id=one.transformation_id,
                file_id=row.file_id,
                input_no=one.input_no,
                state=one.state,
                files_max=one.files_max,
            ),
        )
        for row, one in takers
        if row.state is FileState.AVAILABLE
    ]


def _moves(takers: Sequence[tuple[FileRow, WantedInput]]) -> list[InputMove]:
    """Return the moves of existing inputs after their files changed."""
    return [
        move
        for row, one in takers
        for move in moves_of(
            row.state, one.transformation_id, row.file_id, one.input_no, start=one.state
        )
    ]


def _place(text: str) -> tuple[int, FileCursor | None]:
    """Return the input number and the place where seeding continues."""
    if not text:
        return 0, None
    number, set_id, file_id = map(int, text.split(":"))
    place = FileCursor(set_id, file_id)
    return number, None if place == FileCursor() else place
