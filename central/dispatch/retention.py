"""Deletes old records: ended jobs, evidence, expired tokens, ended pilots and their logs.

It deletes in small batches with pauses, so that no request waits. Series and accounts stay.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import PilotEvent, PilotState, next_state

from ..accounts.record_series import DAY_S
from ..identity import actions as action_records
from ..identity.bans import record as ban_records
from ..identity.scope import CountKey
from ..identity.sessions import rows as session_rows
from ..identity.sessions.job_grants import JobGrants
from ..jobs import record_retention as retention_records
from ..jobs.blobs.removal import BlobSweep
from ..jobs.record_retention import PRUNED_MAX
from ..jobs.record_types import EndedJob
from ..observe.events import Log
from ..observe.wall_clock import WallClockWatch
from ..pauses import by_and_by
from ..pilots import record as pilot_records
from ..pilots.logs import LogRoom
from ..pilots.presence import Presence
from ..ports import Clock
from ..settings import KeptDays, RetentionSettings
from ..store.engine import Store
from ..store.errors import OF_ALL, StoreError, StoreFull
from ..store.probe import StoreProbe
from .follow_up import FollowUp
from .memory import Memory

FIRST_S: Final = 300.0  # from the start to the first round, at most
PAUSE_S: Final = 1.0  # between two batches
PILOTS_A_BATCH: Final = 200


def kept_s(job: EndedJob, settings: RetentionSettings) -> float:
    """Return for how many seconds a job is kept after its end; 0: without limit."""
    kept: KeptDays = settings.communities.get(job.community, settings)
    days = {
        JobState.DONE: kept.done_days,
        JobState.FAILED: kept.failed_days,
        JobState.KILLED: kept.killed_days,
    }[job.state]
    if job.deleted and kept.deleted_days and (not days or kept.deleted_days < days):
        days = kept.deleted_days
    return days * DAY_S


def to_prune(jobs: Iterable[EndedJob], settings: RetentionSettings, now: float) -> list[EndedJob]:
    """Return the jobs whose retention time is over."""
    pairs = ((job, kept_s(job, settings)) for job in jobs)
    return [job for job, kept in pairs if kept and job.ended_at < now - kept]


def shortest_s(settings: RetentionSettings) -> float:
    """Return the shortest retention time of any job in seconds; 0: all jobs are kept."""
    days = [
        each
        for kept in (settings, *settings.communities.values())
        for each in (kept.done_days, kept.failed_days, kept.killed_days, kept.deleted_days)
        if each
    ]
    return min(days, default=0.0) * DAY_S


class Retention:
    """Deletes old records in rounds."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        follow_up: FollowUp,
        blobs: BlobSweep,
        job_grants: JobGrants,
        logs: LogRoom,
        clock: Clock,
        log: Log,
        wall: WallClockWatch,
        probe: StoreProbe,
        settings: RetentionSettings,
    ) -> None:
        self._wall, self._probe = wall, probe
        self._store, self._pilots, self._leases = store, memory.pilots, memory.leases
        self._owners, self._job_grants = memory.owners, job_grants
        self._follow_up, self._blobs, self._logs = follow_up, blobs, logs
        self._clock, self._log, self._settings = clock, log, settings

    async def run(self) -> None:
        """Do a round every `round_s`. Ends only by cancellation."""
        rest_s = min(FIRST_S, self._settings.round_s)
        while True:
            await self._clock.sleep(rest_s)
            rest_s = self._settings.round_s
            try:
                await self.round()
            except StoreFull as why:
                self._probe.refused(str(why))
            except OSError as why:  # files that cannot be read now stay until the next round
                self._log("loop_failed", loop="retention", error=str(why))

    async def round(self) -> None:
        """Delete all records whose time is over, unless the wall clock is in doubt."""
        if not self._wall.is_trusted():
            return
        parts: dict[str, Callable[[], Awaitable[int | None]]] = {
            "jobs": self._jobs,
            "keys of actions": self._actions,
            "evidence": self._evidence,
            "tokens": self._expired_tokens,
            "sessions": self._old_sessions,
            "lifted bans": self._lifted_bans,
            "kept grants": self._job_grants.drop_useless,
            "pilots": self._ended_pilots,
            "logs of pilots": self._old_logs,
            "lost pilots": self._give_up_lost,
            "unused secrets": self._give_up_unused,
            "blobs": self._blobs.sweep_if_due,
        }
        for what, part in parts.items():
            try:
                count = await part()
            except OF_ALL:
                raise
            except StoreError as why:  # an error of one part does not stop the others
                self._log("loop_failed", loop=f"retention of {what}", error=str(why))
                continue
            if count:
                self._log("pruned", what=what, count=count)

    # -- jobs -----------------------------------------------------------------------------------

    async def _jobs(self) -> int:
        shortest, count, after = shortest_s(self._settings), 0, 0
        if not shortest:
            return 0
        while True:
            now = self._clock.wall()
            found, further = await self._store.read(
                retention_records.ended_jobs, after=after, before=now - shortest
            )
            old = to_prune(found, self._settings, now)
            for start in range(0, len(old), PRUNED_MAX):
                count += await self._prune(old[start : start + PRUNED_MAX])
                await self._clock.sleep(PAUSE_S)
            if further is None:
                return count
            after = further
            await self._clock.sleep(PAUSE_S / 10)

    async def _prune(self, jobs: list[EndedJob]) -> int:
        now = self._clock.wall()
        gone = await self._store.write(
            retention_records.prune_jobs,
            [(one.job_id, one.ended_at, now - kept_s(one, self._settings)) for one in jobs],
        )
        known = {job.job_id: job for job in jobs}
        for job_id, was_deleted in gone:
            if was_deleted:
                continue  # deleted jobs are not counted
            job = known[job_id]
            kind = CountKey(job.community, job.group, self._owners.by_id(job.owner_id), job.type)
            self._follow_up.job_removed(kind, job.site, job.state)
        return len(gone)

    async def _actions(self) -> int:
        return await self._pruned(action_records.prune_actions, self._settings.action_days)

    async def _evidence(self) -> int:
        return await self._pruned(retention_records.prune_evidence, self._settings.evidence_days)

    async def _expired_tokens(self) -> int:
        """Delete expired tokens and their revocations."""
        return await self._pruned(retention_records.prune_tokens, self._settings.token_days)

    async def _old_sessions(self) -> int:
        """Delete sessions of logins whose time was over."""
        return await self._pruned(session_rows.prune, self._settings.token_days)

    async def _pruned(self, prune: Callable[..., int], days: float) -> int:
        """Delete rows that are older than `days`, in parts; 0 days: none. Return the number."""
        before, count = self._clock.wall() - days * DAY_S, 0
        while days and (some := await self._store.write(prune, before, limit=PRUNED_MAX)):
            count += some
            await self._clock.sleep(PAUSE_S)
        return count

    async def _lifted_bans(self) -> int:
        if not self._settings.token_days:
            return 0
        before = self._clock.wall() - self._settings.token_days * DAY_S
        return await self._store.write(ban_records.forget_bans, before, limit=PRUNED_MAX)

    async def _old_logs(self) -> int:
        count = 0
        for go in (self._logs.by_age, self._logs.by_size):
            while some := await go():
                count += some
                await self._clock.sleep(PAUSE_S)
        return count

    # -- pilots ---------------------------------------------------------------------------------

    async def _give_up_lost(self) -> None:
        """Give up pilots that have been lost for `lost_pilot_s`."""
        async for presence in by_and_by(self._pilots.all(), self._clock):
            if self._is_gone(presence):
                reason = f"lost: it sent no message for {self._settings.lost_pilot_s:.0f} s"
                await self._follow_up.pilot_moved(presence, PilotEvent.GIVEN_UP, reason)
                if presence.state is PilotState.FAILED:
                    self._pilots.forget(presence.pilot)

    async def _give_up_unused(self) -> None:
        """Give up pilots whose secret was not used in time."""
        why = "its secret was not used in time"
        while True:
            at = self._clock.wall()
            names = await self._store.read(
                retention_records.never_registered, at, limit=PILOTS_A_BATCH
            )
            for pilot in names:
                for state in (PilotState.SUBMITTED, PilotState.WAITING):
                    broken = next_state(state, PilotEvent.BROKE)
                    await self._store.write(pilot_records.move_pilot, pilot, state, broken, at, why)
            if len(names) < PILOTS_A_BATCH:
                return
            await self._clock.sleep(PAUSE_S)

    def _is_gone(self, presence: Presence) -> bool:
        silent_s = self._clock.monotonic() - presence.heard
        lost = presence.state is PilotState.LOST and silent_s > self._settings.lost_pilot_s
        return lost and not self._leases.of_pilot(presence.pilot)

    async def _ended_pilots(self) -> int:
        if not self._settings.pilot_days:
            return 0
        before, count, after = self._clock.wall() - self._settings.pilot_days * DAY_S, 0, ""
        while True:
            names = await self._store.read(
                retention_records.ended_pilots, after=after, before=before, limit=PILOTS_A_BATCH
            )
            if not names:
                return count
            await self._store.write(retention_records.prune_pilots, names, before)
            count, after = count + len(names), names[-1]
            await self._clock.sleep(PAUSE_S)
