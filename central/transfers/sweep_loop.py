"""Removes bytes that no catalogue entry needs: sweeps remove due remnants, a few at a time.

Like a transfer, a sweep is stored before its job is submitted, and the job's key is derived from
the sweep. So the job is submitted exactly once, even after a crash. The result of the job reports
the removed remnants. If a job ends without a result, the central assumes that it removed nothing.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ..catalogue import record_remnants as remnant_records
from ..catalogue.remnants import STORING_MAX, SWEEP_MAX, SweepRow, sweep_key
from ..catalogue.storage_sweeps import sweep_job, unswept
from ..catalogue.storages import StorageEntry, Storages
from ..errors import Refused
from ..jobs import record as job_records
from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import OF_ALL, StoreBroken, StoreError
from .central_sweeps import CentralSweeps
from .own_jobs import JobSubmitter, course, submit_one

EVERY_S: Final = 1.0
LOOK_MAX_S: Final = 60.0  # longest pause of a storage, or of the jobs, if nothing was due
LOOK_SHARE: Final = 10  # … or the time that remnants wait divided by this, if that is less
FORGET_S: Final = 600.0
FORGOTTEN_MAX: Final = 1_000  # rows deleted at a time


class Sweeper:
    """The loop over all storages with `deletes: true`."""

    def __init__(
        self,
        store: Store,
        storages: Storages,
        submits: JobSubmitter,
        *,
        clock: Clock,
        log: Log,
        is_trusted: Callable[[], bool],
        after_s: float,
        keeps: Callable[[str], str],
        here: CentralSweeps | None = None,
    ) -> None:
        """`is_trusted` returns whether removals by age are allowed now.

        `keeps` returns why copies of files stay on a storage: only Rucio deletes them there.

        `here` sweeps storages with tokens; None: jobs sweep all storages.
        """
        self._here = here
        self._store, self._storages, self._submits = store, storages, submits
        self._clock, self._log, self._is_trusted = clock, log, is_trusted
        self._after_s, self._keeps = after_s, keeps
        self._look_s = min(LOOK_MAX_S, max(EVERY_S, after_s / LOOK_SHARE))
        self._due: dict[str, float] = {}  # monotonic; by storage
        self._whys: dict[str, str] = {}  # logged reasons of pauses, by storage or sweep
        self._jobs_due, self._jobs_after, self._forget_due = 0.0, 0, 0.0
        self._may_be_open = True  # the store may have open sweeps; no other process orders them

    async def run(self) -> None:
        """Sweep for ever. While the disk is full, no sweep is ordered."""
        while True:
            await self._clock.sleep(EVERY_S)
            try:
                await self.turn()
            except StoreBroken:
                raise
            except (Refused, StoreError) as why:
                self._log("sweeps_wait", why=str(why))

    async def turn(self) -> None:
        """End finished sweeps, submit those that a crash interrupted, and order due ones."""
        await self._look_at_jobs()
        running = await self._look_at_sweeps()
        if self._is_trusted():
            await self._order(running)
            await self._forget()

    # -- files of ended jobs --------------------------------------------------------------------

    async def _look_at_jobs(self) -> None:
        """Check a page of the jobs that store files. Running ones are checked again next time."""
        if self._clock.monotonic() < self._jobs_due:
            return
        ended, further = await self._store.read(
            remnant_records.storing_after, self._jobs_after, limit=STORING_MAX
        )
        try:
            if ended:
                await self._store.write(remnant_records.look_at_storing, ended)
        except OF_ALL:
            raise
        except StoreError as why:  # about some of these; the next page is checked anyway
            self._log("sweeps_wait", why=f"jobs {min(ended)} to {max(ended)}: {why}")
        self._jobs_after = further or 0
        if further is None:
            self._jobs_due = self._clock.monotonic() + self._look_s

    # -- sweeps ---------------------------------------------------------------------------------

    async def _open(self) -> list[SweepRow]:
        found = await self._store.read(remnant_records.open_sweeps) if self._may_be_open else []
        self._may_be_open = bool(found)
        return found

    async def _look_at_sweeps(self) -> Counter[str]:
        """End sweeps whose jobs have ended, and submit those without a job.

        Return the number of open sweeps that take room, by storage. Remnants that a job did not
        report are retried later.
        """
        sweeps = await self._open()
        if not sweeps:
            return Counter()
        jobs = await self._store.read(
            job_records.jobs, [one.job_id for one in sweeps if one.job_id is not None]
        )
        now = self._clock.wall()
        running: Counter[str] = Counter()
        ended: list[tuple[SweepRow, str]] = []
        for one in sweeps:
            if one.job_id is None:
                running[one.storage] += 1
                continue
            its = course(one.job_id, jobs.get(one.job_id), now)
            running[one.storage] += its.takes_room
            if not its.is_open:
                why = its.why or f"job {one.job_id} did not report whether it removed this"
                ended.append((one, why))
        await self._fail(ended)
        for one in sweeps:
            if one.job_id is None:
                await self._submit(one)
        return running

    async def _fail(self, sweeps: Sequence[tuple[SweepRow, str]]) -> None:
        """End failed sweeps. If the store refuses some of them, end the others one by one."""
        try:
            await self._end(sweeps)
        except OF_ALL:
            raise
        except StoreError as why:
            if len(sweeps) == 1:
                self._say(f"sweep {sweeps[0][0].sweep_id}", str(why))
                return
            for one in sweeps:
                await self._fail([one])

    async def _end(self, sweeps: Sequence[tuple[SweepRow, str]]) -> None:
        """End failed sweeps, except those that a new result has ended already."""
        if not sweeps:
            return
        ends = [(one.sweep_id, why) for one, why in sweeps]
        there = await self._store.write(
            remnant_records.end_sweeps, ends, at=self._clock.wall(), after_s=self._after_s
        )
        for one, why in sweeps:
            if one.sweep_id in there:
                self._log("sweep_failed", job=one.job_id or 0, storage=one.storage, why=why)

    async def _order(self, running: Counter[str]) -> None:
        """Order sweeps of due remnants, as many as each storage has room for."""
        now, at = self._clock.monotonic(), self._clock.wall()
        before = at - self._after_s
        book = self._storages.book
        whys: Mapping[str, str] | None = None
        for storage, entry in book.storages.items():
            if not entry.deletes:
                continue
            room = entry.sweeps_max - running[storage]
            if room <= 0 or self._due.get(storage, 0.0) > now:
                continue
            if not await self._store.read(remnant_records.is_remnant_due, storage, before):
                self._due[storage] = now + self._look_s
                continue
            if whys is None:
                whys = unswept(book, await self._store.read(remnant_records.storages_of_copies))
            if storage in whys:
                self._due[storage] = now + self._look_s
                self._say(storage, whys[storage])
                continue
            try:
                await self._order_of(storage, entry, before, at=at, most=room)
                self._whys.pop(storage, None)
            except OF_ALL:
                raise
            except StoreError as why:  # about this storage only; the others are swept
                self._due[storage] = now + self._look_s
                self._say(storage, str(why))

    async def _order_of(
        self, storage: str, entry: StorageEntry, before: float, *, at: float, most: int
    ) -> None:
        """Order and submit sweeps of one storage."""
        self._may_be_open = True  # even if the answer is lost
        for sweep in await self._store.write(
            remnant_records.order_sweeps,
            storage,
            before,
            at=at,
            limit=SWEEP_MAX,
            most=most,
            any_path=entry.any_path,
            kept=self._keeps(storage),
        ):
            await self._submit(sweep)

    def _say(self, what: str, why: str) -> None:
        """Log once why a storage is not swept, or why a sweep cannot be ended."""
        if why != self._whys.get(what):
            self._log("sweeps_wait", why=f"{what}: {why}")
        self._whys[what] = why

    async def _submit(self, sweep: SweepRow) -> None:
        entry = self._storages.book.storages.get(sweep.storage)
        if entry is None:
            await self._fail([(sweep, "no storage file defines this storage any more")])
            return
        if self._here is not None and self._here.starts(sweep, entry):
            return
        job = sweep_job(sweep.storage, entry, sweep.group)
        key, name = sweep_key(sweep.sweep_id), f"sweep {sweep.storage}"
        try:
            job_id = await submit_one(
                self._submits, sweep.owner, sweep.group, job, key=key, name=name
            )
        except OF_ALL:
            raise
        except (Refused, StoreError) as why:
            await self._fail([(sweep, str(why))])
            return
        await self._store.write(remnant_records.sweep_job, sweep.sweep_id, job_id)

    async def _forget(self) -> None:
        """Delete rows of remnants that were removed more than `after_s` ago."""
        if self._clock.monotonic() < self._forget_due:
            return
        before = self._clock.wall() - self._after_s
        if (
            await self._store.write(remnant_records.forget_gone, before, limit=FORGOTTEN_MAX)
            < FORGOTTEN_MAX
        ):
            self._forget_due = self._clock.monotonic() + min(FORGET_S, self._after_s)
