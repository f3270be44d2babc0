"""Sweeps that the central does itself, on storages with tokens or keys.

To remove a file takes a credential that no attempt may have, because its holder could also replace
files. So no job sweeps these storages.
"""

from functools import partial
from typing import Final

from ..catalogue import record_remnants as remnant_records
from ..catalogue.remnants import RemnantRow, SweepResult, SweepRow
from ..catalogue.remote.removals import RemoteStorage, SweptType
from ..catalogue.remote.storage_http import RemoteStorages, StorageAway, StorageRefuses
from ..catalogue.storages import StorageEntry
from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import StoreBroken, StoreError
from .own_work import OwnWork

AWAY_MAX: Final = 3  # remnants in a row for which a storage did not answer: it is away
AWAY_WHY: Final = "not tried, because the storage does not answer"


class CentralSweeps:
    """Removes the remnants of sweeps, one after the other for each sweep."""

    def __init__(
        self,
        *,
        store: Store,
        remote: RemoteStorages,
        work: OwnWork,
        clock: Clock,
        log: Log,
        after_s: float,
    ) -> None:
        self._store, self._remote, self._work = store, remote, work
        self._clock, self._log, self._after_s = clock, log, after_s

    def starts(self, sweep: SweepRow, entry: StorageEntry) -> bool:
        """Begin a sweep, or go on; return False if a job has to do it."""
        kind = entry.kind
        if not isinstance(kind, SweptType):
            return False
        storage = RemoteStorage(sweep.storage, entry, self._remote)
        self._work.start(f"sweep {sweep.sweep_id}", partial(self._swept, sweep, kind, storage))
        return True

    async def _swept(self, sweep: SweepRow, kind: SweptType, storage: RemoteStorage) -> None:
        """Do one sweep, and store what it removed. After a crash it is done again."""
        try:
            rows = await self._store.read(remnant_records.remnants_of_open_sweep, sweep.sweep_id)
            result = await self._result(kind, storage, rows)
            await self._store.write(
                remnant_records.end_marked, sweep.sweep_id, result, at=self._clock.wall()
            )
        except StoreBroken:
            raise
        except StoreError as why:
            self._log("sweeps_wait", why=f"sweep {sweep.sweep_id}: {why}")
            return
        if result.failed:
            _, reason = result.failed[0]
            self._log("sweep_failed", job=0, storage=sweep.storage, why=reason)

    async def _result(
        self, kind: SweptType, storage: RemoteStorage, rows: list[RemnantRow]
    ) -> SweepResult:
        gone: list[int] = []
        failed: list[tuple[int, str]] = []
        untried: list[tuple[int, str]] = []
        away = 0
        for row in rows:
            if away >= AWAY_MAX:
                untried.append((row.remnant_id, AWAY_WHY))
                continue
            try:
                await kind.remove(storage, row.path, is_folder=row.is_folder, size=row.size_bytes)
            except StorageAway as why:
                away += 1
                failed.append((row.remnant_id, str(why)))
                continue
            except StorageRefuses as why:
                failed.append((row.remnant_id, str(why)))
            else:
                gone.append(row.remnant_id)
            away = 0
        return SweepResult(
            gone=tuple(gone), failed=tuple(failed), untried=tuple(untried), after_s=self._after_s
        )
