"""Reports that are to be mailed: each is, once, as far as the server lets it be known.

A report is in the store before its mail goes, and is marked after the server has taken it. Who
dies between sends it again, with the same Message-ID: mail programs take both for one.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec

from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import OF_ALL, StoreBroken, StoreError, StoreFull
from . import record as failover_records
from .record import ReportRow
from .report import FailoverReport, as_text

TOGETHER: Final = 20  # mails of one look
FIRST_S: Final = 30.0  # before the second try
LONGEST_S: Final = 3_600.0
TRIES_MAX: Final = 100  # some four days

_decode: Final = msgspec.json.Decoder(FailoverReport).decode


class NotMailed(Exception):
    """The server did not take a mail, or was not there. Try again later."""


class Mailer(Protocol):
    """Who mails: an SMTP server."""

    async def send(self, *, subject: str, text: str, key: str) -> None:
        """Return when the server has taken it, or raise NotMailed, within about a minute.

        `key` makes the Message-ID: the same for the same mail.
        """
        ...


class Mails:
    """Mails what is due."""

    def __init__(
        self,
        store: Store,
        mailer: Mailer | None,
        *,
        every_s: float,
        clock: Clock,
        log: Log,
        told: Callable[[bool], None],
    ) -> None:
        """`told` is told of each mail whether it went."""
        self._told = told
        self._store, self._mailer = store, mailer
        self._every_s, self._clock, self._log = every_s, clock, log
        self._aside: dict[int, float] = {}  # reports of which the store takes nothing, until then

    async def run(self) -> None:
        """Run for ever. Ends by cancellation; at once where nobody mails."""
        while self._mailer is not None:
            await self._clock.sleep(self._every_s)
            try:
                await self.once(self._mailer)
            except StoreFull:
                continue  # what went is not marked, and goes once more
            except StoreBroken:
                raise
            except StoreError as why:
                self._log("loop_failed", loop="mails", error=str(why))

    async def once(self, mailer: Mailer) -> None:
        """Mail what is due; at the first that does not go the others wait as well."""
        now = self._clock.wall()
        self._aside = {one: until for one, until in self._aside.items() if until > now}
        for row in await self._store.read(
            failover_records.mails_due, now, limit=TOGETHER + len(self._aside)
        ):
            if row.report_id in self._aside:
                continue
            try:
                await mailer.send(
                    subject=f"[pilotage] {row.title}",
                    text=as_text(_decode(row.body)),
                    key=f"report-{row.report_id}-{row.transformation_id}-{row.cycle}",
                )
            except NotMailed as why:
                self._told(False)
                await self._kept(row, self._failed(row, str(why)))
                return
            self._told(True)
            await self._kept(
                row, self._store.write(failover_records.mailed, row.report_id, self._clock.wall())
            )

    async def _kept(self, row: ReportRow, keeping: Awaitable[None]) -> None:
        """Keep what became of a mail; one of which that is refused does not go again at once."""
        try:
            await keeping
        except OF_ALL:
            raise
        except StoreError as why:
            self._aside[row.report_id] = self._clock.wall() + LONGEST_S
            self._log("loop_failed", loop=f"mail of report {row.report_id}", error=str(why))

    async def _failed(self, row: ReportRow, why: str) -> None:
        tries = row.mail_tries + 1
        due = None if tries >= TRIES_MAX else self._clock.wall() + pause_s(tries)
        await self._store.write(failover_records.mail_failed, row.report_id, why=why[:500], due=due)
        self._log("report_not_mailed", report=row.report_id, tries=tries, why=why)


def pause_s(tries: int) -> float:
    """Return how long to wait after so many tries."""
    return min(LONGEST_S, FIRST_S * 2.0 ** min(tries - 1, 20))
