"""Mails reports, each once as far as the mail server allows.

A report is stored before its mail is sent, and marked after the server has accepted it. A process
that dies in between sends the mail again with the same Message-ID: mail programs show both as one.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec

from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import OF_ALL, StoreBroken, StoreError, StoreFull
from . import record as failover_records
from .record import ReportRow
from .report import FailoverReport, as_text

TOGETHER: Final = 20  # mails in one pass
FIRST_S: Final = 30.0  # before the second try
LONGEST_S: Final = 3_600.0
TRIES_MAX: Final = 100  # some four days

_decode: Final = msgspec.json.Decoder(FailoverReport).decode


class NotMailed(Exception):
    """The server did not accept a mail, or did not answer. Try again later."""


class Mailer(Protocol):
    """Sends mails: an SMTP server."""

    async def send(self, *, subject: str, text: str, key: str, to: Sequence[str] = ()) -> None:
        """Return when the server has accepted the mail, or raise NotMailed, within about a minute.

        `key` makes the Message-ID: the same for the same mail. `to`: the recipients, if they are
        not those of the settings.
        """
        ...


class Mails:
    """Sends the mails that are due."""

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
        """Make the loop; `told` is called with True or False after each attempt to send."""
        self._told = told
        self._store, self._mailer = store, mailer
        self._every_s, self._clock, self._log = every_s, clock, log
        # reports whose result the store refuses, and until when they wait
        self._aside: dict[int, float] = {}

    async def run(self) -> None:
        """Run until cancelled; return at once without a mailer."""
        while self._mailer is not None:
            await self._clock.sleep(self._every_s)
            try:
                await self.once(self._mailer)
            except StoreFull:
                continue  # a mail that was sent is not marked, and is sent again
            except StoreBroken:
                raise
            except StoreError as why:
                self._log("loop_failed", loop="mails", error=str(why))

    async def once(self, mailer: Mailer) -> None:
        """Send the mails that are due; stop at the first that fails."""
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
        """Store the result of a mail; if the store refuses it, that mail waits an hour."""
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
    """Return the seconds to wait after this number of tries."""
    return min(LONGEST_S, FIRST_S * 2.0 ** min(tries - 1, 20))
