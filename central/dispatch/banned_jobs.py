"""The loop that carries out bans: it holds and kills jobs of banned persons, and releases them.

Its progress is the state of the jobs, so it continues after a crash. In each round it looks for
jobs of banned persons that wait or run. Such jobs also come after the ban: the rest of a long
submission, and jobs that an operator released or rescheduled. After a ban is lifted, it releases
the jobs whose reason names this ban. Only then is the ban over.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from pilotage.proto.api.jobs import ActionName
from pilotage.proto.job_states import ACTIVE, JobState
from pilotage.proto.messages import Why

from ..identity.bans.ban_list import BanList
from ..identity.bans.record import BanRow
from ..jobs import record as job_records, record_search as job_search
from ..jobs.intents import Unchanged, intent
from ..jobs.record_types import AttemptWant, JobMove, JobSearch, JobStanding
from ..observe.events import Log
from ..observe.times import shown
from ..ports import Clock
from ..store.engine import CHUNK_MAX, Store
from ..store.errors import StoreBroken, StoreError, StoreFull
from .control import Enforced, JobControl
from .memory import Memory

EVERY_S: Final = 1.0
CHUNKS_A_ROUND: Final = 10  # of one owner; then other bans, and new matches, get their turn
CENTRAL: Final = "central"  # who holds, kills and releases, in the history of a job


def reason_of(ban: BanRow) -> str:
    """Return the reason of jobs that a ban holds and kills."""
    return f"{_begin(ban)}its owner is banned since {shown(ban.at)}"


def is_held_by(ban: BanRow, reason: str) -> bool:
    """Return whether a held job with this reason is held by this ban."""
    return reason.startswith(_begin(ban))


def _begin(ban: BanRow) -> str:
    return f"ban {ban.ban_id}: "


def barred(job: JobStanding, *, at: float, reason: str) -> JobMove | AttemptWant | Unchanged:
    """Return the change to a job of a banned person: hold it, or kill it if an attempt is live.

    Raises IllegalTransition for ended jobs, and for those whose outputs are being published. Pure.
    """
    if job.deleted:
        return Unchanged()
    action = ActionName.KILL if job.live else ActionName.HOLD
    return intent(action, job, at=at, who=CENTRAL, reason=reason)


def released(job: JobStanding, *, at: float, reason: str) -> JobMove | AttemptWant | Unchanged:
    """Return the change that releases a job that a ban held. Pure."""
    if job.state is not JobState.HELD:
        return Unchanged()
    return intent(ActionName.RELEASE, job, at=at, who=CENTRAL, reason=reason)


def _in_force_first(ban: BanRow) -> bool:
    return not ban.is_in_force


@dataclass
class _Release:
    """The progress of a release, which begins again after a restart."""

    ban: BanRow
    owners: deque[int]  # whose jobs are left
    after: int = 0  # of the first of these owners: up to this job all are released
    count: int = 0  # released jobs


class BannedJobs:
    """Carries out the bans that this process knows. Only the process with the queue runs it."""

    def __init__(
        self,
        *,
        store: Store,
        bans: BanList,
        memory: Memory,
        control: JobControl,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._bans, self._control = store, bans, control
        self._owners, self._counters, self._leases = memory.owners, memory.counters, memory.leases
        self._clock, self._log = clock, log
        self._releases: dict[int, _Release] = {}  # by ban

    async def run(self) -> None:
        """Do a round every EVERY_S, or at once while there is more to do. Ends by cancellation."""
        while True:
            is_more = False
            try:
                is_more = await self.once()
            except StoreBroken:
                raise
            except StoreError as why:
                if not isinstance(why, StoreFull):
                    self._log("loop_failed", loop="bans", error=str(why))
            await self._clock.sleep(0 if is_more else EVERY_S)

    async def once(self) -> bool:
        """Do one round. Return whether there is more to do at once."""
        bans = self._bans.open()
        if not bans:
            return False
        busy = {
            kind.owner
            for kind, _, state, _ in self._counters.rows()
            if state is JobState.WAITING or state in ACTIVE
        }
        is_more = False
        for ban in sorted(bans, key=_in_force_first):
            if not ban.is_in_force:
                is_more |= await self._release(ban)
            elif self._owners.word(ban.issuer, ban.subject) in busy:
                is_more |= await self._bar(ban)
        return is_more

    # -- bans in force --------------------------------------------------------------------------

    async def _bar(self, ban: BanRow) -> bool:
        """Kill the live attempts of a banned person, then hold some waiting jobs."""
        held = killed = 0
        is_more = False
        for owner_id in self._owners.of_person(ban.issuer, ban.subject):
            live = JobSearch(owner_id=owner_id, states=tuple(ACTIVE))
            done, _ = await self._walk(ban, live)
            killed += done.told
            waiting = JobSearch(owner_id=owner_id, states=(JobState.WAITING,))
            more, is_left = await self._walk(ban, waiting, chunks=CHUNKS_A_ROUND)
            held, killed = held + done.moved + more.moved, killed + more.told
            is_more |= is_left
        if held or killed:
            name = self._owners.word(ban.issuer, ban.subject)
            self._log("ban_enforced", ban=ban.ban_id, person=name, held=held, killed=killed)
        return is_more

    async def _walk(
        self, ban: BanRow, wanted: JobSearch, *, chunks: int | None = None
    ) -> tuple[Enforced, bool]:
        """Hold and kill the jobs that a search finds. Return the numbers, and if some may be left.

        `chunks`: read at most so many chunks of CHUNK_MAX jobs.
        """
        after = moved = told = 0
        decide = partial(barred, at=self._clock.wall(), reason=reason_of(ban))
        while chunks is None or chunks > 0:
            found = await self._store.read(job_search.ids, wanted, after=after, limit=CHUNK_MAX)
            if self._bans.find(ban.issuer, ban.subject) != ban:
                break  # the ban was lifted during the read
            jobs = [job for job in found if not self._ends(job)]
            if jobs:
                done = await self._control.enforce(jobs, decide)
                moved, told = moved + done.moved, told + done.told
            if len(found) < CHUNK_MAX:
                return Enforced(moved, told), False
            after = found[-1]
            chunks = None if chunks is None else chunks - 1
        return Enforced(moved, told), True

    def _ends(self, job: int) -> bool:
        """Return whether the pilot of a job has the order to kill it."""
        lease = self._leases.of_job(job)
        return lease is not None and lease.wanted is Why.KILL

    # -- lifted bans ----------------------------------------------------------------------------

    async def _release(self, ban: BanRow) -> bool:
        """Release some of the jobs that a lifted ban held. When none are left, the ban is over.

        Return whether some may be left.
        """
        done = self._releases.get(ban.ban_id)
        if done is None or done.ban != ban:
            owners = self._owners.of_person(ban.issuer, ban.subject)
            done = self._releases[ban.ban_id] = _Release(ban, deque(owners))
        decide = partial(
            released, at=self._clock.wall(), reason=f"ban {ban.ban_id} of its owner is lifted"
        )
        for _ in range(CHUNKS_A_ROUND):
            if not done.owners:
                break
            held = JobSearch(owner_id=done.owners[0], states=(JobState.HELD,))
            found = await self._store.read(job_search.ids, held, after=done.after, limit=CHUNK_MAX)
            jobs = await self._held_by(ban, found)
            if ban not in self._bans.open():
                return False  # the person is banned again
            if jobs:
                done.count += (await self._control.enforce(jobs, decide)).moved
            if len(found) == CHUNK_MAX:
                done.after = found[-1]
            else:
                done.owners.popleft()
                done.after = 0
        if done.owners:
            return True
        del self._releases[ban.ban_id]
        if await self._bans.end(ban, self._clock.wall()):
            name = self._owners.word(ban.issuer, ban.subject)
            self._log("ban_released", ban=ban.ban_id, person=name, count=done.count)
        return False

    async def _held_by(self, ban: BanRow, jobs: Sequence[int]) -> list[int]:
        """Return the jobs that this ban holds, not a person or the central."""
        rows = await self._store.read(job_records.jobs, jobs)
        return [row.job_id for row in rows.values() if is_held_by(ban, row.reason)]
