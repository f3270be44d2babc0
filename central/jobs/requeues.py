"""Ends of leases without a result: silence, and what a pilot does not hold (PROTOCOL C6, C7)."""

from pilotage.proto.job_states import JobEvent

from ..ports import Clock
from ..settings import LeaseSettings
from ..store.protocol import Store
from ..store.records import Requeue
from . import verdicts
from .aftermath import Aftermath
from .leases import Lease, Name, Phase, Settling, overdue
from .memory import Memory
from .presence import Presence


class Requeues:
    """Writes the end of leases, and lets memory follow."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        aftermath: Aftermath,
        clock: Clock,
        settings: LeaseSettings,
    ) -> None:
        self._store, self._queue, self._leases = store, memory.queue, memory.leases
        self._aftermath, self._clock = aftermath, clock
        self._losses = verdicts.Losses(settings.lost_max, settings.matched_max)

    async def leases_over(self) -> None:
        """Requeue what is overdue."""
        now, at = self._clock.monotonic(), self._clock.wall()
        await self._write(
            [
                (
                    lease,
                    verdicts.lease_over(
                        lease, at=at, silent_s=now - lease.renewed, limits=self._losses
                    ),
                )
                for lease in overdue(self._leases.candidates(now), now)
            ]
        )

    async def give_back(self, presence: Presence, held: set[Name], *, asked_before: int) -> None:
        """Requeue attempts of earlier asks that the pilot does not hold and never will."""
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
                if lease.phase is Phase.LIVE
                and lease.settling is None
                and lease.session == presence.session
                and lease.ask < asked_before
            ]
        )

    async def _write(self, pairs: list[tuple[Lease, Requeue]]) -> None:
        if not pairs:
            return
        for lease, _ in pairs:
            lease.settling = Settling.REQUEUE
        try:
            done = await self._store.change([change for _, change in pairs])
        finally:
            for lease, _ in pairs:
                lease.settling = None
        for (lease, change), written in zip(pairs, done, strict=True):
            if written:
                self._aftermath.of_change(lease, change)
        self._queue.wake()
