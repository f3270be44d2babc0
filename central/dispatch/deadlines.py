"""The loop that acts on deadlines and on silent pilots."""

from pilotage.proto.job_states import JobEvent, JobState, next_state
from pilotage.proto.pilot_states import FINAL, LIVING, PilotEvent, PilotState

from ..jobs import record as job_records
from ..jobs.leases import LeasePhase
from ..jobs.record_types import JobMove
from ..observe.events import Log
from ..pauses import by_and_by
from ..ports import Clock
from ..settings import LeaseSettings
from ..store.engine import CHUNK_MAX, Store
from ..store.errors import StoreBroken, StoreError, StoreFull
from ..store.probe import StoreProbe
from .excluded_places import ExcludedPlaces
from .follow_up import FollowUp
from .idle_classes import IdleClasses
from .memory import Memory
from .metrics import Times
from .submissions.submissions import Submissions
from .turns.requeues import Requeues, pass_s
from .used_shares import UsedShares

RESTORED = "told to end: the store was restored from a backup"


class DeadlineLoop:
    """Checks leases, queue times, silent pilots, leftovers and idle classes every `watch_s`."""

    def __init__(
        self,
        *,
        requeues: Requeues,
        submissions: Submissions,
        store: Store,
        memory: Memory,
        idle: IdleClasses,
        follow_up: FollowUp,
        clock: Clock,
        log: Log,
        settings: LeaseSettings,
        used: UsedShares,
        times: Times,
        probe: StoreProbe,
    ) -> None:
        self._requeues, self._submissions = requeues, submissions
        self._store, self._queue = store, memory.queue
        self._leases, self._pilots = memory.leases, memory.pilots
        self._follow_up, self._clock, self._log = follow_up, clock, log
        self._idle, self._settings = idle, settings
        self.held = ExcludedPlaces(store, memory.hosts, clock)
        self._used, self._times, self._probe = used, times, probe

    async def run(self) -> None:
        """Do a pass every `watch_s`. Ends only by cancellation."""
        every = self._settings.watch_s
        due = self._clock.monotonic() + every
        while True:
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
            late = self._clock.monotonic() - due
            self._times.loop_late.observe(max(0.0, late))
            if late > 1.0:  # this process was stopped: sockets may hold unread beats
                self._leases.shift(late)
                self._log("late_loop", late_s=round(late, 3))
            due = self._clock.monotonic() + every
            await self.once()

    async def once(self) -> None:
        """Do one pass. If the store refuses a part, the next pass repeats it."""
        for part in (
            self._requeues.leases_over,
            self._queue_times,
            self._silent_pilots,
            self._submissions.drop_leftovers,
            self._used.keep_if_due,
            self.held.keep_if_due,
        ):
            try:
                await part()
            except StoreFull as why:
                self._probe.refused(str(why))
            except StoreBroken:
                raise
            except StoreError as why:
                self._log("loop_failed", loop=f"watch: {part.__name__}", error=str(why))
        self._idle.sweep()
        self._queue.wake()

    async def _queue_times(self) -> None:
        """Give up jobs that have waited longer than their queue time.

        A whole submission may be due at once, so each transaction takes CHUNK_MAX jobs. Other
        tasks run between two transactions. After `pass_s` the next pass continues.
        """
        at, end = self._clock.wall(), self._clock.monotonic() + pass_s(self._settings)
        while self._queue.is_any_over(at):
            jobs = self._queue.expired(at, CHUNK_MAX)
            if jobs:
                try:
                    await self._give_up(jobs, at)
                except StoreError:
                    self._queue.again(jobs)  # in the next pass
                    raise
            if self._clock.monotonic() >= end:
                return
            await self._clock.sleep(0)

    async def _give_up(self, jobs: list[int], at: float) -> None:
        moves = [given_up(job, at) for job in jobs]
        standings = await self._store.write(job_records.standing, jobs)
        for move, done in zip(moves, await self._store.write(job_records.move, moves), strict=True):
            standing = standings.get(move.job_id)
            if done and standing is not None:
                self._follow_up.job_moved(standing, move)

    async def _silent_pilots(self) -> None:
        """Withdraw the offers of silent pilots. Mark those without live attempts as lost.

        A pilot that was told that its store is no longer in force ends by itself. Give it up.
        """
        now, late_s = self._clock.monotonic(), 2 * self._settings.beat_s
        limit = max(self._settings.silent_pilot_s, self._settings.lease_s)
        async for presence in by_and_by(self._pilots.all(), self._clock):
            silent = now - presence.heard
            is_late = silent > late_s or presence.is_disowned
            if not is_late or self._pilots.find(presence.pilot) is not presence:
                continue
            self._queue.matcher.withdraw(presence.pilot)
            is_lost = silent > limit or presence.is_disowned
            if not is_lost or self._holds(presence.pilot):
                continue
            why = RESTORED if presence.is_disowned else f"silent for {silent:.0f} s"
            if presence.state in LIVING:
                await self._follow_up.pilot_moved(presence, PilotEvent.SILENT, why)
            # Attempts whose leases are over cannot come back: all its messages are refused.
            if presence.is_disowned and presence.state is PilotState.LOST:
                await self._follow_up.pilot_moved(presence, PilotEvent.GIVEN_UP, why)
                if presence.state in FINAL:
                    self._pilots.forget(presence.pilot)

    def _holds(self, pilot: str) -> bool:
        return any(lease.phase is LeasePhase.LIVE for lease in self._leases.of_pilot(pilot))


def given_up(job: int, at: float) -> JobMove:
    """Return the move of a waiting job whose queue time is over."""
    event = JobEvent.QUEUE_TIME_OVER
    return JobMove(
        job_id=job,
        old=JobState.WAITING,
        new=next_state(JobState.WAITING, event),
        at=at,
        event=event.value,
        who="central",
        reason="waited longer than its queue_s",
    )
