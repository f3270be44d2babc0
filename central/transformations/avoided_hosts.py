"""Restores, after a restart, which jobs avoid hosts where tasks with their inputs failed.

The hosts follow from the attempts, as when the jobs were made, so nothing is stored for this.
"""

from typing import Final

from ..pilots.presence import Pilots
from ..ports import Clock
from ..sites.suspended_hosts import SuspendedHosts
from ..store.engine import Store
from . import record as transformation_records
from .live_state import document
from .repairs import Repairs, bounds_of

LONGEST_S: Final = 3_600.0  # older tasks are not restored
TASKS_MAX: Final = 1_000  # the newest


class AvoidedHosts:
    """Restores in `SuspendedHosts` which jobs avoid which hosts."""

    def __init__(
        self, *, store: Store, repairs: Repairs, hosts: SuspendedHosts, pilots: Pilots, clock: Clock
    ) -> None:
        self._store, self._repairs, self._clock = store, repairs, clock
        self._hosts, self._pilots = hosts, pilots

    async def restore(self) -> None:
        """Let jobs avoid hosts for the rest of the time. Call it once pilots are known again."""
        wall, now = self._clock.wall(), self._clock.monotonic()
        others = {(one.site, one.host) for one in self._pilots.all()}
        for task in await self._store.read(
            transformation_records.tried_again, wall - LONGEST_S, limit=TASKS_MAX
        ):
            row = await self._store.read(
                transformation_records.transformation, task.transformation_id
            )
            if row is None or not (doc := document(row)).failover:
                continue
            plans = await self._repairs.again(
                task.transformation_id, sorted(task.file_ids), bounds_of(doc)
            )
            for plan in plans:
                left_s = task.made_at + plan.avoid_s - wall
                for site, host in plan.avoid if left_s > 0 else ():
                    if others - {(site, host)}:
                        self._hosts.keep_off_again(site, host, task.job_id, for_s=left_s, now=now)
