"""Orphans: pilots of elements that no site's file names any more, and that cannot be asked.

If an element is removed while the central runs, its driver is still asked. After a restart there is
no driver, or the element may not answer any more. Its queued pilots are then aborted after a while.
If one of them starts later, the central refuses it, and it ends.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final

from pilotage.proto.pilot_states import FINAL, PilotState

from ..observe.events import Log
from ..pilots import record_slots as slot_records
from ..pilots.record_slots import SlotRow
from ..ports import Clock
from ..store.engine import Store
from .element_watch import WatchedElement

SlotKey = tuple[str, str]  # site, element
WHY: Final = "no site's file names its element any more"
_NOBODY: Final = "no site's file names it, and it does not answer: queued pilots are aborted"
AT_ONCE_MAX: Final = 1_000  # pilots of one element in one round


class Orphans:
    """Aborts pilots whose element could not be asked for long enough."""

    def __init__(self, store: Store, is_gone: Callable[[str, str], bool], log: Log) -> None:
        self._store, self._is_gone, self._log = store, is_gone, log
        self._since: dict[SlotKey, float] = {}

    async def look(
        self,
        watched: Sequence[WatchedElement],
        others: Mapping[SlotKey, Sequence[SlotRow]],
        clock: Clock,
        patience_s: float,
    ) -> None:
        """Look at elements without files; `others`: pilots of elements without a driver."""
        lost = {key: rows for key, rows in others.items() if self._is_gone(*key)}
        silent = {one.key: one.rows for one in watched if one.is_gone and one.found is None}
        now = clock.monotonic()
        self._since = {key: self._since.get(key, now) for key in (*lost, *silent)}
        for key, rows in (*lost.items(), *silent.items()):
            if now - self._since[key] <= patience_s:
                continue
            await self._end(key, rows, clock.wall())
            if key in lost:  # no element will ever report the end of these pilots
                await self._store.write(
                    slot_records.forget_slots, [row.pilot for row in rows if row.state in FINAL]
                )

    async def _end(self, key: SlotKey, rows: Sequence[SlotRow], at: float) -> None:
        waiting = (
            row.pilot for row in rows if row.registered_at is None and row.state not in FINAL
        )
        pilots = dict.fromkeys(islice(waiting, AT_ONCE_MAX), WHY)
        if not pilots:
            return
        ended = await self._store.write(slot_records.end_waiting, pilots, PilotState.ABORTED, at)
        self._log("element_gone", site=key[0], element=key[1], pilots=len(ended), why=_NOBODY)
