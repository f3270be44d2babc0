"""Stores which hosts and elements are suspended, so that a restart does not forget them.

A few seconds after a change, the whole list is written again. A crash may lose the last changes;
new failures lead to the same suspensions then. The store has wall clock times, memory has
monotonic ones.
"""

from typing import Final, Literal

from ..ports import Clock
from ..sites import record as mark_records
from ..sites.host_scores import PlaceSuspension
from ..sites.record import SuspendedPlace
from ..sites.suspended_hosts import SuspendedHosts
from ..store.engine import Store
from ..store.errors import StoreError

KEEP_EVERY_S: Final = 5.0


class ExcludedPlaces:
    """Writes suspended hosts and elements to the store, and restores them at the start."""

    def __init__(self, store: Store, hosts: SuspendedHosts, clock: Clock) -> None:
        self._store, self._hosts, self._clock = store, hosts, clock
        self._kept, self._due = 0, clock.monotonic() + KEEP_EVERY_S

    async def keep_if_due(self) -> None:
        """Write changes, at most every KEEP_EVERY_S. Raises StoreFull."""
        now = self._clock.monotonic()
        if now >= self._due:
            self._due = now + KEEP_EVERY_S
            self._hosts.forget(now)
            await self.keep()

    async def keep(self) -> None:
        """Write the suspended places if they have changed. Raises StoreFull."""
        changes = self._hosts.changes
        if changes == self._kept:
            return
        ahead_s = self._clock.wall() - self._clock.monotonic()
        hosts, elements = self._hosts.held()
        rows = [_row("host", one, ahead_s) for one in hosts]
        rows += [_row("element", one, ahead_s) for one in elements]
        self._kept = changes
        try:
            await self._store.write(mark_records.keep_held, sorted(rows, key=lambda row: row.since))
        except StoreError:
            self._kept = -1
            raise

    async def restore(self) -> None:
        """Restore the stored suspensions. Call this before any pilot asks."""
        ahead_s = self._clock.wall() - self._clock.monotonic()
        rows = await self._store.read(mark_records.held)
        hosts, elements = (
            [_held(row, ahead_s) for row in rows if row.kind == kind]
            for kind in ("host", "element")
        )
        self._hosts.hold(hosts, elements, self._clock.monotonic())
        self._kept = self._hosts.changes


def _row(kind: Literal["host", "element"], one: PlaceSuspension, ahead_s: float) -> SuspendedPlace:
    return SuspendedPlace(
        kind=kind,
        site=one.place[0],
        name=one.place[1],
        since=one.since + ahead_s,
        until=one.until + ahead_s,
        pause_s=one.pause_s,
        why=one.why,
        failed=[(job, owner, at + ahead_s) for job, owner, at in one.failed],
        tried=one.tried,
    )


def _held(row: SuspendedPlace, ahead_s: float) -> PlaceSuspension:
    return PlaceSuspension(
        place=(row.site, row.name),
        since=row.since - ahead_s,
        until=row.until - ahead_s,
        pause_s=row.pause_s,
        why=row.why,
        failed=[(job, owner, at - ahead_s) for job, owner, at in row.failed],
        tried=row.tried,
    )
