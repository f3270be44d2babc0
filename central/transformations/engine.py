"""The loop that turns files, or a number, into jobs: an input is in one task that lives or is Done.

One task of the process that leads. What it keeps in memory can be read again at any moment, and
each step is a transaction of the store that holds or does not: it may die between any two.

A pass looks at what has changed in the catalogue and at tasks that have ended, makes tasks where
inputs have come or there is room, and looks whether transformations are done.
"""

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from pilotage.proto.documents.transformation import SPREAD_OF
from pilotage.proto.transformation_states import (
    LIVE,
    TAKES_INPUTS,
    TaskState,
    TransformationState,
)

from ..errors import Refused
from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import OF_ALL, OverQuota, ReserveReached, StoreBroken, StoreError, StoreFull
from . import record as transformation_records
from .grouping import BadRule
from .inputs import InputIndex
from .intake import InputIntake
from .live_state import OVER, LiveTransformation, live, wanted
from .missing_outputs import WAITS as MISSING_WAITS, MissingOutputs, joined, takes_all
from .record import TransformationRow
from .shortfall import missing_of
from .task_creation import TaskMaker
from .task_ends import ROOM_WAITS, TaskEnding

LOOK_S: Final = 0.25  # how long what nobody tells may wait
FULL_S: Final = 5.0  # the store takes nothing
ROOM_S: Final = 10.0  # a quota, or the disk, has no room for another task
REFUSED_S: Final = 60.0  # it refused what a community's files bring
PAGE: Final = 1_000


