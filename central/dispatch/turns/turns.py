"""One turn of a pilot: judge, match, write, follow, answer (PROTOCOL C1, C2, C9).

The central writes the reports of a turn and the jobs that its ask has found in one transaction.
Before the commit it neither changes its memory nor answers the pilot.
"""

from collections.abc import Sequence
from typing import Final

from pilotage.matcher.types import Match
from pilotage.proto.messages import Turn

from ...jobs.definition.sizes import FILLED_BYTES_MAX
from ...jobs.leases import Lease
from ...jobs.record_types import AttemptChange, JobBody, NewAttempt
from ...pilots.presence import Presence
from ...ports import Clock
from ...sent_messages import AskAnswer
from ...settings import LeaseSettings
from ...store.engine import Store
from ...store.errors import StoreFull
from .. import record as turn_records
from ..follow_up import FollowUp
from ..memory import Memory
from .asks import AskService
from .assignments import Assignments, LeasedJob
from .attempt_ids import AttemptIds
from .reports import JudgedReport, ReportJudge
from .run_orders import BODIES_BYTES_MAX, room

SURELY_FIT: Final = BODIES_BYTES_MAX // FILLED_BYTES_MAX  # jobs, however large


class Turns:
    """Handles the turns of pilots."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        follow_up: FollowUp,
        reports: ReportJudge,
        asks: AskService,
        attempt_ids: AttemptIds,
        assignments: Assignments,
        clock: Clock,
        settings: LeaseSettings,
    ) -> None:
        self._store, self._queue = store, memory.queue
        self._follow_up, self._reports, self._asks = follow_up, reports, asks
        self._attempt_ids, self._assignments = attempt_ids, assignments
        self._clock, self._settings = clock, settings

    async def take(
        self, presence: Presence, message: Turn
    ) -> tuple[Sequence[JudgedReport], AskAnswer | None]:
        """Handle reports and at most one ask. Return the judged reports and the ask's answer.

        Each report is judged as if it came alone. A repeated ask gets the same attempts again,
        after their commit. Raises StoreFull if nothing is written.
        """
        judged = await self._reports.judge(presence, message.reports) if message.reports else []
        ask = message.ask
        if ask is None:
            await self._write(presence, judged)
            return judged, None
        if ask.n <= presence.ask:
            await self._write(presence, judged)
            return judged, await self._asks.again(presence, ask)
        underway = self._asks.begin(presence, ask)
        try:
            matched = await self._asks.match(presence, ask, judged)
            held = await self._write(presence, judged, matched.jobs, asked=ask.n)
            assignments = await self._assignments.made(held) if held else []
            return judged, self._asks.answer(presence, ask, matched, assignments)
        finally:
            self._asks.end(presence, underway)

    async def _write(
        self,
        presence: Presence,
        judged: Sequence[JudgedReport],
        matches: Sequence[Match] = (),
        *,
        asked: int = 0,
    ) -> Sequence[LeasedJob]:
        """Write reports and matches, then update memory. Return the matches that were written."""
        leases: list[Lease] = []
        try:
            if matches:
                leases = await self._leases(presence, matches, asked)
            for lease in leases:
                self._follow_up.pending[lease.attempt_id] = lease
            written, bodies = await self._commit(presence, judged, leases)
        except StoreFull:
            self._follow_up.put_back([match.job for match in matches])
            raise
        except Exception:  # the matches may or may not be written: read them (PROTOCOL C1)
            await self._follow_up.lost([match.job for match in matches])
            raise
        finally:
            for lease in leases:
                self._follow_up.pending.pop(lease.attempt_id, None)
        # Begin the leases before the next await: a kill that is acknowledged during it must find
        # them. Begin them even if a report fails: a live row without a lease would never end.
        try:
            if written:
                self._reports.follow(judged, written)
        finally:
            held = [
                (lease, body)
                for lease, body in zip(leases, bodies, strict=False)
                if body is not None
            ]
            self._follow_up.begun(held)
            self._follow_up.put_back([lease.job for lease in leases[len(bodies) :]])  # no room
        lost = [lease.job for lease, body in zip(leases, bodies, strict=False) if body is None]
        await self._follow_up.lost(lost)
        return held

    async def _commit(
        self, presence: Presence, judged: Sequence[JudgedReport], leases: Sequence[Lease]
    ) -> tuple[Sequence[bool], Sequence[JobBody | None]]:
        """Write reports and matches in one transaction.

        Return whether each change was written, and the body of each match (None: it lost a race).
        There are fewer bodies than leases if one answer has no room for all.
        """
        changes: list[AttemptChange] = [one.change for one in judged if one.change is not None]
        if not changes and not leases:
            return (), ()
        at = self._clock.wall()
        rows = [_row(presence, lease, at) for lease in leases]
        settling = self._reports.settle(judged)
        try:
            if len(rows) <= SURELY_FIT:
                return await self._store.write(turn_records.turn, changes, rows)
            return await self._store.write(turn_records.turn, changes, rows, room)
        finally:
            self._reports.settled(settling)

    async def _leases(
        self, presence: Presence, matches: Sequence[Match], asked: int
    ) -> list[Lease]:
        """Return leases that begin when their rows are written."""
        first = self._attempt_ids.at_hand(len(matches))
        if first is None:
            first = await self._attempt_ids.take(len(matches))
        now = self._clock.monotonic()
        return [
            self._lease(presence, asked, match, attempt_id, now)
            for attempt_id, match in enumerate(matches, first)
        ]

    def _lease(
        self, presence: Presence, n: int, match: Match, attempt_id: int, now: float
    ) -> Lease:
        return Lease(
            attempt_id=attempt_id,
            job=match.job,
            epoch=self._queue.epoch(match.job) + 1,
            class_id=match.class_id,
            priority=match.priority,
            kind=self._queue.classes[match.class_id].kind,
            pilot=presence.pilot,
            session=presence.session,
            ask=n,
            site=presence.site,
            element=presence.element,
            grant=match.grant,
            matched=now,
            lease_s=self._settings.lease_s,
        )


def _row(presence: Presence, lease: Lease, at: float) -> NewAttempt:
    return NewAttempt(
        attempt_id=lease.attempt_id,
        job_id=lease.job,
        class_id=lease.class_id,
        epoch=lease.epoch,
        pilot=lease.pilot,
        session=lease.session,
        ask=lease.ask,
        site=lease.site,
        element=lease.element,
        host=presence.host,
        grant=lease.grant,
        lease_s=lease.lease_s,
        at=at,
    )
