"""The loop that completes productions, revives and cleans them, and samples their progress.

It checks a production after the engine or a user has moved one of its steps. The progress of
running productions is sampled at intervals. Without productions it sleeps. A cleaned production may
have very many jobs and files: it is cleaned in slices, and all others are checked in between. All
of its state can be read again after an interruption.
"""

import asyncio
import contextlib
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pilotage.proto.production_states import LIVE, ProductionEvent, ProductionState, next_production
from pilotage.proto.transformation_states import TaskState

from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import OF_ALL, StoreBroken, StoreError, StoreFull
from ..transformations import record as transformation_records
from ..transformations.record import StateCounts
from . import eta, record as production_records
from .cleaning import Cleaning
from .definition_cache import ProductionCache
from .plans import caught_up
from .progress import progress
from .record import ProductionMove, ProductionRow, ProgressRow, StepRow
from .states import verdict
from .views import Unfit, all_fit, stand, unfit_steps

SAMPLE_S: Final = 15.0  # between two samples of progress
YOUNG_S: Final = 2.0  # the same for young productions: a short one needs samples too …
YOUNG_FOR_S: Final = 60.0  # … for this time after the start
# between two checks whether pilots fit the jobs of a production; productions take turns
FITS_S: Final = 15.0
HEARD_S: Final = 120.0  # after a start: by then all live pilots have sent a heartbeat
AGAIN_S: Final = 5.0  # between two checks of a production that is cleaned, or was refused
FULL_S: Final = 5.0  # pause while the store is full
PAGE: Final = 200
P = ProductionState


@dataclass
class _Work:
    """The unfinished work on a production that is cleaned, slice after slice."""

    slices: AsyncGenerator[int]
    row: ProductionRow
    steps: Sequence[StepRow]
    removes: bool  # removes files; else it kills jobs
    done: int = 0  # number of files or jobs so far


