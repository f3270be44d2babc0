"""Sweeps that the central does itself, on storages with tokens.

To remove a file takes a token that no attempt may have, because its holder could also replace
files. So no job sweeps these storages.
"""

from functools import partial
from typing import Final

from ..catalogue import record_remnants as remnant_records
from ..catalogue.remnants import RemnantRow, SweepResult, SweepRow
from ..catalogue.remote.storage_http import StorageAway, StorageRefuses, StorageTokens, scope_for
from ..catalogue.remote.webdav import WebDav, place_at
from ..catalogue.storages import StorageEntry
from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import StoreBroken, StoreError
from .own_work import OwnWork

TYPES: Final = ("davs",)
AWAY_MAX: Final = 3  # remnants in a row for which a storage did not answer: it is away
AWAY_WHY: Final = "not tried, because the storage does not answer"


class CentralSweeps:
    """Removes the remnants of sweeps, one after the other for each sweep."""

    def __init__(
        self,
        *,
        store: Store,
        dav: WebDav,
        tokens: StorageTokens,
        work: OwnWork,
        clock: Clock,
        log: Log,
        after_s: float,
    ) -> None:
        self._store, self._dav, self._tokens, self._work = store, dav, tokens, work
        self._clock, self._log, self._after_s = clock, log, after_s

    def starts(self, sweep: SweepRow, entry: StorageEntry) -> bool:
        """Begin a sweep, or go on; return False if a job has to do it."""
        if entry.type not in TYPES:
            return False
        self._work.start(f"sweep {sweep.sweep_id}", partial(self._swept, sweep, entry))
        return True

    async def _swept(self, sweep: SweepRow, entry: StorageEntry) -> None:
        """Do one sweep, and store what it removed. After a crash it is done again."""
        try:
            rows = await self._store.read(remnant_records.remnants_of_open_sweep, sweep.sweep_id)
            result = await self._result(sweep.storage, entry, rows)
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
        self, storage: str, entry: StorageEntry, rows: list[RemnantRow]
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
                await self._removed(storage, entry, row)
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

    async def _removed(self, storage: str, entry: StorageEntry, row: RemnantRow) -> None:
        """Remove the bytes of one remnant. Raises StorageAway, StorageRefuses."""
        scopes = tuple(scope_for(may, entry.prefix, row.path) for may in ("modify", "read"))
        token = await self._tokens.token(storage, scopes)
        place = place_at(entry.url, row.path, token=token.text, ca_file=entry.ca_file)
        if row.is_folder:
            await self._dav.remove_folder(place)
        else:
            await self._dav.remove(place, row.size_bytes)
