"""Asks providers to confirm the sessions of browsers, because browsers send no renewals.

Each provider has rounds of its own, so a slow one does not delay the checks of the others.
"""

import asyncio
from collections import deque
from functools import partial
from typing import Final

from ...errors import Refused
from ...observe.events import Log
from ...ports import Clock
from ...store.engine import Store
from ...store.errors import StoreBroken, StoreError, StoreFull
from . import rows as session_rows
from .confirmations import CHECK_S, Confirmations
from .session_work import SessionWork

BROWSERS_S: Final = 60.0  # between two rounds of checks
CHECKED_MAX: Final = 500  # sessions of one provider in one round
AT_ONCE: Final = 8  # checks under way at one provider


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
        self._busy = set[str]()  # providers whose round is under way

    async def run(self) -> None:
        """Begin rounds every BROWSERS_S. Ends by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._clock.sleep(BROWSERS_S)
                for provider in await self._due():
                    if provider not in self._busy:
                        self._busy.add(provider)
                        tasks.create_task(self._round(provider))

    async def _due(self) -> list[str]:
        """Return the providers that have sessions to confirm."""
        try:
            return await self._store.read(
                session_rows.providers_of_browsers, *self._times(), limit=CHECKED_MAX
            )
        except StoreBroken:
            raise
        except StoreError as why:
            self._failed(why)
            return []

    async def _round(self, provider: str) -> None:
        """Check the sessions of one provider, those first that were confirmed longest ago."""
        try:
            rows = deque(
                await self._store.read(
                    session_rows.browsers_in_use, *self._times(), provider, limit=CHECKED_MAX
                )
            )
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(AT_ONCE, len(rows))):
                    workers.create_task(self._check_each(rows))
        except StoreBroken:
            raise
        except StoreError as why:
            self._failed(why)
        finally:
            self._busy.discard(provider)

    async def _check_each(self, rows: deque[session_rows.LoginSession]) -> None:
        """Check sessions until none is left. A full disk ends the round."""
        while rows:
            row = rows.popleft()
            try:
                await self._work.alone(row.session, partial(self._check, row.session))
            except StoreBroken:
                raise
            except StoreFull as why:
                rows.clear()
                self._failed(why)
            except StoreError as why:
                self._failed(why)
            except Refused:  # it has ended, or this central stops
                continue

    async def _check(self, session: str) -> None:
        row = await self._store.read(session_rows.session_of, session)
        if row is not None and row.ended_at is None:
            await self._confirmations.confirmed(row)

    def _times(self) -> tuple[float, float, float]:
        """Return now, and since when sessions to check were used, and not confirmed."""
        now = self._clock.wall()
        return now, now - BROWSERS_S - CHECK_S, now - CHECK_S

    def _failed(self, why: StoreError) -> None:
        self._log("loop_failed", loop="sessions of browsers", error=str(why))
