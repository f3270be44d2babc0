"""Lets providers confirm the sessions of browsers, which renew nothing themselves."""

import contextlib
from functools import partial
from typing import Final

from ...observe.events import Log
from ...ports import Clock
from ...store.engine import Store
from ...store.errors import OF_ALL, StoreError
from ..errors import LoginEnded
from . import rows as session_rows
from .confirmations import CHECK_S, Confirmations
from .session_work import SessionWork

BROWSERS_S: Final = 60.0  # between two rounds of checks
CHECKED_MAX: Final = 500  # in one round


class BrowserChecks:
    """Checks the sessions of browsers that are in use, in rounds."""

    def __init__(
        self,
        *,
        store: Store,
        confirmations: Confirmations,
        work: SessionWork,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._confirmations, self._work = store, confirmations, work
        self._clock, self._log = clock, log

    async def run(self) -> None:
        """Do a round every BROWSERS_S. Ends by cancellation."""
        while True:
            await self._clock.sleep(BROWSERS_S)
            try:
                await self._round()
            except OF_ALL:
                raise
            except StoreError as why:
                self._log("loop_failed", loop="sessions of browsers", error=str(why))

    async def _round(self) -> None:
        now = self._clock.wall()
        rows = await self._store.read(
            session_rows.browsers_in_use,
            now=now,
            used_after=now - BROWSERS_S - CHECK_S,
            checked_before=now - CHECK_S,
            limit=CHECKED_MAX,
        )
        for row in rows:
            with contextlib.suppress(LoginEnded):
                await self._work.alone(row.session, partial(self._confirmations.confirmed, row))
