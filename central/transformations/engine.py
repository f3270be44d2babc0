"""The engine: turns files, or a number, into tasks; each input is in one open or Done task.

It is one asyncio task of the leader. All of its memory can be read again at any moment, and each
step is one transaction of the store: it may die between any two.

A pass checks changed files of the catalogue and ended tasks, makes tasks if inputs have come or
there is room, and checks whether transformations are done.
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
from ..identity.errors import Banned
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

LOOK_S: Final = 0.25  # the longest delay of changes without a notice
FULL_S: Final = 5.0  # pause while the store is full
# pause while a quota or the disk has no room for another task, or its owner is banned
ROOM_S: Final = 10.0
REFUSED_S: Final = 60.0  # pause after the store refused the changed files of a community
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
        self._parents: dict[int, bool] = {}  # whether the transformations that make inputs are done
        self._missing: dict[int, MissingOutputs] = {}  # their missing outputs, lost for good
        self._touched: dict[int, bool] = {}  # to be read again; True: with the waiting inputs
        # when changes of a community are checked again (monotonic)
        self._later: dict[str, float] = {}
        self._loading = True
        self._used = False  # a transformation exists: otherwise nothing is checked
        self._nudged = asyncio.Event()
        self._heard: Callable[[int], None] = lambda transformation_id: None

    def tell(self, heard: Callable[[int], None]) -> None:
        """Call `heard` for each transformation that changes, also by others."""
        self._heard = heard

    def touch(self, transformation_id: int) -> None:
        """Read a transformation again: another part has changed it, or its inputs."""
        self._touched[transformation_id] = True
        self._used = True
        self._nudged.set()

    async def run(self) -> None:
        """Run until cancelled."""
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
                loaded = False  # memory may differ from the store after a failed write
                continue
            if not busy:
                await self._wait()

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S if self._used else None):
                await self._nudged.wait()
        self._nudged.clear()

    async def load(self) -> None:
        """Read all live transformations."""
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
        parents = dict(self._parents)  # as of now: this pass sees the last outputs of these
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
        """Note the complete parents, except those with more missing outputs than allowed."""
        over = frozenset(p for p in one.parents() if parents.get(p, False))
        missing = {p: self._missing.get(p, MissingOutputs()) for p in over}
        is_told_to = one.row.closing or one.row.flushing  # by a user
        is_active = one.row.state is TransformationState.ACTIVE
        if is_active and not is_told_to and takes_all(one.doc):
            allowed = one.doc.allow_partial
            over = frozenset(p for p in over if missing[p].is_within(allowed))
        one.complete, one.missing = over, joined(missing.values())

    async def _see_unmade(self, one: LiveTransformation) -> None:
        """Count outputs that parents have not made yet as missing, after a user closed it."""
        for parent in sorted(one.parents() - one.complete):
            row = await self._store.read(transformation_records.transformation, parent)
            if row is not None:
                one.missing = joined(
                    (one.missing, await missing_of(self._store, row, self._missing))
                )

    async def _tell_missing(self, one: LiveTransformation, parents: Mapping[int, bool]) -> None:
        """Set the reason why a transformation waits although its parents are done, or clear it."""
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
        """Check changed files; a community whose changes the store refuses waits."""
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
        """Work on one transformation; pause it, not the others, if the store refuses a change.

        If it makes no tasks now, or cannot even be paused, it rests until it is changed.
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
        """Make a change that the store may refuse as well."""
        try:
            await doing
        except OF_ALL:
            raise
        except StoreError as why:
            self._log("loop_failed", loop="transformations", error=str(why))

    async def _make(self, one: LiveTransformation) -> bool:
        """Make tasks of one transformation; pause it on an error, so that the others continue."""
        one.dirty = False
        try:
            one.dirty = await self._making.some(one)
        except (OverQuota, ReserveReached, Banned) as why:
            await self._ending.wait_for_room(one, str(why), until=self._clock.wall() + ROOM_S)
        except StoreFull:
            raise
        except (Refused, LookupError) as why:
            await self._ending.brake(one, str(why))
        except StoreError:
            raise
        except Exception as why:  # rules may come from other packages
            error = "".join(traceback.format_exception(why))
            self._log("loop_failed", loop=f"transformation {one.id}", error=error)
            text = str(why) if isinstance(why, BadRule) else f"no task can be made: {why!r}"
            await self._ending.brake(one, text)
        else:
            one.waits_for_room = False
            await self._ending.go_on(one, ROOM_WAITS)
            if not one.dirty:
                one.look = True
                await self._flushed(one)
        return one.dirty

    async def _flushed(self, one: LiveTransformation) -> None:
        """Stop flushing once all waiting groups are tasks: the next groups are full ones again."""
        if one.row.flushing and one.room() > 0 and one.pool is not None:
            await self._store.write(transformation_records.set_flushing, one.id, False)
            one.stale = True

    # -- live transformations --------------------------------------------------------------------

    async def _refresh(self) -> None:
        """Read again what other parts have changed."""
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
                    # groups may wait for all of the parent's files
                    other.dirty |= bool(other.growing)

    async def _take_up(self, row: TransformationRow, *, anew: bool) -> None:
        try:
            new = live(row)
            inputs = wanted(row, new.doc)
        except StoreError:
            raise
        except Exception as why:  # a rule that was removed, or a word of a later release
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
