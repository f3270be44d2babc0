"""The service that shows remnants and their removal to users."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pilotage.proto.api.remnants import RemnantPage, RemnantView, SweepCount, SweepView
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.problems import Code

from ..catalogue import record_read as catalogue_read, record_remnants as remnant_records
from ..catalogue.remnants import RemnantCount, RemnantRow, held_for, view_of
from ..catalogue.rights import community_of
from ..catalogue.storage_sweeps import unswept
from ..catalogue.storages import Storages
from ..errors import Refused
from ..identity.callers import User
from ..identity.policy import Permission, require
from ..observe.times import shown
from ..ports import Clock
from ..store.engine import Store

FOR_EVER: Final = 1e15


class SweepService:
    """Remnants and sweeps, for the HTTP API and the web pages."""

    def __init__(
        self,
        store: Store,
        storages: Storages,
        clock: Clock,
        *,
        after_s: float,
        keeps: Callable[[str], str],
    ) -> None:
        """`keeps` returns why copies of files stay on a storage, as for the Sweeper."""
        self._store, self._storages, self._clock = store, storages, clock
        self._after_s, self._keeps = after_s, keeps

    async def counts(self, caller: User, /) -> SweepView:
        """Return the numbers of waiting and removed remnants, by storage."""
        require(caller, Permission.DATA_READ)
        community, book = community_of(caller), self._storages.book
        whys = unswept(book, await self._store.read(remnant_records.storages_of_copies))
        known = {
            one.storage: one
            for one in await self._store.read(remnant_records.remnant_counts)
            if one.community == community
        }
        names = sorted({*book.storages, *known})
        return SweepView(
            after_s=self._after_s,
            storages=[_count(name, known.get(name), self._why(name, whys)) for name in names],
        )

    def _why(self, name: str, whys: Mapping[str, str]) -> str:
        if name not in self._storages.book.storages:
            return f"no storage file defines {name}"
        return whys.get(name, "")

    async def remnants(
        self, caller: User, /, *, storage: str, all: bool, after: int, limit: int
    ) -> RemnantPage:
        """Return a page of the remnants due for removal, or with `all` of all remnants.

        Raises Refused.
        """
        require(caller, Permission.DATA_READ)
        community, book = community_of(caller), self._storages.book
        if storage and storage not in book.storages:
            right = f"a configured storage: {unknown(storage, book.storages, what='storage')}"
            message = f"storage: found {storage!r}, expected {right}"
            raise Refused(Code.INVALID, message, field="storage")
        due = self._clock.wall() - self._after_s
        rows = await self._store.read(
            remnant_records.remnants,
            community=community,
            storage=storage or None,
            before=FOR_EVER if all else due,
            after=after,
            limit=limit,
        )
        further = rows[-1].remnant_id if len(rows) == limit else None
        whys = unswept(book, await self._store.read(remnant_records.storages_of_copies))
        if not all:
            rows = [row for row in rows if row.storage in book.storages]
            rows = [row for row in rows if row.storage not in whys]
        # Before a removed file is due, it still occupies its own path.
        over = [row for row in rows if row.since <= due]
        names = await self._store.read(remnant_records.names_of_remnants, over, due)
        left = next((row.remnant_id for row in over if row.remnant_id not in names), None)
        if left is not None:  # the names of the others were not read: the page ends before them
            rows = [row for row in rows if row.remnant_id < left]
            further = left - 1
        if not all:
            rows = [row for row in rows if not names.get(row.remnant_id)]
            rows = [row for row in rows if not self._barred(row, whys)]
        reasons = {row.remnant_id: self._stays(row, whys, names) for row in rows}
        return RemnantPage(remnants=await self._views(rows, reasons), after=further)

    def _barred(self, row: RemnantRow, whys: Mapping[str, str]) -> str:
        """Return why a remnant is never removed, or "" if it can be removed."""
        entry = self._storages.book.storages.get(row.storage)
        return self._why(row.storage, whys) or held_for(
            row, any_path=entry is not None and entry.any_path, kept=self._keeps(row.storage)
        )

    def _stays(self, row: RemnantRow, whys: Mapping[str, str], names: Mapping[int, str]) -> str:
        """Return why a remnant is still there, or "" if it will be removed next."""
        if row.sweep_id is not None:
            return "a job is removing it"
        if barred := self._barred(row, whys):
            return barred
        if named := names.get(row.remnant_id):
            return f"{named} uses this path"
        goes_at = row.since + self._after_s
        if not row.why and goes_at > self._clock.wall():
            return f"it waits until {shown(goes_at)}"
        return row.why

    async def _views(
        self, rows: Sequence[RemnantRow], reasons: Mapping[int, str]
    ) -> list[RemnantView]:
        ids = {row.file_id for row in rows if row.file_id is not None}
        files = await self._store.read(catalogue_read.files_by_id, list(ids)) if ids else {}
        return [
            view_of(
                row,
                str(files[row.file_id].did) if row.file_id in files else "",
                reasons[row.remnant_id],
            )
            for row in rows
        ]


def _count(name: str, known: RemnantCount | None, why: str) -> SweepCount:
    found = known or RemnantCount(storage=name, community="")
    return SweepCount(
        storage=name,
        takes_part=not why,
        trouble=why,
        waiting=found.waiting,
        waiting_bytes=found.waiting_bytes,
        sweeping=found.sweeping,
        failing=found.failing,
        gone=found.gone,
        gone_bytes=found.gone_bytes,
    )