class Engine:
    """Runs all transformations."""

    def __init__(
        self,
        *,
        store: Store,
        index: InputIndex,
        intake: InputIntake,
        making: TaskMaker,
        ending: TaskEnding,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._index = store, index
        self._intake, self._making, self._ending = intake, making, ending
        self._clock, self._log = clock, log
        self._lives: dict[int, LiveTransformation] = {}
        self._parents: dict[int, bool] = {}  # whether those whose outputs are taken are done
        self._missing: dict[int, MissingOutputs] = {}  # what these have not made for good
        self._touched: dict[int, bool] = {}  # to be read again; True: so is what waits of it
        self._later: dict[str, float] = {}  # when changes of a community are looked at (monotonic)
        self._loading = True
        self._used = False  # there is a transformation: else nothing is looked at
        self._nudged = asyncio.Event()
        self._heard: Callable[[int], None] = lambda transformation_id: None

    def tell(self, heard: Callable[[int], None]) -> None:
        """Tell `heard` of each transformation that has changed, whoever changed it."""
        self._heard = heard

    def touch(self, transformation_id: int) -> None:
        """Somebody else has changed a transformation, or inputs of it: it is read again."""
        self._touched[transformation_id] = True
        self._used = True
        self._nudged.set()

    async def run(self) -> None:
        """Run for ever. Ends by cancellation."""
        loaded = False
        while True:
            try:
                if not loaded:
                    await self.load()
                    loaded = True
                busy = await self.once()
            except StoreBroken:
                raise
            except StoreError as why:
                if not isinstance(why, StoreFull):
                    self._log("loop_failed", loop="transformations", error=str(why))
                await self._clock.sleep(FULL_S)
                loaded = False  # what memory says of what was to be written is in doubt
                continue
            if not busy:
                await self._wait()

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S if self._used else None):
                await self._nudged.wait()
        self._nudged.clear()

    async def load(self) -> None:
        """Read all transformations that are to be looked after."""
        self._used = bool(
            await self._store.read(
                transformation_records.transformations, None, states=(), after=0, limit=1
            )
        )
        if self._used:
            await self._store.write(transformation_records.lost_tasks)
        self._lives.clear()
        self._parents.clear()
        self._missing.clear()
        self._intake.forget()
        self._loading = True
        after = 0
        while True:
            rows = await self._store.read(
                transformation_records.transformations, None, states=LIVE, after=after, limit=PAGE
            )
            for row in rows:
                self._touched[row.transformation_id] = True
            if len(rows) < PAGE:
                break
            after = rows[-1].transformation_id
        await self._refresh()
        self._loading = False

    async def once(self) -> bool:
        """Make one pass; return whether there is more to do at once."""
        if not self._used:
            return False
        await self._refresh()
        parents = dict(self._parents)  # only of those: their last outputs are seen in this pass
        await self._changes()
        busy = False
        for one in list(self._lives.values()):
            if not one.row.seeded and not one.aside:
                busy |= await self._of(one, self._intake.seed(one, self._lives))
        busy |= await self._ending.ends(self._lives) > 0
        now = self._clock.wall()
        for one in list(self._lives.values()):
            self._see_parents(one, parents)
            makes = (one.dirty or one.due <= now) and one.makes_tasks and not one.aside
            if one.row.closing and (makes or one.look):
                await self._see_unmade(one)
            if makes:
                busy |= await self._of(one, self._make(one))
        for one in list(self._lives.values()):
            if one.look and not one.aside:
                done = bool(one.parents()) and one.complete >= one.parents()
                await self._of(one, self._ending.review(one, parents_done=done))
                await self._of(one, self._tell_missing(one, parents))
        stale = [one.id for one in self._lives.values() if one.stale]
        for one_id in stale:
            self._touched.setdefault(one_id, False)
        return busy or bool(stale)

    def _see_parents(self, one: LiveTransformation, parents: Mapping[int, bool]) -> None:
        """Note which parents are done, but for those of which more is missing than is allowed."""
        over = frozenset(p for p in one.parents() if parents.get(p, False))
        missing = {p: self._missing.get(p, MissingOutputs()) for p in over}
        is_told_to = one.row.closing or one.row.flushing  # by a person
        is_active = one.row.state is TransformationState.ACTIVE
        if is_active and not is_told_to and takes_all(one.doc):
            allowed = one.doc.allow_partial
            over = frozenset(p for p in over if missing[p].is_within(allowed))
        one.complete, one.missing = over, joined(missing.values())

    async def _see_unmade(self, one: LiveTransformation) -> None:
        """Count what parents that still work have not made as missing: a person has closed it."""
        for parent in sorted(one.parents() - one.complete):
            row = await self._store.read(transformation_records.transformation, parent)
            if row is not None:
                one.missing = joined(
                    (one.missing, await missing_of(self._store, row, self._missing))
                )

    async def _tell_missing(self, one: LiveTransformation, parents: Mapping[int, bool]) -> None:
        """Say why a transformation waits whose parents are done, until it goes on."""
        if one.row.state is not TransformationState.ACTIVE or one.stale:
            return
        waits = all(parents.get(p, False) for p in one.parents()) and one.complete < one.parents()
        if waits:
            await self._ending.wait_for_missing(one)
        else:
            await self._ending.go_on(one, MISSING_WAITS)

    async def _know_parent(self, parent: int, row: TransformationRow | None) -> None:
        self._parents[parent] = row is not None and row.state in OVER
        self._missing.pop(parent, None)
        if row is not None and row.state in OVER:
            self._missing[parent] = await missing_of(self._store, row, self._missing)

    async def _changes(self) -> None:
        """Look at files that have changed; a community of which that is refused waits."""
        now = self._clock.monotonic()
        for community in self._index.communities():
            if self._later.get(community, now) > now:
                continue
            try:
                await self._intake.changes(community, self._lives)
            except OF_ALL:
                raise
            except StoreError as why:
                self._later[community] = now + REFUSED_S
                self._log("loop_failed", loop=f"inputs of {community}", error=str(why))

    async def _of(self, one: LiveTransformation, doing: Awaitable[bool | None]) -> bool:
        """Do something for one; what the store refuses of it pauses it, and the others go on.

        Where it makes no tasks anyway, or not even that is taken, it is left alone until somebody
        has changed it.
        """
        try:
            return bool(await doing)
        except OF_ALL:
            raise
        except StoreError as why:
            self._log("loop_failed", loop=f"transformation {one.id}", error=str(why))
            one.forget()
            one.aside = True
            if one.makes_tasks:
                await self._tried(self._ending.brake(one, str(why)))
            return False

    async def _tried(self, doing: Awaitable[None]) -> None:
        """Do something that the store may refuse as well."""
        try:
            await doing
        except OF_ALL:
            raise
        except StoreError as why:
            self._log("loop_failed", loop="transformations", error=str(why))

    async def _make(self, one: LiveTransformation) -> bool:
        """Make tasks of one; what is wrong with it pauses it, and the others go on."""
        one.dirty = False
        try:
            one.dirty = await self._making.some(one)
        except (OverQuota, ReserveReached) as why:
            await self._ending.wait_for_room(one, str(why), until=self._clock.wall() + ROOM_S)
        except StoreFull:
            raise
        except (Refused, LookupError) as why:
            await self._ending.brake(one, str(why))
        except StoreError:
            raise
        except Exception as why:  # rules may be anybody's
            error = "".join(traceback.format_exception(why))
            self._log("loop_failed", loop=f"transformation {one.id}", error=error)
            said = str(why) if isinstance(why, BadRule) else f"no task can be made: {why!r}"
            await self._ending.brake(one, said)
        else:
            await self._ending.go_on(one, ROOM_WAITS)
            if not one.dirty:
                one.look = True
                await self._flushed(one)
        return one.dirty

    async def _flushed(self, one: LiveTransformation) -> None:
        """All groups that were there have gone, full or not: the next ones are full again."""
        if one.row.flushing and one.room() > 0 and one.pool is not None:
            await self._store.write(transformation_records.set_flushing, one.id, False)
            one.stale = True

    # -- what is looked after -------------------------------------------------------------------

    async def _refresh(self) -> None:
        """Read again what others have changed."""
        while self._touched:
            one, anew = self._touched.popitem()
            row = await self._store.read(transformation_records.transformation, one)
            if row is None:
                continue
            self._heard(one)
            await self._know_parent(one, row)
            if row.state in LIVE:
                try:
                    await self._take_up(row, anew=anew)
                except OF_ALL:
                    raise
                except StoreError as why:
                    self._lives.pop(one, None)
                    self._index.drop(one)
                    await self._tried(self._ending.unusable(row, str(why)))
            else:
                self._lives.pop(one, None)
                self._index.drop(one)
            for other in self._lives.values():
                if one in other.parents():
                    other.look = True
                    other.dirty |= bool(other.growing)  # groups may wait for all of it

    async def _take_up(self, row: TransformationRow, *, anew: bool) -> None:
        try:
            new = live(row)
            inputs = wanted(row, new.doc)
        except StoreError:
            raise
        except Exception as why:  # a rule that is not there any more, a word of a later release
            self._lives.pop(row.transformation_id, None)
            self._index.drop(row.transformation_id)
            await self._ending.unusable(row, str(why) or repr(why))
            return
        for parent in new.parents() - self._parents.keys():
            await self._know_parent(
                parent, await self._store.read(transformation_records.transformation, parent)
            )
        counts = (
            await self._store.read(
                transformation_records.transformation_counts, [row.transformation_id]
            )
        )[row.transformation_id]
        new.open = counts.tasks.get(TaskState.CREATED, 0)
        last = await self._store.read(
            transformation_records.last_ends, row.transformation_id, row.judged_from, SPREAD_OF
        )
        new.ends.extend(reversed(last))
        before = self._lives.get(row.transformation_id)
        if before is not None and not anew:
            new.pool, new.shared, new.is_whole = before.pool, before.shared, before.is_whole
            new.kept = before.kept
        self._lives[row.transformation_id] = new
        if row.state not in TAKES_INPUTS:
            self._index.drop(row.transformation_id)
        elif inputs and not self._index.of(row.transformation_id):
            is_new = not row.seeded and not row.seed_place and not self._loading
            if is_new and row.community not in self._index.communities():
                await self._intake.begin(row.community)
            self._index.put(row.transformation_id, inputs)