class ProductionWatch:
    """Watches all productions."""

    def __init__(
        self,
        *,
        store: Store,
        cache: ProductionCache,
        cleaning: Cleaning,
        touch: Callable[[int], None],
        clock: Clock,
        log: Log,
        unfit: Unfit = all_fit,
    ) -> None:
        """Make a watch; `touch` tells the engine that a transformation has changed.

        `unfit` says why no pilot fits the jobs of a transformation.
        """
        self._unfit, self._unfit_steps = unfit, dict[int, set[str]]()
        self._store, self._cache, self._cleaning = store, cache, cleaning
        self._touch, self._clock, self._log = touch, clock, log
        self._of: dict[int, int] = {}  # the production of a transformation
        self._due: set[int] = set()  # productions to check
        # Active productions, with their transformations
        self._active: dict[int, tuple[int, ...]] = {}
        self._cleaned: set[int] = set()  # productions that are cleaned or were refused …
        self._look_again_at = 0.0  # … and when they are checked again, on the monotonic clock
        self._work: dict[int, _Work] = {}  # of cleaned productions; the first is next
        self._counted: dict[int, StateCounts] = {}  # of transformations, at the last sample
        self._samples: dict[int, list[eta.ProgressPoint]] = {}
        self._since: dict[int, float] = {}  # of Active productions: since when they are Active
        self._sampled = self._sampled_young = -SAMPLE_S
        self._fitted = clock.monotonic() + HEARD_S - FITS_S  # when pilots were last checked …
        self._fits_after = 0  # … and for which production
        self._told: dict[int, str] = {}  # the last error of the store about each
        self._nudged = asyncio.Event()

    # -- news from others -----------------------------------------------------------------------

    def heard(self, transformation_id: int) -> None:
        """Check the production of a transformation that has changed, if it has one."""
        production = self._of.get(transformation_id)
        if production is not None:
            self.nudge(production)

    def nudge(self, production_id: int) -> None:
        """Check a production soon."""
        self._due.add(production_id)
        self._nudged.set()

    # -- the loop -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until cancelled."""
        loaded = False
        while True:
            try:
                if not loaded:
                    await self.load()
                    loaded = True
                await self.once()
            except StoreBroken:
                raise
            except StoreError as why:
                if not isinstance(why, StoreFull):
                    self._log("loop_failed", loop="productions", error=str(why))
                await self._clock.sleep(FULL_S)
                loaded = False
                continue
            await self._wait()

    async def _wait(self) -> None:
        waits_s = SAMPLE_S if self._active else None
        if self._young():
            waits_s = YOUNG_S
        if self._cleaned:
            left_s = max(0.0, self._look_again_at - self._clock.monotonic())
            waits_s = left_s if waits_s is None else min(waits_s, left_s)
        if self._work:
            await self._clock.sleep(0.0)
        elif not self._due:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(waits_s):
                    await self._nudged.wait()
        self._nudged.clear()

    async def load(self) -> None:
        """Check all productions that may still change by themselves."""
        after = 0
        while True:
            rows = await self._store.read(
                production_records.productions, None, states=LIVE, after=after, limit=PAGE
            )
            self._due.update(row.production_id for row in rows)
            if len(rows) < PAGE:
                return
            after = rows[-1].production_id

    async def once(self) -> None:
        """Check the due productions, sample the progress if it is time, clean a slice."""
        if self._cleaned and self._clock.monotonic() >= self._look_again_at:
            self._again_later()
            self._due.update(self._cleaned)
        due, self._due = sorted(self._due), set()
        for start in range(0, len(due), PAGE):
            some = due[start : start + PAGE]
            steps = await self._store.read(production_records.production_steps, some)
            for one in some:
                await self._guarded(one, self._look(one, steps[one]))
        now = self._clock.monotonic()
        if self._active and now - self._sampled >= SAMPLE_S:
            self._sampled = self._sampled_young = now
            await self._note(self._active)
        elif now - self._sampled_young >= YOUNG_S and (young := self._young()):
            self._sampled_young = now
            await self._note(young)
        if self._active and now - self._fitted >= FITS_S:
            self._fitted = now
            production_id = next((one for one in self._active if one > self._fits_after), 0)
            self._fits_after = production_id
            if production_id:
                await self._guarded(production_id, self._tell_unfit(production_id))
        await self._slice()

    async def _tell_unfit(self, production_id: int) -> None:
        """Log each step that no pilot fits, once until one fits again."""
        row = await self._store.read(production_records.production, production_id)
        if row is None:
            return
        found = await unfit_steps(self._store, production_id, row.state, self._unfit)
        for step in found.keys() - self._unfit_steps.get(production_id, set()):
            self._log(
                "production_unfit",
                production=production_id,
                name=row.name,
                step=step,
                why=found[step],
            )
        self._unfit_steps[production_id] = set(found)

    async def _slice(self) -> None:
        """Clean a slice of the production whose turn it is."""
        if not self._work:
            return
        production_id = next(iter(self._work))
        work = self._work.pop(production_id)  # a failed slice begins again
        await self._guarded(production_id, self._clean_on(production_id, work))

    async def _clean_on(self, production_id: int, work: _Work) -> None:
        try:
            work.done += await anext(work.slices)
        except StopAsyncIteration:
            if work.removes:
                await self._emptied(work)
        else:
            self._work[production_id] = work

    async def _guarded(self, production_id: int, doing: Awaitable[None]) -> None:
        """Work on one production; log its errors, so that the others continue."""
        try:
            await doing
        except OF_ALL:
            raise
        except StoreError as why:  # it refused something of this production only
            self._again(production_id)
            if self._told.get(production_id) != str(why):
                self._told[production_id] = str(why)
                self._log("loop_failed", loop=f"production {production_id}", error=str(why))
        except Exception:  # a definition from another release
            trace = traceback.format_exc()
            self._log("loop_failed", loop=f"production {production_id}", error=trace)

    async def _look(self, production_id: int, steps: Sequence[StepRow]) -> None:
        row = await self._store.read(production_records.production, production_id)
        if row is None:
            return
        self._remember(row, steps)
        if row.state is P.CLEANING:
            await self._clean(row, steps)
            return
        plan = caught_up(row, steps, at=self._clock.wall())
        if plan.move is not None and row.state in (P.ACTIVE, P.PAUSED, P.STOPPED, P.COMPLETED):
            if await self._store.write(production_records.move_production, plan.move, plan.steps):
                for one in plan.steps:
                    self._touch(one.transformation_id)
            self._due.add(production_id)
            return
        found = verdict(row.state, steps)
        if found is not None:
            await self._move(row, steps, *found)

    async def _clean(self, row: ProductionRow, steps: Sequence[StepRow]) -> None:
        """Begin to clean a production, unless that is under way."""
        one, under_way = row.production_id, self._work.get(row.production_id)
        removes = verdict(row.state, steps) is not None  # all of its jobs have ended
        if under_way is None or under_way.removes is not removes:
            if under_way is not None:
                await under_way.slices.aclose()
            clean = self._cleaning
            slices = clean.remove(row, steps, self._clock) if removes else clean.kill(row, steps)
            self._work[one] = _Work(slices, row, steps, removes)

    def _remember(self, row: ProductionRow, steps: Sequence[StepRow]) -> None:
        one, ids = row.production_id, tuple(step.row.transformation_id for step in steps)
        if row.state in LIVE:
            self._of.update(dict.fromkeys(ids, one))
        else:
            for its in ids:
                self._of.pop(its, None)
        if row.state is P.ACTIVE:
            self._active[one], self._since[one] = ids, row.changed_at
        elif self._active.pop(one, None) is not None:
            self._since.pop(one, None)
            self._samples.pop(one, None)
            self._unfit_steps.pop(one, None)
            for its in ids:
                self._counted.pop(its, None)
        if row.state is P.CLEANING:
            self._again(one)
        else:
            self._cleaned.discard(one)

    def _again(self, production_id: int) -> None:
        if not self._cleaned:
            self._again_later()
        self._cleaned.add(production_id)

    def _again_later(self) -> None:
        self._look_again_at = self._clock.monotonic() + AGAIN_S

    async def _move(
        self, row: ProductionRow, steps: Sequence[StepRow], event: ProductionEvent, reason: str
    ) -> None:
        """Move a production as its steps require."""
        at = self._clock.wall()
        if event is ProductionEvent.ALL_COMPLETED:
            await self._note_one(row.production_id, steps, at)
        move = ProductionMove(
            production_id=row.production_id,
            old=row.state,
            new=next_production(row.state, event),
            reason=reason,
            at=at,
        )
        if await self._store.write(production_records.move_production, move):
            if event is ProductionEvent.ALL_COMPLETED:
                self._log("production_completed", production=row.production_id, name=row.name)
        self._due.add(row.production_id)

    async def _emptied(self, work: _Work) -> None:
        """Set a production Cleaned after its files were removed."""
        row = work.row
        drop = [(row.production_id, one.at) for one in await self._kept(row.production_id)]
        await self._store.write(production_records.keep_samples, [], drop)
        move = ProductionMove(
            production_id=row.production_id,
            old=row.state,
            new=next_production(row.state, ProductionEvent.EMPTIED),
            reason=row.reason,
            at=self._clock.wall(),
        )
        if await self._store.write(production_records.move_production, move):
            self._log(
                "production_cleaned", production=row.production_id, name=row.name, files=work.done
            )
        self._due.add(row.production_id)

    # -- progress -------------------------------------------------------------------------------

    def _young(self) -> dict[int, tuple[int, ...]]:
        """Return the productions that have been Active for a short time."""
        after = self._clock.wall() - YOUNG_FOR_S
        return {one: self._active[one] for one, since in self._since.items() if since > after}

    async def _note(self, which: Mapping[int, tuple[int, ...]]) -> None:
        """Sample the progress of productions whose tasks have changed."""
        for some in _pages(which.items(), PAGE):
            ids = [one for _, its in some for one in its]
            counts = await self._store.read(transformation_records.transformation_counts, ids)
            changed = [
                production
                for production, its in some
                if any(self._counted.get(one) != counts[one] for one in its)
            ]
            self._counted.update(counts)
            if changed:
                steps = await self._store.read(production_records.production_steps, changed)
                now = self._clock.wall()
                for one in changed:
                    await self._guarded(one, self._write(one, steps[one], counts, now))

    async def _note_one(self, production_id: int, steps: Sequence[StepRow], at: float) -> None:
        ids = [one.row.transformation_id for one in steps]
        await self._write(
            production_id,
            steps,
            await self._store.read(transformation_records.transformation_counts, ids),
            at,
        )

    async def _write(
        self,
        production_id: int,
        steps: Sequence[StepRow],
        counts: Mapping[int, StateCounts],
        at: float,
    ) -> None:
        ids = [one.row.transformation_id for one in steps]
        known = await self._cache.of(production_id, ids)
        means = await self._cache.means(ids)
        stands = {one.step: stand(one, known, counts, means) for one in steps}
        whole = progress(known.definition.workflow, known.plan, stands).whole
        before = await self._kept(production_id)
        new = eta.ProgressPoint(at, whole)
        kept = eta.kept(before, new)
        left = {one.at for one in kept}
        done = sum(its.tasks.get(TaskState.DONE, 0) for its in stands.values())
        sample = ProgressRow(production_id=production_id, at=at, progress=whole, tasks_done=done)
        drop = [(production_id, one.at) for one in before if one.at not in left]
        await self._store.write(production_records.keep_samples, [sample], drop)
        if production_id in self._active:
            self._samples[production_id] = kept

    async def _kept(self, production_id: int) -> list[eta.ProgressPoint]:
        """Return the samples of a production, those before this process too."""
        known = self._samples.get(production_id)
        if known is None:
            rows = await self._store.read(production_records.samples, production_id)
            known = [eta.ProgressPoint(one.at, one.progress) for one in rows]
        return known


def _pages(
    items: Iterable[tuple[int, tuple[int, ...]]], size: int
) -> list[list[tuple[int, tuple[int, ...]]]]:
    """Return productions with their transformations, at most `size` transformations at a time."""
    found: list[list[tuple[int, tuple[int, ...]]]] = []
    count = 0
    for item in list(items):
        if not found or count + len(item[1]) > size:
            found.append([])
            count = 0
        found[-1].append(item)
        count += len(item[1])
    return found
