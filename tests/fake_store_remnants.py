"""The part of the store in memory that keeps remnants: found anew whenever somebody asks."""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from pilotage.central.store.catalogue import NewReplica, ReplicaRow
from pilotage.central.store.data_jobs import folder_of
from pilotage.central.store.records import End, Owner, Swept
from pilotage.central.store.remnants import (
    AWAY_S,
    HELD_S,
    NAMES_MAX,
    SWEEP_MAX,
    RemnantCount,
    RemnantRow,
    SweepRow,
    above,
    not_its_own,
    sweep_of_key,
)
from pilotage.central.store.rules import pause_s
from pilotage.proto.catalogue import BYTES_MAX, FileState, NotRight, RemnantState, ReplicaState
from pilotage.proto.job_states import FINAL, JobState

from .fake_store_files import CatalogueData, File
from .fake_store_rows import Data, Job


@dataclass
class RemnantData:
    """What survives a restart."""

    made_at: float = 0.0
    rows: dict[int, RemnantRow] = field(default_factory=dict[int, RemnantRow])
    due_from: dict[int, float] = field(default_factory=dict[int, float])
    sweeps: dict[int, SweepRow] = field(default_factory=dict[int, SweepRow])
    pending: set[int] = field(default_factory=set[int])  # jobs that store, to be looked at
    looked: dict[int, int] = field(default_factory=dict[int, int])  # by job: the last epoch
    gone: dict[tuple[str, str], tuple[int, int]] = field(
        default_factory=dict[tuple[str, str], tuple[int, int]]
    )
    next_remnant: int = 1
    next_sweep: int = 1


