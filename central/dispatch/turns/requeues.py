"""Requeues attempts without a result: overdue, or not held by their pilot (PROTOCOL C6, C7)."""

from pilotage.proto.job_states import JobEvent

from ...jobs import verdicts
from ...jobs.leases import AttemptKey, Lease, LeasePhase, PendingEnd, overdue
from ...jobs.record_types import Requeue
from ...pilots.presence import Presence
from ...ports import Clock
from ...settings import LeaseSettings
from ...store.engine import CHUNK_MAX, Store
from .. import record as turn_records
from ..follow_up import FollowUp
from ..memory import Memory


def pass_s(settings: LeaseSettings) -> float:
    """Return how many seconds one part of a pass may write without delaying the next pass."""
    return settings.watch_s / 2


class Requeues:
    """Writes the ends of leases, and updates memory."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        follow_up: FollowUp,
        clock: Clock,
        settings: LeaseSettings,
    ) -> None:
        self._store, self._queue, self._leases = store, memory.queue, memory.leases
        self._follow_up, self._clock, self._settings = follow_up, clock, settings
        self._losses = verdicts.Losses(settings.lost_max, settings.matched_max)

    async def leases_over(self) -> None:
        """Requeue the attempts whose lease is over.

        After a network cut all leases may be over, so each transaction takes CHUNK_MAX attempts.
        Other tasks run between two transactions. After `pass_s` the next pass continues.
        """
        now = self._clock.monotonic()
        end, late = now + pass_s(self._settings), overdue(self._leases.candidates(now), now)
        for start in range(0, len(late), CHUNK_MAX):
            if start:
                await self._clock.sleep(0)
            now, at = self._clock.monotonic(), self._clock.wall()
            if now >= end:
                return
            await self._write(
                [
                    (
                        lease,
                        verdicts.lease_over(
                            lease, at=at, silent_s=now - lease.renewed, limits=self._losses
                        ),
                    )
                    # A beat or a result may have come during the writes before.
                    for lease in overdue(late[start : start + CHUNK_MAX], now)
                    if lease.phase is LeasePhase.LIVE
                ]
            )

    async def give_back(
        self, presence: Presence, held: set[AttemptKey], *, asked_before: int
    ) -> None:
        """Requeue attempts of earlier asks that the pilot does not hold and can no longer get."""
        unknown = self._leases.unknown(presence.pilot, held)
        if not unknown:
            return
        at = self._clock.wall()
        await self._write(
            [
                (
                    lease,
                    verdicts.lease_over(
                        lease, at=at, silent_s=0.0, limits=self._losses, event=JobEvent.LOST
                    ),
                )
                for lease in unknown
                if lease.phase is LeasePhase.LIVE
                and lease.settling is None
                and lease.session == presence.session
                and lease.ask < asked_before
            ]
        )

    async def _write(self, pairs: list[tuple[Lease, Requeue]]) -> None:
        if not pairs:
            return
        for lease, _ in pairs:
            lease.settling = PendingEnd.REQUEUE
        try:
            done = (
                await self._store.write(turn_records.turn, [change for _, change in pairs], [])
            )[0]
        finally:
            for lease, _ in pairs:
                lease.settling = None
        for (lease, change), written in zip(pairs, done, strict=True):
            if written:
                self._follow_up.of_change(lease, change)
        self._queue.wake()
