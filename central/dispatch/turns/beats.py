"""Handles beats: renews leases and requeues lost attempts (PROTOCOL C4–C6, C10)."""

from pilotage.proto.messages import Attempt, Beat
from pilotage.proto.pilot_states import PilotEvent, PilotState
from pilotage.proto.problems import Code

from ...errors import Refused
from ...jobs.leases import EPOCH_BITS, Lease, LeasePhase, PendingEnd
from ...jobs.record_types import TakeBack
from ...observe.events import Log
from ...pilots.presence import Presence
from ...ports import Clock
from ...store.engine import Store
from .. import record as turn_records
from ..follow_up import FollowUp
from ..memory import Memory
from .requeues import Requeues


class BeatService:
    """Handles beats: renews the leases that a pilot lists, and no others."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        follow_up: FollowUp,
        requeues: Requeues,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._leases, self._late = store, memory.leases, memory.late
        self._follow_up, self._requeues = follow_up, requeues
        self._clock, self._log = clock, log

    async def take(self, presence: Presence, beat: Beat) -> list[Attempt]:
        """Renew the current attempts that the beat lists. Return the stale ones.

        A repeated beat is harmless: it renews current attempts again, and the pilot never gets
        the attempts of a closed ask that it does not list. Raises Refused (UNAVAILABLE) while the
        end of a listed lease is being written: an unanswered beat leaves the pilot's fence
        unchanged.
        """
        presence.beat = max(presence.beat, beat.n)
        found = [
            (one, self._current(presence, self._leases.find(one.job, one.epoch)))
            for one in beat.holding
        ]
        if any(lease and lease.settling is PendingEnd.REQUEUE for _, lease in found):
            raise Refused(
                Code.UNAVAILABLE, "the end of a lease is being written: repeat the heartbeat"
            )
        stale = [one for one, lease in found if lease is None]
        back = [lease for _, lease in found if lease is not None and lease.phase is LeasePhase.OPEN]
        for _, lease in found:
            if lease is not None and lease.phase is LeasePhase.LIVE:
                self._renew(lease)
        stale += await self._take_back(back)
        self._hear_late(presence, beat)
        held = {one.job << EPOCH_BITS | one.epoch for one in beat.holding}
        await self._requeues.give_back(presence, held, asked_before=beat.closed + 1)
        if beat.goodbye:
            await self._follow_up.goodbye(presence)
        elif beat.draining and presence.state is PilotState.RUNNING:
            await self._follow_up.pilot_moved(
                presence, PilotEvent.DRAIN, "ordered to drain at its site"
            )
        return stale

    def _hear_late(self, presence: Presence, beat: Beat) -> None:
        for one in self._late.heard(presence.pilot, beat.undelivered, self._clock.monotonic()):
            self._log(
                "result_undelivered",
                job=one.lease.job,
                epoch=one.lease.epoch,
                pilot=presence.pilot,
                for_s=round(one.for_s, 1),
                why=one.why,
            )

    @staticmethod
    def _current(presence: Presence, lease: Lease | None) -> Lease | None:
        return lease if lease is not None and lease.pilot == presence.pilot else None

    def _renew(self, lease: Lease) -> None:
        """Renew a lease. Its deadline never moves to an earlier time."""
        now = self._clock.monotonic()
        lease.deadline = max(lease.deadline, now + lease.lease_s)
        lease.renewed = now

    async def _take_back(self, leases: list[Lease]) -> list[Attempt]:
        """Return requeued jobs to their attempts on a returned pilot. Return the late attempts."""
        if not leases:
            return []
        at = self._clock.wall()
        done = (
            await self._store.write(
                turn_records.turn,
                [TakeBack(attempt_id=one.attempt_id, job_id=one.job, at=at) for one in leases],
                [],
            )
        )[0]
        late: list[Attempt] = []
        for lease, taken in zip(leases, done, strict=True):
            if taken:
                lease.phase, lease.started = LeasePhase.LIVE, True
                self._renew(lease)
                self._follow_up.taken_back(lease)
            elif lease.phase is LeasePhase.LIVE:  # a copy of this beat was faster
                self._renew(lease)
            else:
                late.append(Attempt(lease.job, lease.epoch))
        return late