class FakeRemnants:
    """The verbs of `store.remnants`."""

    _data: Data
    _catalogue_data: CatalogueData
    _remnant_data: RemnantData

    def begin_write(self) -> None:
        """Raise what a write raises now."""
        raise NotImplementedError

    async def synced(self) -> None:
        """Wait for the disk."""
        raise NotImplementedError

    # -- how they come --------------------------------------------------------------------------

    def _files_of_all(self) -> Iterable[tuple[str, File]]:
        for community, here in self._catalogue_data.communities.items():
            for file in here.files.values():
                yield community, file

    def _remnants_now(self) -> dict[int, RemnantRow]:
        """Bring the rows up to date with the catalogue, and return them."""
        rows = self._remnant_data.rows
        files = {file.file_id: (community, file) for community, file in self._files_of_all()}
        for one in list(rows.values()):
            if one.state is RemnantState.WAITING and one.file_id is not None:
                file = files[one.file_id][1]
                copy = file.replicas.get(one.storage)
                is_named = copy is not None and copy.path == one.path
                if file.state is not FileState.REMOVED and is_named:
                    del rows[one.remnant_id]
        known = {
            (one.file_id, one.storage, one.path)
            for one in rows.values()
            if one.state is not RemnantState.GONE
        }
        for community, file in files.values():
            if file.state is FileState.REMOVED:
                for copy in file.replicas.values():
                    if (file.file_id, copy.storage, copy.path) not in known:
                        self._add_copy(community, file, copy, copy.changed_at)
        return rows

    def _add_copy(self, community: str, file: File, copy: ReplicaRow, since: float) -> None:
        self._add_remnant(
            storage=copy.storage,
            path=copy.path,
            community=community,
            owner_id=file.owner_id,
            group=file.did.scope.partition(".")[0],
            file_id=file.file_id,
            bytes=file.bytes,
            since=since,
        )

    def replaced(
        self, community: str, file: File, new: NewReplica, at: float, *, by_hand: bool
    ) -> None:
        """A copy lies elsewhere from now on: what lay there before is a remnant."""
        there = file.replicas.get(new.storage)
        if there is None or there.path == new.path:
            return
        if file.state is FileState.REMOVED or not by_hand or there.state is ReplicaState.BAD:
            rows = self._remnants_now().values()
            known = [(one.file_id, one.storage, one.path) for one in rows if not one.gone_at]
            if (file.file_id, new.storage, there.path) not in known:
                self._add_copy(community, file, there, at)

    def give_up(self, file: File, storage: str, path: str | None, at: float) -> bool:
        """A copy is gone by somebody's word."""
        found, data = False, self._remnant_data
        for one in list(self._remnants_now().values()):
            is_it = one.file_id == file.file_id and one.storage == storage
            if not is_it or path not in (None, one.path):
                continue
            if one.state is RemnantState.WAITING:
                del data.rows[one.remnant_id]
            elif one.state is RemnantState.SWEEPING and one.sweep_id is None:
                data.rows[one.remnant_id] = msgspec.structs.replace(
                    one, state=RemnantState.GONE, gone_at=at
                )
            else:
                continue
            found = True
        return found

    def _add_remnant(self, **fields: object) -> None:
        data = self._remnant_data
        named = {"remnant_id": data.next_remnant, "state": RemnantState.WAITING, **fields}
        row = msgspec.convert(named, RemnantRow, strict=False)
        data.rows[row.remnant_id] = row
        data.due_from[row.remnant_id] = row.since
        data.next_remnant += 1

    def _counts_no_more(self, job: Job) -> bool:
        last = self._data.attempts[job.attempts[-1]] if job.attempts else None
        return job.state in FINAL and not (last is not None and (last.live or last.open))

    async def storing_after(self, after: int, *, limit: int) -> tuple[list[int], int | None]:
        waiting = self._remnant_data.pending
        pending = heapq.nsmallest(limit, (job_id for job_id in waiting if job_id > after))
        jobs = self._data.jobs
        ended = [one for one in pending if one not in jobs or jobs[one].state in FINAL]
        return ended, pending[-1] if len(pending) == limit else None

    def may_leave(self, job_id: int) -> None:
        """A job that stores is new, or is opened again."""
        if self._data.jobs[job_id].new.stores:
            self._remnant_data.pending.add(job_id)

    async def look_at_storing(self, job_ids: Sequence[int]) -> int:
        self.begin_write()
        count = self.note_storing(job_ids)
        await self.synced()
        return count

    def note_storing(self, job_ids: Sequence[int]) -> int:
        """Note what these jobs have left."""
        data, count = self._remnant_data, 0
        for job_id in job_ids:
            job = self._data.jobs.get(job_id)
            if job is None:
                data.pending.discard(job_id)
            if job is None or job_id not in data.pending or not self._counts_no_more(job):
                continue
            kind = self._data.classes[job.new.class_id]
            last = len(job.attempts)
            for epoch in range(data.looked.get(job_id, 0) + 1, last + 1):
                if job.state is JobState.DONE and epoch == last:
                    continue
                for storage in job.new.stores:
                    count += 1
                    path = folder_of(kind.community, self._data.generation, job_id, epoch)
                    self._add_remnant(
                        storage=storage,
                        path=path,
                        community=kind.community,
                        owner_id=kind.owner_id,
                        group=kind.group,
                        file_id=None,
                        bytes=0,
                        since=job.ended_at,
                    )
            data.looked[job_id] = last
            data.pending.discard(job_id)
        return count

    # -- what may be named ----------------------------------------------------------------------

    def check_unswept(self, copy: NewReplica, field_: str) -> None:
        """Raise NotRight where the bytes there go, or went a while ago."""
        for one in self._remnant_data.rows.values():
            if one.state is RemnantState.WAITING:
                continue
            if copy.path == one.path or (one.is_folder and one.path in above(copy.path)):
                raise NotRight(field_, copy.path, "another path: the bytes there are being removed")

    # -- how they go ----------------------------------------------------------------------------

    def _due_remnants(self, storage: str, before: float) -> list[RemnantRow]:
        data = self._remnant_data
        if before < data.made_at:  # it may be a restored one
            return []
        rows = [
            one
            for one in self._remnants_now().values()
            if one.storage == storage and one.state is not RemnantState.GONE
            and one.sweep_id is None and data.due_from[one.remnant_id] <= before
        ]  # fmt: skip
        return sorted(rows, key=lambda one: data.due_from[one.remnant_id])

    async def is_remnant_due(self, storage: str, before: float) -> bool:
        return bool(self._due_remnants(storage, before))

    def _named_remnant(self, row: RemnantRow, before: float) -> str:
        counts: Counter[str] = Counter()
        for _, file in self._files_of_all():
            for copy in file.replicas.values():
                if row.path not in above(copy.path):
                    continue
                if file.state is not FileState.REMOVED or copy.changed_at > before:
                    return str(file.did)
                counts[copy.storage] += 1
        return "one of many" if any(count > NAMES_MAX for count in counts.values()) else ""

    async def storages_of_copies(self) -> list[str]:
        return sorted({name for _, file in self._files_of_all() for name in file.replicas})

    async def order_sweeps(
        self,
        storage: str,
        before: float,
        *,
        at: float,
        limit: int,
        most: int,
        any_path: bool = False,
    ) -> list[SweepRow]:
        if limit > SWEEP_MAX:
            raise ValueError(f"{limit} remnants are too many for a sweep")
        self.begin_write()
        data = self._remnant_data
        made: dict[tuple[str, int, str], SweepRow] = {}
        for row in self._due_remnants(storage, before)[:limit]:
            named = self._named_remnant(row, before)
            why = not_its_own(row, any_path=any_path) or (f"{named} lies there" if named else "")
            if why:
                data.due_from[row.remnant_id] = before + HELD_S
                held = msgspec.structs.replace(row, why=why)
                data.rows[row.remnant_id] = held
                continue
            whose = (row.community, row.owner_id, row.group)
            if whose not in made and len(made) == most:
                continue
            if whose not in made:
                made[whose] = SweepRow(
                    sweep_id=data.next_sweep,
                    storage=storage,
                    community=row.community,
                    owner=self._owner_of_remnant(row.owner_id),
                    group=row.group,
                    made_at=at,
                )
                data.next_sweep += 1
            data.rows[row.remnant_id] = msgspec.structs.replace(
                row, state=RemnantState.SWEEPING, sweep_id=made[whose].sweep_id
            )
        data.sweeps.update({one.sweep_id: one for one in made.values()})
        await self.synced()
        return list(made.values())

    def _owner_of_remnant(self, owner_id: int) -> Owner:
        return self._data.owners[owner_id]

    async def sweeps(self) -> list[SweepRow]:
        return list(self._remnant_data.sweeps.values())

    async def sweep_job(self, sweep_id: int, job_id: int) -> None:
        self.begin_write()
        row = self._remnant_data.sweeps.get(sweep_id)
        if row is not None:
            told = msgspec.structs.replace(row, job_id=job_id)
            self._remnant_data.sweeps[sweep_id] = told
        await self.synced()

    def _sweep_of_job(self, job_id: int) -> int | None:
        job = self._data.jobs.get(job_id)
        return sweep_of_key(self._data.submissions[job.submission_id].key) if job else None

    async def remnants_of_job(self, job_id: int) -> list[RemnantRow]:
        sweep_id = self._sweep_of_job(job_id)
        rows = self._remnant_data.rows.values()
        here = [one for one in rows if sweep_id is not None and one.sweep_id == sweep_id]
        return sorted(here, key=lambda one: (one.failures, one.remnant_id))

    async def end_sweeps(
        self, ends: Sequence[tuple[int, str]], *, at: float, after_s: float
    ) -> list[int]:
        self.begin_write()
        there = [sweep_id for sweep_id, _ in ends if sweep_id in self._remnant_data.sweeps]
        for sweep_id, why in ends:
            self._end_sweep(sweep_id, Swept(gone=(), after_s=after_s), at, why)
        await self.synced()
        return there

    def swept(self, change: End) -> None:
        """A result that counts says what became of its remnants."""
        sweep_id = self._sweep_of_job(change.job_id)
        if change.swept is not None and sweep_id is not None:
            said = "its pilot has not said what became of it"
            self._end_sweep(sweep_id, change.swept, change.at, said)

    def _end_sweep(self, sweep_id: int, swept: Swept, at: float, why: str) -> None:
        data, failed, untried = self._remnant_data, dict(swept.failed), dict(swept.untried)
        here = [one for one in data.rows.values() if one.sweep_id == sweep_id]
        went = any(one.remnant_id in swept.gone for one in here)
        for row in here:
            if row.remnant_id in swept.gone:
                self._remnant_went(row, at)
                continue
            failures = row.failures + (row.remnant_id not in untried)
            pause = pause_s(failures) if failures > row.failures else 0.0 if went else AWAY_S
            data.due_from[row.remnant_id] = at + pause - swept.after_s
            data.rows[row.remnant_id] = msgspec.structs.replace(
                row,
                sweep_id=None,
                failures=failures,
                why={**untried, **failed}.get(row.remnant_id, why),
            )
        data.sweeps.pop(sweep_id, None)

    def _remnant_went(self, row: RemnantRow, at: float) -> None:
        data = self._remnant_data
        data.rows[row.remnant_id] = msgspec.structs.replace(
            row, state=RemnantState.GONE, sweep_id=None, gone_at=at, why=""
        )
        count, size = data.gone.get((row.storage, row.community), (0, 0))
        data.gone[row.storage, row.community] = (count + 1, size + row.bytes)
        for _, file in self._files_of_all():
            copy = file.replicas.get(row.storage)
            if file.file_id == row.file_id and copy is not None and copy.path == row.path:
                del file.replicas[row.storage]
                before = file.state
                file.settle()
                if file.state is not before:
                    self._catalogue_data.touch(file)

    # -- looking --------------------------------------------------------------------------------

    async def remnants(
        self,
        *,
        community: str | None = None,
        storage: str | None = None,
        before: float,
        after: int,
        limit: int,
    ) -> list[RemnantRow]:
        due_from = self._remnant_data.due_from
        return [
            one
            for remnant_id, one in sorted(self._remnants_now().items())
            if remnant_id > after
            and one.state is not RemnantState.GONE
            and community in (None, one.community)
            and storage in (None, one.storage)
            and due_from[remnant_id] <= before
        ][:limit]

    async def names_of_remnants(self, rows: Sequence[RemnantRow], before: float) -> dict[int, str]:
        return {row.remnant_id: self._named_remnant(row, before) for row in rows}

    async def remnants_of_files(self, file_ids: Sequence[int]) -> list[RemnantRow]:
        return [one for _, one in sorted(self._remnants_now().items()) if one.file_id in file_ids]

    async def remnant_counts(self) -> list[RemnantCount]:
        data = self._remnant_data
        rows = [one for one in self._remnants_now().values() if one.state is not RemnantState.GONE]
        places = {(one.storage, one.community) for one in rows} | set(data.gone)
        counts: list[RemnantCount] = []
        for storage, community in sorted(places):
            here = [one for one in rows if (one.storage, one.community) == (storage, community)]
            gone, gone_bytes = data.gone.get((storage, community), (0, 0))
            counts.append(
                RemnantCount(
                    storage=storage,
                    community=community,
                    waiting=len(here),
                    waiting_bytes=min(sum(one.bytes for one in here), BYTES_MAX),
                    failing=sum(one.failures > 0 for one in here),
                    gone=gone,
                    gone_bytes=min(gone_bytes, BYTES_MAX),
                    sweeping=sum(one.sweep_id is not None for one in here),
                )
            )
        return counts

    async def forget_gone(self, before: float, *, limit: int) -> int:
        self.begin_write()
        rows = self._remnant_data.rows
        old = [i for i, one in rows.items() if one.gone_at is not None and one.gone_at <= before]
        for remnant_id in old[:limit]:
            del rows[remnant_id]
        await self.synced()
        return len(old[:limit])
